// A number of seeds of the simulation in every test run; any number by `npm run sim -- --seeds N --from S`.

import { expect, test } from "vitest";
import { depth } from "../depth.js";
import { simulate } from "./simulation.js";

const seedsMin = depth(2_000);
const firstSeed = 1;
const seedsPerTest = Math.min(seedsMin, 250);

const starts = Array.from({ length: seedsMin / seedsPerTest }, (_, i) => firstSeed + i * seedsPerTest);

test.each(starts)("seeds from %i on", { timeout: 300_000 }, (from) => {
  let operations = 0;
  let elections = 0;
  const fast = { append: 0, commit: 0, read: 0 };
  const rights = { changed: 0, brought: 0 };
  for (let seed = from; seed < from + seedsPerTest; seed += 1) {
    const { failure, acknowledged, elections: held, fast: steps, ...result } = simulate(seed);
    expect(failure, `npm run sim -- --seeds 1 --from ${seed}`).toBeNull();
    operations += acknowledged;
    elections += held;
    for (const step of ["append", "commit", "read"] as const) fast[step] += steps[step];
    for (const step of ["changed", "brought"] as const) rights[step] += result.rights[step];
  }
  // A simulation in which nothing happens would find nothing.
  expect(operations).toBeGreaterThan(seedsPerTest * 50);
  expect(elections).toBeGreaterThan(seedsPerTest * 2);
  for (const steps of Object.values(fast)) expect(steps).toBeGreaterThan(seedsPerTest * 10);
  expect(rights.changed).toBeGreaterThan(seedsPerTest * 10);
  expect(rights.brought).toBeGreaterThan(seedsPerTest / 10);
});

test("the same seed gives the same run", () => {
  for (const seed of [1, 77, 4535, 123_456_789_012]) {
    const first = simulate(seed);
    const second = simulate(seed);
    expect(second).toEqual(first);
  }
});

test("another seed gives another run", () => {
  const hashes = new Set([1, 2, 3, 4, 5].map((seed) => simulate(seed).hash));
  expect(hashes.size).toBe(5);
});
