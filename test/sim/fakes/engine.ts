// The data plane in memory: batches, append and follow grant, WAL with delayed syncs, apply with barriers, flushes, reads. It
// keeps the ordering promises of NativeEngine and nothing more, and checks those that raft and replica must keep.

import {
  EntryKind,
  type EntryMeta,
  type GrantQuorum,
  type HardState,
  type MetaWrite,
  type NativeEngine,
  type NativeEvent,
  type NativeStatus,
  type OpKind,
  type PersistEntry,
  type Recovered,
} from "../../../src/native/binding.js";
import {
  type AppendMessage,
  dataPlaneRoundMin,
  type HeartbeatMessage,
  type MemberId,
  type Message,
} from "../../../src/raft/index.js";
import type { Clock } from "../../../src/replica/clock.js";
import { encodeJson } from "../../../src/replica/commands.js";
import { FakeBatches } from "./batches.js";
import type { DiskEntry, FakeDisk } from "./disk.js";
import { FakeEvents } from "./events.js";
import { FakeLeading } from "./leading.js";
import { FakeReads } from "./reads.js";
import { decodeOperation, type EntryData, type FakeStore, isBatch, type Operation } from "./store.js";
import { WithoutTransport } from "./transportless.js";
import { FakeWal } from "./wal.js";

export interface FakeTiming {
  syncMs(): number;
  applyMs(): number;
  wakeMs(): number;
  /** How long marks may wait while the data plane replicates and commits by itself. */
  marksMs(): number;
  flushEveryMs: number;
}

/** What the data plane does by itself between members. */
export type FastStep = "append" | "commit" | "read";

export interface FakeHooks {
  wake(): void;
  /** A message of the data plane's own to another member. */
  send(message: Message): void;
  /** An entry was written behind one of term `prevTerm`. */
  written(entry: DiskEntry, prevTerm: number): void;
  /** An entry was applied; `hash` is that of the whole state after it. */
  applied(entry: DiskEntry, hash: number): void;
  /** The outcome of `execute`; null: it was refused, and never took effect. */
  answered(token: number, outcome: number | null): void;
  fast(what: FastStep): void;
}

export class FakeEngine extends WithoutTransport implements NativeEngine {
  readonly #wal: FakeWal;
  store: FakeStore;
  readonly #events: FakeEvents;
  readonly #batches: FakeBatches;
  #grant: { term: number; next: number; soleVoter: boolean } | null = null;
  #leading: FakeLeading | null = null;
  #following: { term: number; leader: MemberId } | null = null;
  #lastRound = dataPlaneRoundMin;
  #durableIndex: number;
  #commit = 0;
  #applying = false;
  #barrier = 0;
  readonly #reads: FakeReads;
  #staged: FakeStore | null = null;
  serving = { term: 0, hasLeader: false, isLearner: false, capable: false };

