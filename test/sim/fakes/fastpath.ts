// What the fake data plane does by itself between members, on both sides: a follower takes what the leader that it was
// told of streams, and the leader counts, commits and confirms reads (leading.ts). Everything else is left to raft.

import { EntryKind, type EntryMeta, type GrantQuorum } from "../../../src/native/binding.js";
import {
  type AppendMessage,
  dataPlaneRoundMin,
  type HeartbeatMessage,
  type MemberId,
  type Message,
} from "../../../src/raft/index.js";
import type { DiskEntry } from "./disk.js";
import type { FakeEvents } from "./events.js";
import { FakeLeading, type Outgoing } from "./leading.js";
import type { EntryData } from "./store.js";
import type { FakeWal } from "./wal.js";

/** What the data plane does by itself between members. */
export type FastStep = "append" | "commit" | "read";

export interface FakeFastPathParts {
  readonly memberId: MemberId;
  readonly wal: FakeWal;
  readonly events: FakeEvents;
  /** Takes a payload out. */
  readonly takePayload: (payload: number) => EntryData | undefined;
  readonly write: (entries: DiskEntry[], durable: () => void) => void;
  readonly commit: (index: number) => void;
  readonly committed: () => number;
  readonly readIndexReady: (ctx: number, index: number) => void;
  readonly send: (message: Message) => void;
  readonly fast: (what: FastStep) => void;
}

export class FakeFastPath {
  readonly #parts: FakeFastPathParts;
  #leading: FakeLeading | null = null;
  #following: { term: number; leader: MemberId } | null = null;
  #lastRound = dataPlaneRoundMin;

  constructor(parts: FakeFastPathParts) {
    this.#parts = parts;
  }

  get isFollowing(): boolean {
    return this.#following !== null;
  }

  lead(term: number, nextIndex: number, quorum: GrantQuorum): void {
    this.#leading = new FakeLeading(term, nextIndex, quorum, (to, message) => this.#send(to, message));
  }

  follow(term: number, leader: MemberId): void {
    this.#following = { term, leader };
  }

  /** Ends either side; the reads that nobody has confirmed are returned. */
  end(): number[] {
    const unconfirmed = this.#leading?.unconfirmed ?? [];
    this.#leading = null;
    this.#following = null;
    return unconfirmed;
  }

  #send(to: MemberId, message: Outgoing): void {
    this.#parts.send({ ...message, from: this.#parts.memberId, to } as Message);
  }

  // --- the leader's side ---

  /** False: `last` is not the end of the log. */
  stream(last: number, members: readonly MemberId[]): boolean {
    if (this.#leading === null) throw new Error("streamed without a grant");
    if (this.#parts.wal.written.lastIndex !== last) return false;
    this.#leading.stream(members);
    return true;
  }

  /** This member stamped an entry behind `prev`. */
  replicate(prev: { index: number; term: number }, entry: EntryMeta): void {
    this.#leading?.replicate(prev, entry);
  }

  /** An entry that this member stamped in this term is durable here. */
  ownStable(index: number, term: number): void {
    if (this.#leading?.term !== term) return;
    this.#leading.ownStable(index);
    this.#commitQuorum();
  }

  repeatRead(): void {
    this.#leading?.repeat();
  }

  /** False: this member does not lead, raft must ask. */
  confirmRead(ctx: number): boolean {
    const leading = this.#leading;
    if (leading === null) return false;
    this.#lastRound += 1;
    leading.begin(this.#lastRound, ctx, Math.max(leading.committed, this.#parts.committed()));
    return true;
  }

  #acknowledged(from: MemberId, term: number, index: number): boolean {
    const leading = this.#leading;
    if (leading?.term !== term || index > this.#parts.wal.written.lastIndex) return false;
    if (!leading.acknowledged(from, index)) return false;
    this.#parts.events.mark({ type: "acknowledged", from, index, term });
    this.#commitQuorum();
    return true;
  }

  #commitQuorum(): void {
    const index = this.#leading?.advance() ?? null;
    if (index !== null) {
      this.#parts.fast("commit");
      this.#parts.events.mark({ type: "committed", index });
      this.#parts.commit(index);
    }
    this.#leading?.tellCommit();
  }

  #heard(from: MemberId, term: number, number: number): void {
    if (this.#leading?.term !== term) return;
    const round = this.#leading.heard(from, number);
    if (round === null) return;
    this.#parts.fast("read");
    this.#parts.readIndexReady(round.ctx, round.index);
  }

  // --- messages ---

  /** A message of another member; true: it is dealt with, and raft never sees it. */
  receive(message: Message): boolean {
    switch (message.type) {
      case "append":
        return this.#takeAppend(message);
      case "appendResponse":
        return !message.reject && this.#acknowledged(message.from, message.term, message.index);
      case "heartbeat":
        return message.readSeq >= dataPlaneRoundMin && this.#takeHeartbeat(message);
      case "heartbeatResponse":
        if (message.readSeq < dataPlaneRoundMin) return false;
        this.#heard(message.from, message.term, message.readSeq);
        return true;
      default:
        return false;
    }
  }

  // --- the follower's side ---

  #isFollowed({ from, term }: Message): boolean {
    return this.#following?.leader === from && this.#following.term === term;
  }

  #takeAppend(message: AppendMessage): boolean {
    const { from, term, prevIndex, prevTerm, commit } = message;
    const { events, wal } = this.#parts;
    const { lastIndex } = wal.written;
    if (!this.#isFollowed(message) || prevIndex !== lastIndex || wal.termAt(lastIndex) !== prevTerm) return false;
    if (message.entries.some(({ kind }) => kind === EntryKind.ConfChange)) return false;
    const entries = message.entries.map(({ payload, ...meta }): DiskEntry => {
      const data = typeof payload === "number" ? this.#parts.takePayload(payload) : (payload as EntryData | null);
      return { ...meta, data: data ?? new Uint8Array() };
    });
    const metas = entries.map(({ data: _, ...meta }): EntryMeta => meta);
    if (metas.length > 0) events.mark({ type: "appended", entries: metas });
    const last = prevIndex + entries.length;
    this.#parts.fast("append");
    this.#parts.write(entries, () => {
      events.mark({ type: "stable", index: last, term });
      this.#send(from, { type: "appendResponse", term, index: last, reject: false, hintIndex: 0, hintTerm: 0 });
    });
    this.#learnCommit(Math.min(commit, last));
    return true;
  }

  #takeHeartbeat(message: HeartbeatMessage): boolean {
    if (!this.#isFollowed(message)) return false;
    const { from, term, readSeq, commit } = message;
    this.#learnCommit(Math.min(commit, this.#parts.wal.written.lastIndex));
    if (readSeq > dataPlaneRoundMin) this.#send(from, { type: "heartbeatResponse", term, readSeq });
    return true;
  }

  #learnCommit(index: number): void {
    if (index <= this.#parts.committed()) return;
    this.#parts.events.mark({ type: "committed", index });
    this.#parts.commit(index);
  }
}
