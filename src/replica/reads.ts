// Linearizable reads: asks raft for read indices, repeats what got lost, and gives up with etcd's errors. Contexts are
// numbered from a random start, so that an answer to an earlier process of this member never fits a request of now.

import type { Raft, ReadState } from "../raft/index.js";
import type { Clock, Timer } from "./clock.js";
import { type ReplicaError, replicaErrors } from "./errors.js";
import { PendingRequests, type Reply } from "./pending.js";

export class ReadIndexer {
  readonly #pending: PendingRequests<number>;
  /** Contexts that no leader was asked for yet. */
  readonly #unsent = new Set<number>();
  readonly #retry: Timer;
  #nextContext: number;

  constructor(
    private readonly act: (input: (raft: Raft) => void) => void,
    clock: Clock,
    timing: { timeoutMs: number; retryMs: number },
    firstContext: number,
    timedOut: (startedMs: number) => ReplicaError,
  ) {
    this.#nextContext = firstContext;
    this.#pending = new PendingRequests(clock, timing.timeoutMs, (context, startedMs) => {
      this.#unsent.delete(context);
      return timedOut(startedMs);
    });
    this.#retry = clock.every(timing.retryMs, () => this.#repeat());
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Replies with an index; the read may be served once it is applied. */
  request(reply: Reply<number>): void {
    const context = this.#nextContext;
    this.#nextContext += 1;
    this.#pending.add(context, reply);
    this.#unsent.add(context);
  }

  /** Sends what was not sent yet. True: something was sent. */
  advance(raft: Raft): boolean {
    let sent = false;
    for (const context of this.#unsent) {
      if (!raft.readIndex(context)) break;
      this.#unsent.delete(context);
      sent = true;
    }
    return sent;
  }

  #repeat(): void {
    if (this.#pending.size === 0) return;
    this.act((raft) => {
      for (const context of this.#pending.keys()) {
        if (!this.#unsent.has(context)) raft.readIndex(context);
      }
    });
  }

  answered(states: ReadState[], dropped: number[]): void {
    for (const { context, index } of states) this.#pending.done(context, index);
    // This member leads no more, and nobody else may: they wait for the next leader, or for their deadline.
    for (const context of dropped) if (this.#pending.has(context)) this.#unsent.add(context);
  }

  /** Another member leads: what was asked of the old leader may never be answered. */
  leaderChanged(): void {
    for (const context of this.#pending.keys()) {
      if (!this.#unsent.has(context)) this.#pending.fail(context, replicaErrors.leaderChanged());
    }
  }

  stop(): void {
    this.#retry.cancel();
    this.#unsent.clear();
    this.#pending.failAll(replicaErrors.stopped);
  }
}
