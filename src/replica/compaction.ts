// When the raft log is cut, and where. The store is durable up to its flushed mark and can be copied to a follower that
// needs more. Entries cost such a follower far less than a copy, so those that one misses stay in the log, which is on
// the disk anyway, until they are too many. An entry holds a whole batch of requests: a count alone would let the log grow
// to any size, so its bytes are bounded too.

export interface LogRetention {
  /** Entries applied between two compactions. */
  snapshotCount: number;
  /** Entries kept behind a compaction for followers that lag. */
  catchUpEntries: number;
  /** Bytes of payload from which the log is compacted whatever it counts; Infinity: no bound. */
  bytesMax: number;
}

/** What the policy reads of the log. */
export interface LogView {
  /** Payload bytes of the entry; 0: not in the log. */
  entryBytes(index: number): number;
  /** The entry that the log starts after. */
  compactedIndex: number;
}

export interface LogCompaction {
  /** Entry that the durable store stands for now, and the one it stood for at the compaction before. */
  snapshotIndex: number;
  previousSnapshotIndex: number;
  /** Last entry to forget; null: all of them stay for followers that lag. */
  upTo: number | null;
  /** The bytes and not the count demanded it. */
  forced: boolean;
}

/** Of the bytes allowed, the part that a compaction leaves: so that the next one is not due at once. */
const bytesKept = 0.5;
/** Of the bytes allowed, the part that must come in first if a compaction left more, for a follower. */
const bytesBetween = 0.125;
/** Compactions that leave the entries that a follower misses. */
const compactionsHeld = 10;

export class CompactionPolicy {
  #snapshotIndex: number;
  /** Entries up to here are in #bytes. */
  #counted: number;
  /** Payload bytes of the log up to #counted. */
  #bytes = 0;
  /** A compaction is due above so many of them. */
  #bytesDue: number;

  constructor(
    private readonly retention: LogRetention,
    private readonly log: LogView,
    applied: number,
  ) {
    const { compactedIndex } = log;
    this.#counted = compactedIndex;
    this.#bytesDue = retention.bytesMax;
    // A restart goes on with the count where the last compaction, which kept that many entries, began it, or earlier: it
    // may have kept more for a follower.
    this.#snapshotIndex = compactedIndex === 0 ? 0 : Math.min(applied, compactedIndex + retention.catchUpEntries);
  }

  /**
   * The store is durable, and raft has applied everything, up to `durable`: the compaction that is due; null: none.
   * Entries behind `floor` are missed by a follower.
   */
  due(durable: number, floor: number): LogCompaction | null {
    if (durable <= this.#snapshotIndex) return null;
    this.#count(durable);
    const forced = this.#bytes > this.#bytesDue;
    const previousSnapshotIndex = this.#snapshotIndex;
    if (!forced && durable - previousSnapshotIndex < this.retention.snapshotCount) return null;
    this.#snapshotIndex = durable;
    const upTo = this.#cut(durable, floor, forced);
    return { snapshotIndex: durable, previousSnapshotIndex, upTo, forced };
  }

  /** The log starts after `index`, with the store of another member. */
  restarted(index: number): void {
    this.#snapshotIndex = index;
    this.#counted = index;
    this.#bytes = 0;
    this.#bytesDue = this.retention.bytesMax;
  }

  #count(durable: number): void {
    while (this.#counted < durable) {
      this.#counted += 1;
      this.#bytes += this.log.entryBytes(this.#counted);
    }
  }

  /** The last entry to forget; what is forgotten is counted no more. */
  #cut(durable: number, floor: number, forced: boolean): number | null {
    const { snapshotCount, catchUpEntries, bytesMax } = this.retention;
    const { compactedIndex } = this.log;
    const held = Math.max(floor, durable - compactionsHeld * snapshotCount);
    let upTo = this.#forget(compactedIndex, Math.min(durable - catchUpEntries, held));
    if (forced) {
      upTo = this.#forget(upTo, Math.min(durable, held), bytesMax * bytesKept);
      // What is missed is too much by itself: a copy of the store instead.
      if (this.#bytes > bytesMax) upTo = this.#forget(upTo, durable, bytesMax * bytesKept);
    }
    this.#bytesDue = Math.max(bytesMax, this.#bytes + bytesMax * bytesBetween);
    return upTo === compactedIndex ? null : upTo;
  }

  /** Counts entries behind `from` no more, up to `end` or until so many bytes are left; returns the last of them. */
  #forget(from: number, end: number, bytesLeft = Number.NEGATIVE_INFINITY): number {
    let upTo = from;
    while (upTo < end && this.#bytes > bytesLeft) {
      upTo += 1;
      this.#bytes -= this.log.entryBytes(upTo);
    }
    return upTo;
  }
}
