// The checker itself: histories that are and are not linearizable, and a twin that tries every order.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Operation } from "./fakes/store.js";
import { checkLinearizable, type HistoryEntry } from "./linearizability.js";

function entry(op: Operation, outcome: number | null, calledAt: number, returnedAt: number): HistoryEntry {
  return { client: 0, op, outcome, calledAt, returnedAt };
}

const put = (value: number, from: number, to: number) =>
  entry({ type: "put", key: "a", value }, to === Number.POSITIVE_INFINITY ? null : 1, from, to);
const get = (value: number, from: number, to: number) => entry({ type: "get", key: "a" }, value, from, to);
const never = Number.POSITIVE_INFINITY;

describe("accepts", () => {
  const histories: [string, HistoryEntry[]][] = [
    ["nothing", []],
    ["a read of the initial value", [get(0, 1, 2)]],
    ["a read during the write, old value", [put(1, 1, 4), get(0, 2, 3)]],
    ["a read during the write, new value", [put(1, 1, 4), get(1, 2, 3)]],
    ["a write without an answer that took effect", [put(1, 1, never), get(1, 5, 6)]],
    ["a write without an answer that never did", [put(1, 1, never), get(0, 5, 6)]],
    ["a write without an answer that took effect late", [put(1, 1, never), get(0, 2, 3), get(1, 5, 6)]],
  ];
  test.each(histories)("%s", (_name, history) => {
    expect(checkLinearizable(history)).toEqual({ linearizable: true, key: null, decided: true });
  });
});

describe("refuses", () => {
  const cas = (expected: number, value: number, outcome: number, from: number, to: number) =>
    entry({ type: "cas", key: "a", expected, value }, outcome, from, to);
  const histories: [string, HistoryEntry[]][] = [
    ["a stale read", [put(1, 1, 2), get(0, 3, 4)]],
    ["a lost write", [put(1, 1, 2), put(2, 3, 4), get(1, 5, 6)]],
    ["a value out of nowhere", [get(9, 1, 2)]],
    ["reads that go back", [put(1, 1, 10), get(1, 2, 3), get(0, 4, 5)]],
    ["two swaps of the same value", [cas(0, 1, 1, 1, 2), cas(0, 2, 1, 3, 4)]],
    ["a swap that should have taken effect", [cas(0, 1, 0, 1, 2)]],
    ["a write undone", [put(1, 1, never), get(1, 2, 3), get(0, 4, 5)]],
  ];
  test.each(histories)("%s", (_name, history) => {
    expect(checkLinearizable(history)).toEqual({ linearizable: false, key: "a", decided: true });
  });
});

/** Tries every order of the operations and every subset of those without an answer. */
function bruteForce(history: readonly HistoryEntry[]): boolean {
  const search = (left: readonly HistoryEntry[], value: number): boolean => {
    if (left.every(({ returnedAt }) => returnedAt === never)) return true;
    const firstReturn = Math.min(...left.map(({ returnedAt }) => returnedAt));
    return left.some((candidate) => {
      if (candidate.calledAt > firstReturn) return false;
      const next = after(candidate, value);
      return (
        next !== null &&
        search(
          left.filter((other) => other !== candidate),
          next,
        )
      );
    });
  };
  return search(history, 0);
}

function after({ op, outcome }: HistoryEntry, value: number): number | null {
  switch (op.type) {
    case "get":
      return value === outcome ? value : null;
    case "put":
      return op.value;
    case "cas": {
      const took = value === op.expected;
      if (outcome !== null && (outcome === 1) !== took) return null;
      return took ? op.value : value;
    }
  }
}

test("agrees with a search through all orders", () => {
  const operation = fc.record({
    kind: fc.constantFrom("put", "get", "cas"),
    value: fc.integer({ min: 0, max: 2 }),
    expected: fc.integer({ min: 0, max: 2 }),
    took: fc.boolean(),
    start: fc.integer({ min: 0, max: 20 }),
    length: fc.integer({ min: 1, max: 8 }),
    answered: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 7 }), (drawn) => {
      const history = drawn.map(({ kind, value, expected, took, start, length, answered }, at) => {
        // Distinct times: the order of events is total.
        const calledAt = start * 100 + at;
        const returnedAt = answered ? (start + length) * 100 + 50 + at : never;
        if (kind === "get") return entry({ type: "get", key: "a" }, value, calledAt, (start + length) * 100 + 50 + at);
        if (kind === "put") return entry({ type: "put", key: "a", value }, answered ? 1 : null, calledAt, returnedAt);
        const outcome = answered ? Number(took) : null;
        return entry({ type: "cas", key: "a", expected, value }, outcome, calledAt, returnedAt);
      });
      const verdict = checkLinearizable(history);
      expect(verdict.decided).toBe(true);
      expect(verdict.linearizable).toBe(bruteForce(history));
    }),
    { numRuns: 2000 },
  );
});