  constructor(
    readonly disk: FakeDisk,
    private readonly clock: Clock,
    private readonly timing: FakeTiming,
    private readonly hooks: FakeHooks,
    private readonly origin: number,
    private readonly memberId: bigint,
  ) {
    super();
    this.#events = new FakeEvents(clock, timing, () => hooks.wake());
    const refused = (token: number) => hooks.answered(token, null);
    this.#batches = new FakeBatches(origin, () => this.#closeBatch(), refused);
    this.#reads = new FakeReads((token, outcome) => hooks.answered(token, outcome));
    this.#wal = new FakeWal(disk, clock, () => timing.syncMs());
    this.store = disk.store.clone();
    this.#durableIndex = disk.durable.lastIndex;
    this.#commit = this.store.appliedIndex;
    clock.every(timing.flushEveryMs, () => this.#flush());
  }

  recovered(): Recovered {
    return this.disk.recovered(1n, this.memberId);
  }

  open(): Promise<Recovered> {
    return Promise.resolve(this.recovered());
  }

  drain(): NativeEvent[] {
    return this.#events.drain();
  }

  // --- raft log ---

  persist(seq: number, hardState: HardState | null, entries: PersistEntry[]): void {
    const granted = this.#grant !== null || this.#following !== null;
    if (granted && entries.length > 0) throw new Error("persist under the grant");
    const written = entries.map((entry) => this.#toDisk(entry));
    this.#write(hardState, written, () => this.#events.emit({ type: "persisted", seq }));
    for (const { payload } of entries) if (payload !== 0) this.#batches.settle(payload);
  }

  #toDisk({ index, term, kind, payload, data }: PersistEntry): DiskEntry {
    const found = payload === 0 ? (data ?? new Uint8Array()) : this.#batches.payload(payload);
    if (found === undefined) throw new Error(`no payload ${payload} for entry ${index}`);
    return { index, term, kind, data: found, bytes: bytesOf(found) };
  }

  #write(hardState: HardState | null, entries: DiskEntry[], durable: () => void): void {
    const first = entries[0];
    if (first !== undefined) {
      if (first.index <= this.store.appliedIndex) throw new Error(`applied ${first.index} replaced`);
      this.#durableIndex = Math.min(this.#durableIndex, first.index - 1);
    }
    const last = entries.at(-1);
    let prevTerm = first === undefined ? 0 : this.#termAt(first.index - 1);
    for (const entry of entries) {
      this.hooks.written(entry, prevTerm);
      prevTerm = entry.term;
    }
    this.#wal.append({ type: "write", hardState, entries }, () => {
      // Another write may have taken the place meanwhile.
      if (last !== undefined && this.#wal.entry(last.index) === last) {
        this.#durableIndex = Math.max(this.#durableIndex, last.index);
      }
      durable();
      this.#applySoon();
    });
  }

  #termAt(index: number): number {
    const { written } = this.#wal;
    if (index === written.baseIndex) return written.baseTerm;
    const entry = written.entry(index);
    if (entry === null) throw new Error(`a write after ${index}, which is not in the log`);
    return entry.term;
  }

  dropPayloads(payloads: number[], error: NativeStatus): void {
    for (const payload of payloads) this.#batches.drop(payload, error);
  }

  grant(term: number, nextIndex: number, others: GrantQuorum | null): void {
    if (this.#grant !== null || this.#following !== null) throw new Error("a grant on top of a grant");
    if (nextIndex !== this.#wal.written.lastIndex + 1) {
      throw new Error(`grant at ${nextIndex}, the log ends at ${this.#wal.written.lastIndex}`);
    }
    this.#grant = { term, next: nextIndex, soleVoter: others === null };
    const send = (to: MemberId, message: object) => this.hooks.send({ ...message, from: this.memberId, to } as Message);
    this.#leading = others === null ? null : new FakeLeading(term, nextIndex, others, send);
    this.#events.patient = others === null;
    this.#closeBatch();
  }

  stream(last: number, members: MemberId[]): boolean {
    if (this.#leading === null) throw new Error("streamed without a grant");
    if (this.#wal.written.lastIndex !== last) return false;
    this.#leading.stream(members);
    this.#events.patient = true;
    return true;
  }

  follow(term: number, leader: MemberId, last: number): void {
    if (this.#grant !== null || this.#following !== null) throw new Error("a follow grant on top of a grant");
    if (this.#wal.written.lastIndex !== last) {
      throw new Error(`follow after ${last}, the log ends at ${this.#wal.written.lastIndex}`);
    }
    this.#following = { term, leader };
    this.#events.patient = true;
  }

  repeatRead(): void {
    this.#leading?.repeat();
  }

  revokeGrant(): number {
    const last = this.#wal.written.lastIndex;
    const unconfirmed = this.#leading?.unconfirmed ?? [];
    this.#grant = null;
    this.#leading = null;
    this.#following = null;
    this.#events.patient = false;
    for (const ctx of unconfirmed) this.#events.emit({ type: "readRequest", ctx });
    return last;
  }

  awaitApplied(index: number): void {
    this.#events.awaitApplied(index);
  }

  commit(index: number): void {
    this.#commit = Math.max(this.#commit, index);
    this.#applySoon();
  }

  controlApplied(index: number, writes: MetaWrite[]): void {
    if (index !== this.#barrier) throw new Error(`control ${index}, apply stands at ${this.#barrier}`);
    this.#barrier = 0;
    const entry = this.#committedEntry(index);
    this.store.entryApplied(index, entry.term, entry.kind, entry.data, writes);
    this.hooks.applied(entry, this.store.hash);
    this.#events.applied(index);
    this.#applySoon();
  }

  proposeControl(kind: EntryKind, data: Uint8Array): void {
    this.#stamp(kind, data, () => {});
  }

  stampPayload(kind: EntryKind, payload: number): void {
    const { data, own } = this.#batches.take(payload);
    if (data === undefined) throw new Error(`no payload ${payload} to stamp`);
    this.#stamp(kind, data, () => {
      if (own) this.#batches.done();
    });
  }

  releaseBatch(payload: number): void {
    this.#batches.release(payload);
  }

  compactLog(index: number, term: number): void {
    if (index > this.disk.store.appliedIndex) throw new Error("compacted what is not flushed");
    this.#wal.append({ type: "compact", index, term }, () => {});
  }

  // --- batches ---

  propose(_kind: OpKind, request: Uint8Array, token: number): void {
    this.execute(decodeOperation(request), -token);
  }

  /** Tokens of TypeScript are negative here; clients of the simulation use positive ones. */
  #tell(token: number, outcome: number): void {
    if (token > 0) this.hooks.answered(token, outcome);
    else {
      const data = encodeJson(outcome);
      this.#events.emit({ type: "proposed", token: -token, data, error: null });
    }
  }

  /** A request from a client; `hooks.answered` tells the outcome, if there is one. */
  execute(op: Operation, token: number): void {
    this.#batches.add(op, token);
    this.#closeBatch();
  }

  #closeBatch(): void {
    const batch = this.#batches.close();
    if (batch === null) return;
    if (this.#grant !== null) {
      this.#batches.stamped(batch);
      this.#stamp(EntryKind.Batch, batch, () => this.#batches.done());
      return;
    }
    const payload = this.#batches.held(batch);
    this.#events.emit({ type: "batch", payload, bytes: bytesOf(batch), requests: batch.length });
  }

  #stamp(kind: EntryKind, data: EntryData, durable: () => void): void {
    const grant = this.#grant;
    if (grant === null) throw new Error("stamped without a grant");
    const { term } = grant;
    const index = grant.next;
    grant.next += 1;
    const entry: DiskEntry = { index, term, kind, data, bytes: bytesOf(data) };
    const meta: EntryMeta = { index, term, kind, bytes: entry.bytes };
    const prev = { index: index - 1, term: this.#termAt(index - 1) };
    this.#events.mark({ type: "appended", entries: [meta] });
    const soleVoter = grant.soleVoter;
    this.#write(null, [entry], () => {
      this.#events.mark({ type: "stable", index, term });
      if (this.#leading?.term === term) {
        this.#leading.ownStable(index);
        this.#commitQuorum();
      }
      // The grant may have ended meanwhile; raft commits then, if it still leads.
      if (soleVoter && this.#grant?.soleVoter === true && this.#grant.term === term) this.commit(index);
      durable();
    });
    this.#leading?.replicate(prev, meta);
  }

  // --- the fast path between members ---

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

  #isFollowed({ from, term }: Message): boolean {
    return this.#following?.leader === from && this.#following.term === term;
  }

  #takeAppend(message: AppendMessage): boolean {
    const { from, term, prevIndex, prevTerm, commit } = message;
    const { lastIndex } = this.#wal.written;
    if (!this.#isFollowed(message) || prevIndex !== lastIndex || this.#termAt(lastIndex) !== prevTerm) return false;
    if (message.entries.some(({ kind }) => kind === EntryKind.ConfChange)) return false;
    const entries = message.entries.map(({ payload, ...meta }): DiskEntry => {
      const data = typeof payload === "number" ? this.#batches.take(payload).data : (payload as EntryData | null);
      return { ...meta, data: data ?? new Uint8Array() };
    });
    const metas = entries.map(({ data: _, ...meta }): EntryMeta => meta);
    if (metas.length > 0) this.#events.mark({ type: "appended", entries: metas });
    const last = prevIndex + entries.length;
    this.hooks.fast("append");
    this.#write(null, entries, () => {
      this.#events.mark({ type: "stable", index: last, term });
      const accepted = { index: last, reject: false, hintIndex: 0, hintTerm: 0 };
      this.hooks.send({ type: "appendResponse", from: this.memberId, to: from, term, ...accepted });
    });
    this.#learnCommit(Math.min(commit, last));
    return true;
  }

  #takeHeartbeat(message: HeartbeatMessage): boolean {
    if (!this.#isFollowed(message)) return false;
    const { from: to, term, readSeq, commit } = message;
    this.#learnCommit(Math.min(commit, this.#wal.written.lastIndex));
    if (readSeq > dataPlaneRoundMin) {
      this.hooks.send({ type: "heartbeatResponse", from: this.memberId, to, term, readSeq });
    }
    return true;
  }

  #learnCommit(index: number): void {
    if (index <= this.#commit) return;
    this.#events.mark({ type: "committed", index });
    this.commit(index);
  }

  #acknowledged(from: MemberId, term: number, index: number): boolean {
    const leading = this.#leading;
    if (leading?.term !== term || index > this.#wal.written.lastIndex) return false;
    if (!leading.acknowledged(from, index)) return false;
    this.#events.mark({ type: "acknowledged", from, index, term });
    this.#commitQuorum();
    return true;
  }

  #commitQuorum(): void {
    const index = this.#leading?.advance() ?? null;
    if (index !== null) {
      this.hooks.fast("commit");
      this.#events.mark({ type: "committed", index });
      this.commit(index);
    }
    this.#leading?.tellCommit();
  }

  #heard(from: MemberId, term: number, number: number): void {
    if (this.#leading?.term !== term) return;
    const round = this.#leading.heard(from, number);
    if (round === null) return;
    this.hooks.fast("read");
    this.readIndexReady(round.ctx, round.index);
  }

  #requestRead(ctx: number): void {
    const leading = this.#leading;
    if (leading === null) {
      this.#events.emit({ type: "readRequest", ctx });
      return;
    }
    this.#lastRound += 1;
    leading.begin(this.#lastRound, ctx, Math.max(leading.committed, this.#commit));
  }

  // --- what the network needs ---

  /** The payload of an entry that is in the log; null: not there any more. */
  entryData(index: number, term: number): EntryData | null {
    const entry = this.#wal.entry(index);
    return entry?.term === term ? entry.data : null;
  }

  payloadData(payload: number): EntryData | null {
    return this.#batches.payload(payload) ?? null;
  }

  receivePayload(data: EntryData): number {
    return this.#batches.hold(data);
  }

  get payloadCount(): number {
    return this.#batches.payloadCount;
  }

  /** A received store, which `installSnapshot` puts in place of the own one. */
  stageSnapshot(store: FakeStore): void {
    this.#staged = store;
  }

  installSnapshot(index: number): void {
    const store = this.#staged;
    if (store === null || store.appliedIndex !== index) throw new Error(`no snapshot ${index} is staged`);
    this.#staged = null;
    this.store = store.clone();
    this.#barrier = 0;
    this.#commit = Math.max(this.#commit, index);
    this.#durableIndex = 0;
    this.#wal.append({ type: "snapshot", store }, () => {
      this.#durableIndex = Math.max(this.#durableIndex, index);
      this.#events.applied(index);
      this.#reads.serve(this.store);
      this.#applySoon();
    });
  }

  // --- apply ---

  #applySoon(): void {
    if (this.#applying || this.#barrier > 0 || this.#nextApplicable() === null) return;
    this.#applying = true;
    this.clock.after(this.timing.applyMs(), () => {
      this.#applying = false;
      this.#applyRun();
    });
  }

  #nextApplicable(): number | null {
    const next = this.store.appliedIndex + 1;
    return next <= this.#commit && next <= this.#durableIndex ? next : null;
  }

  #applyRun(): void {
    const before = this.store.appliedIndex;
    for (let next = this.#nextApplicable(); next !== null; next = this.#nextApplicable()) {
      if (this.#barrier > 0) break;
      const entry = this.#committedEntry(next);
      if (entry.kind === EntryKind.Control || entry.kind === EntryKind.ConfChange) {
        this.#standAt(entry);
        break;
      }
      this.#applyBatch(entry);
    }
    if (this.store.appliedIndex > before) {
      this.#events.applied(this.store.appliedIndex);
      this.#reads.serve(this.store);
    }
  }

  #standAt({ index, term, kind, data }: DiskEntry): void {
    this.#barrier = index;
    this.#events.emit({ type: "control", index, term, kind, data: data as Uint8Array });
  }

  #committedEntry(index: number): DiskEntry {
    const entry = this.#wal.entry(index);
    if (entry === null) throw new Error(`committed entry ${index} is not in the log`);
    return entry;
  }

  #applyBatch(entry: DiskEntry): void {
    const { index, term, kind, data } = entry;
    const outcomes: { token: number; outcome: number }[] = [];
    if (isBatch(data)) {
      for (const { origin, token, op } of data) {
        const outcome = this.store.execute(op);
        if (origin === this.origin) outcomes.push({ token, outcome });
      }
    }
    this.store.entryApplied(index, term, kind, data, []);
    this.hooks.applied(entry, this.store.hash);
    for (const { token, outcome } of outcomes) {
      this.#tell(token, outcome);
      this.#batches.answered(token);
    }
  }

  #flush(): void {
    if (this.store.appliedIndex === this.disk.store.appliedIndex) return;
    // A snapshot that is not durable yet must not reach the store before its mark reaches the WAL.
    if (this.store.appliedIndex > this.disk.durable.lastIndex) return;
    if (this.store.appliedIndex < this.disk.durable.baseIndex) return;
    if (this.disk.unsynced.some((record) => record.type === "snapshot")) return;
    this.disk.store = this.store.clone();
    const { appliedIndex, appliedTerm } = this.store;
    this.#events.mark({ type: "flushed", index: appliedIndex, term: appliedTerm });
  }

  // --- reads ---

  /** A linearizable read of a client. */
  read(op: Operation, token: number): void {
    if (this.#grant?.soleVoter === true) {
      this.hooks.answered(token, this.store.execute(op));
      return;
    }
    this.#requestRead(this.#reads.open(op, token));
  }

  readIndexReady(ctx: number, index: number): void {
    this.#reads.ready(ctx, index);
    this.#reads.serve(this.store);
  }

  readIndexFailed(ctx: number, _error: NativeStatus): void {
    this.#reads.failed(ctx);
  }

  setServing(state: { term: number; hasLeader: boolean; isLearner: boolean; capable: boolean }): void {
    this.serving = state;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function bytesOf(data: EntryData): number {
  return isBatch(data) ? 16 + 40 * data.length : data.length;
}
