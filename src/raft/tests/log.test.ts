// The log against a slow twin: a plain list of entries, and a disk that is replayed to see what is durable.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RaftLog } from "../log.js";
import type { Entry } from "../types.js";

function entry(index: number, term: number): Entry {
  return { index, term, kind: 1, bytes: 1, payload: null };
}

/** What a crash would leave, after the first `done` writes: the entries as text. */
class SlowDisk {
  readonly writes: { seq: number; entries: Entry[] }[] = [];

  durable(done: number): string[] {
    const log: string[] = [];
    for (const { seq, entries } of this.writes) {
      if (seq > done) break;
      for (const { index, term } of entries) {
        log.length = index - 1;
        log.push(`${term}/${index}`);
      }
    }
    return log;
  }
}

const step = fc.oneof(
  fc.record({ type: fc.constant("append" as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    type: fc.constant("replace" as const),
    back: fc.integer({ min: 0, max: 5 }),
    count: fc.integer({ min: 1, max: 3 }),
    /** Brings back a log that was there before, as another leader may have it. */
    old: fc.boolean(),
  }),
  fc.record({ type: fc.constant("emit" as const) }),
  fc.record({ type: fc.constant("done" as const) }),
  fc.record({ type: fc.constant("commit" as const) }),
);

describe("the log", () => {
  test("never says durable what a crash would take", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const log = new RaftLog(0, 0, [], 0);
        const disk = new SlowDisk();
        let twin: Entry[] = [];
        let before: Entry[] = [];
        let term = 1;
        let seq = 0;
        let done = 0;
        for (const drawn of steps) {
          if (drawn.type === "append") {
            const added = Array.from({ length: drawn.count }, (_, i) => entry(twin.length + i + 1, term));
            log.append(added);
            twin = [...twin, ...added];
          } else if (drawn.type === "replace") {
            const from = Math.max(log.committed, twin.length - drawn.back);
            term += 1;
            const fresh = Array.from({ length: drawn.count }, (_, i) => entry(from + i + 1, term));
            const restored = before.slice(from);
            const sameStart = before.slice(0, from).every((old, at) => old.term === twin[at]?.term);
            const next = drawn.old && sameStart && restored.length > 0 ? restored : fresh;
            before = twin;
            const last = log.reconcile(from, twin[from - 1]?.term ?? 0, next);
            expect(last).toBe(from + next.length);
            const agrees = next.every(({ index, term }) => twin[index - 1]?.term === term);
            if (!agrees) twin = [...twin.slice(0, from), ...next];
          } else if (drawn.type === "emit") {
            const { entries } = log.takeUnemitted();
            seq += 1;
            disk.writes.push({ seq, entries });
            log.writeStarted(seq);
          } else if (drawn.type === "done" && done < seq) {
            done += 1;
            log.writeDone(done);
          } else if (drawn.type === "commit") {
            log.commitTo(Math.min(twin.length, log.committed + 1));
          }
          expect(log.lastIndex).toBe(twin.length);
          expect(log.lastTerm).toBe(twin.at(-1)?.term ?? 0);
          // Everything up to stable survives a crash at any moment from now on.
          for (let crash = done; crash <= seq; crash += 1) {
            const left = disk.durable(crash);
            for (let index = 1; index <= log.stable; index += 1) {
              expect(left[index - 1]).toBe(`${log.term(index)}/${index}`);
            }
          }
        }
        const { entries } = log.takeUnemitted();
        disk.writes.push({ seq: seq + 1, entries });
        log.writeStarted(seq + 1);
        log.writeDone(seq + 1);
        expect(log.stable).toBe(twin.length);
      }),
      { numRuns: 3000 },
    );
  });

  test("finds where two logs may agree", () => {
    const log = new RaftLog(
      0,
      0,
      [1, 1, 3, 3, 5].map((term, at) => entry(at + 1, term)),
      0,
    );
    expect(log.findConflict(5, 4)).toEqual({ index: 4, term: 3 });
    expect(log.findConflict(5, 2)).toEqual({ index: 2, term: 1 });
    expect(log.findConflict(9, 9)).toEqual({ index: 5, term: 5 });
    expect(log.findConflict(3, 0)).toEqual({ index: 0, term: 0 });
  });

  test("compacts what is applied, and keeps the term before the first entry", () => {
    const log = new RaftLog(
      0,
      0,
      [1, 1, 2].map((term, at) => entry(at + 1, term)),
      0,
    );
    log.commitTo(3);
    log.appliedTo(2);
    expect(() => log.compact(3)).toThrow("not applied");
    log.compact(2);
    expect([log.firstIndex, log.lastIndex, log.term(2), log.term(1)]).toEqual([3, 3, 1, null]);
    expect(() => log.slice(2, 100)).toThrow("compacted");
    expect(log.slice(3, 100).map(({ index }) => index)).toEqual([3]);
  });

  test("sends one entry whatever its size", () => {
    const big = { ...entry(1, 1), bytes: 1000 };
    const log = new RaftLog(0, 0, [big, entry(2, 1)], 0);
    expect(log.slice(1, 10).map(({ index }) => index)).toEqual([1]);
    expect(log.slice(1, 2000).map(({ index }) => index)).toEqual([1, 2]);
  });

  test("refuses to replace what is committed", () => {
    const log = new RaftLog(0, 0, [entry(1, 1), entry(2, 1)], 0);
    log.commitTo(2);
    expect(() => log.reconcile(1, 1, [entry(2, 2)])).toThrow("committed");
    expect(() => log.commitTo(3)).toThrow("tocommit(3) is out of range [lastIndex(2)]");
  });

  test("takes a snapshot in place of everything, durable only with its write", () => {
    const log = new RaftLog(0, 0, [entry(1, 1), entry(2, 1)], 0);
    log.append([entry(3, 1)]);
    log.takeUnemitted();
    log.writeStarted(1);
    const confState = { voters: [1n], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    log.restore({ index: 9, term: 4, confState });
    log.writeDone(1);
    expect(log.stable).toBe(0);
    expect(log.takeUnemitted().snapshot?.index).toBe(9);
    log.writeStarted(2);
    log.writeDone(2);
    expect([log.stable, log.firstIndex, log.lastTerm]).toEqual([9, 10, 4]);
  });

  test("that lost what it acknowledged says so, in etcd's words", () => {
    const log = new RaftLog(0, 0, [], 0);
    expect(() => log.commitTo(9)).toThrow(
      "tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?",
    );
  });
});
