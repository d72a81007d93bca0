// A stop in the middle of a password that takes long.

import { afterEach, expect, test, vi } from "vitest";
import { limits } from "../../limits.js";
import { HashingThreads } from "../hashing.js";

vi.mock("piscina", () => ({
  // Its threads are busy for ever.
  Piscina: class {
    run = () => new Promise(() => {});
    destroy = () => new Promise(() => {});
  },
}));

afterEach(() => {
  vi.useRealTimers();
});

test("does not wait for it", async () => {
  vi.useFakeTimers();
  const threads = new HashingThreads();
  void threads.verify(Buffer.from("x"), `$2a$31$${".".repeat(53)}`);
  let stopped = false;
  const stop = threads.stop().then(() => {
    stopped = true;
  });
  await vi.advanceTimersByTimeAsync(limits.hashingStopMs - 1);
  expect(stopped).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await stop;
  expect(stopped).toBe(true);
});
