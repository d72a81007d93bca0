// What the leader's fake data plane does by itself under the append grant: it sends what it stamps, counts
// acknowledgements, commits, and confirms reads by rounds of heartbeats. The slow twin of native/engine/src/pipeline/lead.rs.

import type { GrantQuorum } from "../../../src/native/binding.js";
import { dataPlaneRoundMin, type EntryMeta, type MemberId, type Message } from "../../../src/raft/index.js";

interface Member {
  votes: boolean;
  matched: number;
  streamed: boolean;
  told: number;
}

interface Round {
  ctx: number;
  /** The commit index when it began. */
  index: number;
  confirmed: Set<MemberId>;
}

/** Without sender and receiver. */
export type Outgoing<M = Message> = M extends Message ? Omit<M, "from" | "to"> : never;

export class FakeLeading {
  readonly #members = new Map<MemberId, Member>();
  readonly #rounds = new Map<number, Round>();
  readonly #ownVote: boolean;
  #stable: number;
  committed: number;

  constructor(
    readonly term: number,
    private readonly first: number,
    quorum: GrantQuorum,
    private readonly send: (to: MemberId, message: Outgoing) => void,
  ) {
    this.#ownVote = quorum.ownVote;
    this.#stable = first - 1;
    this.committed = quorum.committed;
    for (const { id, votes, matched } of quorum.members) {
      this.#members.set(id, { votes, matched, streamed: false, told: 0 });
    }
  }

  stream(ids: readonly MemberId[]): void {
    for (const [id, member] of this.#members) member.streamed = ids.includes(id);
  }

  replicate(prev: { index: number; term: number }, entry: EntryMeta): void {
    const entries = [{ ...entry, payload: null }];
    for (const [to, member] of this.#members) {
      if (!member.streamed) continue;
      member.told = this.committed;
      const { term, committed: commit } = this;
      this.send(to, { type: "append", term, prevIndex: prev.index, prevTerm: prev.term, commit, entries });
    }
  }

  /** False: not known here. */
  acknowledged(from: MemberId, index: number): boolean {
    const member = this.#members.get(from);
    if (member === undefined) return false;
    member.matched = Math.max(member.matched, index);
    return true;
  }

  ownStable(index: number): void {
    this.#stable = Math.max(this.#stable, index);
  }

  /** The new commit index; null: it does not move. */
  advance(): number | null {
    const reached = [...this.#members.values()].filter(({ votes }) => votes).map(({ matched }) => matched);
    if (this.#ownVote) reached.push(this.#stable);
    const index = reached.sort((a, b) => b - a)[Math.floor(reached.length / 2)] ?? 0;
    if (index < this.first || index <= this.committed) return null;
    this.committed = index;
    return index;
  }

  tellCommit(): void {
    for (const [to, member] of this.#members) {
      const commit = Math.min(member.matched, this.committed);
      if (!member.streamed || commit <= member.told) continue;
      member.told = commit;
      this.send(to, { type: "heartbeat", term: this.term, commit, readSeq: dataPlaneRoundMin });
    }
  }

  begin(number: number, ctx: number, index: number): void {
    this.#rounds.set(number, { ctx, index, confirmed: new Set() });
    this.#ask(number);
  }

  repeat(): void {
    for (const number of this.#rounds.keys()) this.#ask(number);
  }

  #ask(readSeq: number): void {
    for (const [to, { votes, matched }] of this.#members) {
      const commit = Math.min(matched, this.committed);
      if (votes) this.send(to, { type: "heartbeat", term: this.term, commit, readSeq });
    }
  }

  /** The round that a majority has confirmed now. */
  heard(from: MemberId, number: number): Round | null {
    const round = this.#rounds.get(number);
    if (round === undefined || this.#members.get(from)?.votes !== true) return null;
    round.confirmed.add(from);
    const others = [...this.#members.values()].filter(({ votes }) => votes).length;
    const own = this.#ownVote ? 1 : 0;
    if (2 * (round.confirmed.size + own) <= others + own) return null;
    this.#rounds.delete(number);
    return round;
  }

  /** The reads of rounds that are not confirmed. */
  get unconfirmed(): number[] {
    return [...this.#rounds.values()].map(({ ctx }) => ctx);
  }
}
