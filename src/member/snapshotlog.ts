// The log lines about compactions of the raft log and about stores of other members, which tools wait for.

import type { Fields, Logger } from "../log/logger.js";
import type { SnapshotMeta } from "../raft/index.js";
import type { LogCompaction } from "../replica/compaction.js";

export class SnapshotLog {
  #appliedBefore = 0;

  constructor(
    private readonly log: Logger,
    private readonly memberId: bigint,
    private readonly snapshotCount: number,
    /** Entry of the last snapshot. */
    private snapshotIndex: number,
  ) {}

  /** The store itself is the snapshot: it is durable before the log is cut, and no other file is written. */
  compacted({ snapshotIndex, previousSnapshotIndex, upTo, forced }: LogCompaction): void {
    this.log.info("triggering snapshot", {
      "local-member-id": this.memberId,
      "local-member-applied-index": snapshotIndex,
      "local-member-snapshot-index": previousSnapshotIndex,
      "local-member-snapshot-count": this.snapshotCount,
      "snapshot-forced": forced,
    });
    this.log.info("saved snapshot to disk", { "snapshot-index": snapshotIndex });
    if (upTo !== null) this.log.debug("compacted Raft logs", { "compact-index": upTo });
    this.snapshotIndex = snapshotIndex;
  }

  /** Another member's store begins to take the place of the own one, which has applied up to `applied`. */
  applying(incoming: SnapshotMeta, applied: number): void {
    this.#appliedBefore = applied;
    this.log.info("applying snapshot", this.#fields(incoming));
  }

  applied(incoming: SnapshotMeta): void {
    this.log.info("applied snapshot", this.#fields(incoming));
    this.snapshotIndex = incoming.index;
  }

  #fields(incoming: SnapshotMeta): Fields {
    return {
      "current-snapshot-index": this.snapshotIndex,
      "current-applied-index": this.#appliedBefore,
      "incoming-leader-snapshot-index": incoming.index,
      "incoming-leader-snapshot-term": incoming.term,
    };
  }
}
