// What this member counts of its links to the others, for its metrics: links that ended, stores sent and received, and
// heartbeats that went out late, which shows a leader whose event loop or disk cannot keep up.

import type { MemberId } from "../raft/index.js";

export interface PeerCounts {
  /** How often a link that was up has ended. */
  disconnects: number;
  /** Stores of this member that are on their way, have arrived and have not. */
  storesSending: number;
  storesSent: number;
  storesFailed: number;
  /** Stores that have arrived from there. */
  storesReceived: number;
}

const none: PeerCounts = { disconnects: 0, storesSending: 0, storesSent: 0, storesFailed: 0, storesReceived: 0 };

/** A heartbeat goes out late when more than so many intervals have passed since the last one. */
const LATE_INTERVALS = 2;

export class PeerTally {
  readonly #counts = new Map<MemberId, PeerCounts>();
  readonly #heartbeatsMs = new Map<MemberId, number>();
  #heartbeatTerm = 0;
  #lateHeartbeats = 0;

  constructor(private readonly heartbeatMs: number) {}

  /** The peer's counts, to be read or added to. */
  of(id: MemberId): PeerCounts {
    let counts = this.#counts.get(id);
    if (counts === undefined) {
      counts = { ...none };
      this.#counts.set(id, counts);
    }
    return counts;
  }

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

  /** A store goes out. */
  storeSending(to: MemberId): void {
    this.of(to).storesSending += 1;
  }

  storeSent(to: MemberId, arrived: boolean): void {
    const counts = this.of(to);
    counts.storesSending -= 1;
    if (arrived) counts.storesSent += 1;
    else counts.storesFailed += 1;
  }

  forget(id: MemberId): void {
    this.#counts.delete(id);
    this.#heartbeatsMs.delete(id);
  }
}
