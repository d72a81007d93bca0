// A stop in the middle of a password that takes long, and a thread that fails.

import { EventEmitter } from "node:events";
import { afterEach, expect, test, vi } from "vitest";
import { limits } from "../../limits.js";
import { HashingThreads } from "../hashing.js";

const pools: EventEmitter[] = [];

vi.mock("piscina", () => ({
  // Its threads are busy for ever.
  Piscina: class extends EventEmitter {
    constructor() {
      super();
      pools.push(this);
    }
    run = () => new Promise(() => {});
    destroy = () => new Promise(() => {});
  },
}));

afterEach(() => {
  vi.useRealTimers();
});

test("does not wait for it", async () => {
  vi.useFakeTimers();
  const threads = new HashingThreads(() => {});
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

test("a thread that fails without a job ends no process", () => {
  const failures: Error[] = [];
  const threads = new HashingThreads((error) => failures.push(error));
  void threads.verify(Buffer.from("x"), "x");
  const error = new Error("out of memory");
  expect(pools.at(-1)?.emit("error", error)).toBe(true);
  expect(failures).toEqual([error]);
});
