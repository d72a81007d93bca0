// Quorums against slow twins that count one index, or one outcome, at a time.

import fc from "fast-check";
import { expect, test } from "vitest";
import { jointIndex, jointVote, majorityIndex, majorityVote } from "../quorum.js";

const ids = fc.uniqueArray(fc.bigInt({ min: 1n, max: 9n }), { maxLength: 7 });
const indices = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.integer({ min: 0, max: 12 }));
const votes = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.boolean());

/** The highest index for which more than half of the voters are there. */
function slowIndex(voters: readonly bigint[], reached: (id: bigint) => number): number {
  for (let index = 12; index > 0; index -= 1) {
    const there = voters.filter((id) => reached(id) >= index).length;
    if (2 * there > voters.length) return index;
  }
  return 0;
}

/** Tries every way in which the missing votes may turn out. */
function slowVote(voters: readonly bigint[], voted: (id: bigint) => boolean | undefined): string {
  const missing = voters.filter((id) => voted(id) === undefined);
  const outcomes = new Set<boolean>();
  for (let mask = 0; mask < 1 << missing.length; mask += 1) {
    const granted = voters.filter((id) => {
      const at = missing.indexOf(id);
      return at < 0 ? voted(id) === true : (mask & (1 << at)) !== 0;
    });
    outcomes.add(2 * granted.length > voters.length);
  }
  if (outcomes.size === 2) return "pending";
  return outcomes.has(true) ? "won" : "lost";
}

test("the index of a majority is that of the slow twin", () => {
  fc.assert(
    fc.property(ids, indices, (voters, reachedBy) => {
      fc.pre(voters.length > 0);
      const reached = (id: bigint) => reachedBy[`${id}`] ?? 0;
      expect(majorityIndex(new Set(voters), reached)).toBe(slowIndex(voters, reached));
    }),
    { numRuns: 5000 },
  );
});

test("the outcome of a vote is that of the slow twin", () => {
  fc.assert(
    fc.property(ids, votes, (voters, given) => {
      fc.pre(voters.length > 0);
      const voted = (id: bigint) => given[`${id}`];
      expect(majorityVote(new Set(voters), voted)).toBe(slowVote(voters, voted));
    }),
    { numRuns: 5000 },
  );
});

test("a joint quorum is one of both halves, and no half decides alone", () => {
  fc.assert(
    fc.property(ids, ids, indices, votes, (incoming, outgoing, reachedBy, given) => {
      const voters = { incoming: new Set(incoming), outgoing: new Set(outgoing) };
      const reached = (id: bigint) => reachedBy[`${id}`] ?? 0;
      const voted = (id: bigint) => given[`${id}`];
      const index = jointIndex(voters, reached);
      expect(index).toBe(Math.min(majorityIndex(voters.incoming, reached), majorityIndex(voters.outgoing, reached)));
      const halves = [majorityVote(voters.incoming, voted), majorityVote(voters.outgoing, voted)];
      const outcome = jointVote(voters, voted);
      if (outcome === "won") expect(halves).toEqual(["won", "won"]);
      else expect(halves).toContain(outcome);
    }),
    { numRuns: 3000 },
  );
});

test("an empty half agrees with everything", () => {
  expect(majorityIndex(new Set(), () => 0)).toBe(Number.MAX_SAFE_INTEGER);
  expect(majorityVote(new Set(), () => false)).toBe("won");
});
