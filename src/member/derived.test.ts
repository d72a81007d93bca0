// Figures that follow from the election timeout, as etcd has them.

import { expect, it } from "vitest";
import { leaseTtlSecondsMin, requestTimeoutMs } from "./derived.js";

it.each([
  [100, 5_200, 1],
  [1_000, 7_000, 2],
  [1_500, 8_000, 3],
  [3_000, 11_000, 5],
  [50_000, 105_000, 75],
])("an election timeout of %d ms", (electionTimeoutMs, requestMs, leaseSeconds) => {
  expect(requestTimeoutMs({ electionTimeoutMs })).toBe(requestMs);
  expect(leaseTtlSecondsMin({ electionTimeoutMs })).toBe(leaseSeconds);
});
