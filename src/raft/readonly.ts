// Read-index requests that wait for a quorum to confirm the leader. Rounds are numbered; a heartbeat carries the
// newest number and its answer confirms every request up to it, as they were all received before it was sent.

import type { MemberId } from "./types.js";

export interface ReadRequest {
  seq: number;
  from: MemberId;
  context: number;
  /** The commit index when the request came. */
  index: number;
}

export interface UnroutedRead {
  from: MemberId;
  context: number;
}

export class ReadQueue {
  readonly #requests: ReadRequest[] = [];
  /** Came before the leader committed an entry of its term; they have no index yet. */
  readonly #early: UnroutedRead[] = [];
  readonly #confirmed = new Map<MemberId, number>();
  #seq = 0;

  postpone(read: UnroutedRead): void {
    this.#early.push(read);
  }

  takePostponed(): UnroutedRead[] {
    return this.#early.splice(0);
  }

  get hasPostponed(): boolean {
    return this.#early.length > 0;
  }

  add(read: UnroutedRead, index: number): void {
    this.#seq += 1;
    this.#requests.push({ ...read, seq: this.#seq, index });
  }

  /** The round that a heartbeat sent now confirms; 0: none waits. */
  get newestSeq(): number {
    return this.#requests.at(-1)?.seq ?? 0;
  }

  get waiting(): number {
    return this.#requests.length + this.#early.length;
  }

  confirm(from: MemberId, seq: number): void {
    if (seq > (this.#confirmed.get(from) ?? 0)) this.#confirmed.set(from, seq);
  }

  /** The requests, oldest first, that a quorum has confirmed. */
  release(quorumOf: (has: (id: MemberId) => boolean) => boolean, self: MemberId): ReadRequest[] {
    let released = 0;
    for (const request of this.#requests) {
      const has = (id: MemberId) => id === self || (this.#confirmed.get(id) ?? 0) >= request.seq;
      if (!quorumOf(has)) break;
      released += 1;
    }
    return this.#requests.splice(0, released);
  }

  /** Forgets everything; returns the contexts of requests made by `self`. Rounds are not numbered anew. */
  clear(self: MemberId): number[] {
    const own: number[] = [];
    for (const read of [...this.#requests, ...this.#early]) {
      if (read.from === self) own.push(read.context);
    }
    this.#requests.length = 0;
    this.#early.length = 0;
    this.#confirmed.clear();
    return own;
  }
}
