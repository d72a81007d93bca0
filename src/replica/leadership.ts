// Who leads, since when, and who wants to know. Also which of etcd's timeout errors a request gets: that depends on
// whether the leader changed or was out of reach while the request waited.

import { type MemberId, NONE } from "../raft/index.js";
import type { Clock } from "./clock.js";
import { type ReplicaError, replicaErrors } from "./errors.js";
import type { Reply } from "./pending.js";
import type { PeerTransport } from "./transport.js";

export interface Leadership {
  /** NONE: no leader is known. */
  leader: MemberId;
  term: number;
  isLeader: boolean;
}

export class LeadershipWatch {
  readonly #listeners = new Set<(leadership: Leadership) => void>();
  /** Who waits for a member to lead. */
  readonly #awaiting = new Set<Reply<void>>();
  #leader: MemberId = NONE;
  /** When the leader of now was elected, in the clock's milliseconds. */
  #sinceMs = Number.NEGATIVE_INFINITY;
  /** Since when there is none. */
  #leaderlessMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly self: MemberId,
    private readonly clock: Clock,
    private readonly electionMs: number,
    private readonly transport: PeerTransport | null,
    private readonly voters: () => readonly MemberId[],
  ) {}

  /** True: a leader was elected that is not the one of before. */
  note(leader: MemberId): boolean {
    const isNew = leader !== NONE && leader !== this.#leader;
    if (leader === NONE && this.#leader !== NONE) this.#leaderlessMs = this.clock.nowMs();
    this.#leader = leader;
    if (isNew) this.#sinceMs = this.clock.nowMs();
    return isNew;
  }

  tell(leadership: Leadership): void {
    for (const listener of [...this.#listeners]) listener(leadership);
  }

  /** Returns what ends the subscription. */
  subscribe(listener: (leadership: Leadership) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Replies when `to` leads, or that it took too long. */
  awaitLeader(to: MemberId, timeoutMs: number, reply: Reply<void>): void {
    const end = () => {
      unsubscribe();
      timer.cancel();
      this.#awaiting.delete(awaiting);
    };
    const awaiting: Reply<void> = {
      done: () => {
        end();
        reply.done();
      },
      failed: (error) => {
        end();
        reply.failed(error);
      },
    };
    const timer = this.clock.after(timeoutMs, () => awaiting.failed(replicaErrors.transferTimeout()));
    const unsubscribe = this.subscribe(({ leader }) => {
      if (leader === to) awaiting.done();
    });
    this.#awaiting.add(awaiting);
  }

  /** Fails everything that waits. */
  stop(): void {
    for (const reply of [...this.#awaiting]) reply.failed(replicaErrors.stopped());
  }

  /** The same distinction for a proposal: without any leader since `startedMs` it never left this member. */
  proposalTimeoutError(startedMs: number): ReplicaError {
    if (this.#leader === NONE && this.#leaderlessMs <= startedMs) return replicaErrors.deadlineExceeded();
    return this.timeoutError(startedMs);
  }

  /** etcd's distinction of why nobody answered a request that was made at `startedMs`. */
  timeoutError(startedMs: number): ReplicaError {
    const elected = this.#sinceMs;
    if (startedMs > elected - 2 * this.electionMs && startedMs < elected) {
      return replicaErrors.timeoutLeaderFail();
    }
    const lead = this.#leader;
    if (this.transport === null || lead === NONE) return replicaErrors.timeout();
    const connected =
      lead === this.self
        ? this.#connectedToQuorum(this.transport, startedMs)
        : this.transport.connectedSince(lead, startedMs);
    return connected ? replicaErrors.timeout() : replicaErrors.timeoutConnectionLost();
  }

  #connectedToQuorum(transport: PeerTransport, sinceMs: number): boolean {
    const voters = this.voters();
    const connected = voters.filter((id) => id === this.self || transport.connectedSince(id, sinceMs));
    return connected.length > voters.length / 2;
  }
}
