// Calls that wait for each other.

import { expect, test } from "vitest";
import { oneAtATime } from "./defragment.js";

test("a call begins when the one before it has ended, however that did", async () => {
  const ends: ((error?: Error) => void)[] = [];
  const call = oneAtATime(
    () =>
      new Promise((resolve, reject) => {
        ends.push((error) => (error ? reject(error) : resolve()));
      }),
  );
  const [first, second, third] = [call(), call(), call()];
  await Promise.resolve();
  expect(ends.length).toBe(1);
  ends[0]?.(new Error("no room"));
  await expect(first).rejects.toThrow("no room");
  await Promise.resolve();
  expect(ends.length).toBe(2);
  ends[1]?.();
  await second;
  await Promise.resolve();
  expect(ends.length).toBe(3);
  ends[2]?.();
  await third;
});
