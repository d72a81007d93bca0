// What the leader knows of one follower's log, and when it may send it more.
//
// probe:     the match is uncertain; one append per heartbeat interval until an answer comes.
// replicate: the match is known; appends are sent optimistically, bounded by the inflights.
// snapshot:  the entries that the follower needs are compacted; nothing is sent until the snapshot arrived or failed.

import { Inflights } from "./inflights.js";

export type ProgressState = "probe" | "replicate" | "snapshot";

export class Progress {
  state: ProgressState = "probe";
  /** The highest index known to be durable on the follower and equal to ours. */
  match = 0;
  /** The next index to send. Always > match. */
  next: number;
  /**
   * Index of the snapshot on its way, or (while probing) of one that arrived and is not acknowledged: the follower takes
   * its time to install it. Entries behind it will be needed. 0: none.
   */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. */
  recentActive = false;
  /** No further append until an answer or the next heartbeat answer. */
  paused = false;
  readonly inflights: Inflights;

  constructor(
    next: number,
    /** Where the log began, as far as it may have had it, when this progress did. */
    readonly logStart: number,
    public isLearner: boolean,
    inflightMessagesMax: number,
    inflightBytesMax: number,
  ) {
    this.next = next;
    this.inflights = new Inflights(inflightMessagesMax, inflightBytesMax);
  }

  /**
   * It may need entries behind this index. One that has not said where it stands (it is away since before this leader)
   * may stand anywhere in the log that there was.
   */
  get needsAfter(): number {
    return Math.max(this.match, this.pendingSnapshot) || this.logStart;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.paused = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }

  becomeProbe(): void {
    // A snapshot that was sent counts as received up to its index, as far as the next probe goes.
    const arrived = this.state === "snapshot" ? this.pendingSnapshot : 0;
    this.#enter("probe");
    this.pendingSnapshot = arrived > this.match ? arrived : 0;
    this.next = Math.max(this.match, arrived) + 1;
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
  }

  /** Notes an append of `count` entries that ends at next + count - 1. */
  sent(count: number, bytes: number): void {
    if (this.state === "replicate") {
      if (count > 0) {
        this.next += count;
        this.inflights.add(this.next - 1, bytes);
      }
      this.paused = this.inflights.full;
    } else {
      this.paused = true;
    }
  }

  /** The follower has everything up to index. False: nothing new. */
  update(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.paused = false;
    return true;
  }

  /** The follower refused an append after `refused`; true: `next` went back and a new append is due. */
  fallBack(refused: number, hint: number): boolean {
    if (this.state === "replicate") {
      // An older refusal: what it speaks of has been acknowledged since.
      if (refused <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    // Only the answer to the newest probe counts.
    if (this.next - 1 !== refused) return false;
    this.next = Math.max(Math.min(refused, hint + 1), this.match + 1);
    if (this.next <= this.pendingSnapshot) this.pendingSnapshot = 0;
    this.paused = false;
    return true;
  }

  get isPaused(): boolean {
    return this.state === "snapshot" || this.paused;
  }
}
