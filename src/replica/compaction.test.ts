// When the raft log is cut and where: by count, by bytes, after restarts and snapshots.

import { describe, expect, test } from "vitest";
import { CompactionPolicy, type LogCompaction, type LogRetention } from "./compaction.js";

const unbounded = Number.POSITIVE_INFINITY;

/** A log whose entries all have one size, and that does what the policy says. */
class Rig {
  compactedIndex: number;
  readonly policy: CompactionPolicy;

  constructor(retention: LogRetention, entryBytes = 1, compactedIndex = 0, applied = 0) {
    this.compactedIndex = compactedIndex;
    const rig = this;
    const log = {
      entryBytes: (index: number) => (index > rig.compactedIndex ? entryBytes : 0),
      get compactedIndex() {
        return rig.compactedIndex;
      },
    };
    this.policy = new CompactionPolicy(retention, log, applied);
  }

  flushed(index: number, floor = unbounded): LogCompaction | null {
    const due = this.policy.due(index, floor);
    if (due !== null && due.upTo !== null) this.compactedIndex = due.upTo;
    return due;
  }
}

describe("by count", () => {
  const retention = { snapshotCount: 100, catchUpEntries: 30, bytesMax: unbounded };

  test("is due at snapshotCount entries and not before", () => {
    const rig = new Rig(retention);
    expect(rig.flushed(99)).toBeNull();
    expect(rig.flushed(100)).toEqual({ snapshotIndex: 100, previousSnapshotIndex: 0, upTo: 70, forced: false });
    expect(rig.flushed(100)).toBeNull();
    expect(rig.flushed(199)).toBeNull();
    expect(rig.flushed(250)).toEqual({ snapshotIndex: 250, previousSnapshotIndex: 100, upTo: 220, forced: false });
  });

  test("forgets nothing while the log is shorter than what followers may need", () => {
    const rig = new Rig({ snapshotCount: 10, catchUpEntries: 100, bytesMax: unbounded });
    expect(rig.flushed(10)).toMatchObject({ snapshotIndex: 10, upTo: null });
    expect(rig.flushed(100)).toMatchObject({ upTo: null });
    expect(rig.flushed(110)).toMatchObject({ upTo: 10 });
  });

  test("goes on after a restart where it was", () => {
    const rig = new Rig(retention, 1, 70, 180);
    expect(rig.flushed(199)).toBeNull();
    expect(rig.flushed(200)).toEqual({ snapshotIndex: 200, previousSnapshotIndex: 100, upTo: 170, forced: false });
  });

  test("a member that restarts before each compaction compacts all the same", () => {
    const rig = new Rig(retention, 1, 0, 99);
    expect(rig.flushed(100)).toMatchObject({ upTo: 70 });
  });

  test("keeps what a follower misses, but not for ever", () => {
    const rig = new Rig(retention);
    expect(rig.flushed(100)).toMatchObject({ upTo: 70 });
    expect(rig.flushed(200, 120)).toMatchObject({ snapshotIndex: 200, upTo: 120 });
    expect(rig.flushed(300, 120)).toMatchObject({ snapshotIndex: 300, upTo: null });
    expect(rig.flushed(1120, 120)).toMatchObject({ upTo: null });
    expect(rig.flushed(1220, 120)).toMatchObject({ upTo: 220 });
    expect(rig.flushed(1320)).toMatchObject({ upTo: 1290 });
  });

  test("starts anew behind an installed snapshot", () => {
    const rig = new Rig(retention);
    rig.compactedIndex = 1000;
    rig.policy.restarted(1000);
    expect(rig.flushed(400)).toBeNull();
    expect(rig.flushed(1099)).toBeNull();
    expect(rig.flushed(1100)).toEqual({ snapshotIndex: 1100, previousSnapshotIndex: 1000, upTo: 1070, forced: false });
  });
});

describe("by bytes", () => {
  test("large entries compact the log long before the count, to half of the bytes", () => {
    const rig = new Rig({ snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: 1_000 }, 100);
    expect(rig.flushed(10)).toBeNull();
    expect(rig.flushed(11)).toEqual({ snapshotIndex: 11, previousSnapshotIndex: 0, upTo: 6, forced: true });
    expect(rig.flushed(16)).toBeNull();
    expect(rig.flushed(17)).toMatchObject({ upTo: 12, forced: true });
  });

  test("what no follower misses goes first, and as much of it as without one that lags", () => {
    const retention = { snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: 1_000 };
    const near = new Rig(retention, 100);
    expect(near.flushed(11, 2)).toMatchObject({ upTo: 2, forced: true });
    expect(near.flushed(12, 2)).toBeNull();
    const far = new Rig(retention, 100);
    expect(far.flushed(11, 8)).toMatchObject({ upTo: 6, forced: true });
  });

  test("the bound on bytes holds for what a follower misses too", () => {
    const rig = new Rig({ snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: 1_000 }, 100);
    expect(rig.flushed(11, 0)).toMatchObject({ upTo: 6, forced: true });
  });

  test("a follower that lags by almost all that is allowed makes no compaction due at every flush", () => {
    const rig = new Rig({ snapshotCount: 1_000_000, catchUpEntries: 10, bytesMax: 1_000 }, 1);
    let forced = 0;
    for (let index = 1; index <= 20_000; index += 1) {
      if (rig.flushed(index, Math.max(0, index - 990))?.forced) forced += 1;
      expect(index - rig.compactedIndex).toBeLessThanOrEqual(1_125);
    }
    expect(rig.compactedIndex).toBeLessThanOrEqual(20_000 - 990);
    expect(forced).toBeLessThan(20_000 / 100);
  });

  test("entries without payload count by their number", () => {
    const rig = new Rig({ snapshotCount: 100, catchUpEntries: 30, bytesMax: 1_000 }, 0);
    expect(rig.flushed(100)).toMatchObject({ upTo: 70, forced: false });
  });

  test("one entry that is larger than all that is allowed goes too", () => {
    const rig = new Rig({ snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: 10 }, 100);
    expect(rig.flushed(1)).toMatchObject({ upTo: 1, forced: true });
  });

  test("what a restart finds in the log counts", () => {
    const rig = new Rig({ snapshotCount: 10_000, catchUpEntries: 5_000, bytesMax: 1_000 }, 100, 50, 60);
    expect(rig.flushed(61)).toMatchObject({ upTo: 56, forced: true });
  });

  test("keeps the log at its bound over many entries", () => {
    const rig = new Rig({ snapshotCount: 500, catchUpEntries: 200, bytesMax: 5_000 }, 7);
    for (let index = 1; index <= 20_000; index += 3) {
      rig.flushed(index);
      expect((index - rig.compactedIndex) * 7).toBeLessThanOrEqual(5_000);
    }
    expect(rig.compactedIndex).toBeGreaterThan(19_000);
  });
});
