// Heartbeats that went out late: they show a leader whose event loop or disk cannot keep up.

import type { MemberId } from "../raft/index.js";

/** A heartbeat goes out late when more than so many intervals have passed since the last one. */
const LATE_INTERVALS = 2;

export class PeerTally {
  readonly #heartbeatsMs = new Map<MemberId, number>();
  #heartbeatTerm = 0;
  #lateHeartbeats = 0;

  constructor(private readonly heartbeatMs: number) {}

  get lateHeartbeats(): number {
    return this.#lateHeartbeats;
  }

  /** A heartbeat goes out. By how many whole milliseconds it is late; 0: it is not, or is the first of a leader. */
  heartbeat(to: MemberId, term: number, nowMs: number): number {
    if (term !== this.#heartbeatTerm) {
      this.#heartbeatTerm = term;
      this.#heartbeatsMs.clear();
    }
    const dueMs = (this.#heartbeatsMs.get(to) ?? nowMs) + LATE_INTERVALS * this.heartbeatMs;
    this.#heartbeatsMs.set(to, nowMs);
    if (nowMs <= dueMs) return 0;
    this.#lateHeartbeats += 1;
    return Math.ceil(nowMs - dueMs);
  }

  forget(id: MemberId): void {
    this.#heartbeatsMs.delete(id);
  }
}
