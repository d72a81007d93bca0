// The data plane in memory: joins batches (batches.ts), WAL (wal.ts), apply (apply.ts), reads (reads.ts) and the fast
// path between members (fastpath.ts) by the log and its grants. It keeps the ordering promises of NativeEngine and
// nothing more, and checks those that raft and replica must keep.

import {
  EntryKind,
  type EntryMeta,
  type GrantQuorum,
  type HardState,
  type MetaRow,
  type MetaWrite,
  type NativeEngine,
  type NativeEvent,
  type NativeLog,
  type NativeStatus,
  type OpKind,
  type PersistEntry,
  type Recovered,
} from "../../../src/native/binding.js";
import type { MemberId, Message } from "../../../src/raft/index.js";
import type { Clock } from "../../../src/replica/clock.js";
import { encodeJson } from "../../../src/replica/commands.js";
import { FakeApply } from "./apply.js";
import { FakeBatches } from "./batches.js";
import type { DiskEntry, FakeDisk } from "./disk.js";
import { FakeEvents } from "./events.js";
import { FakeFastPath, type FastStep } from "./fastpath.js";
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

export class FakeEngine extends WithoutTransport implements NativeEngine, NativeLog {
  /** The handle and the engine are one here. */
  readonly log: NativeLog = this;
  readonly #wal: FakeWal;
  readonly #apply: FakeApply;
  readonly #fast: FakeFastPath;
  readonly #events: FakeEvents;
  readonly #batches: FakeBatches;
  #grant: { term: number; next: number; soleVoter: boolean } | null = null;
  readonly #reads: FakeReads;
  #staged: FakeStore | null = null;
  serving = { term: 0, hasLeader: false, isLearner: false };

  constructor(
    readonly disk: FakeDisk,
    clock: Clock,
    timing: FakeTiming,
    private readonly hooks: FakeHooks,
    origin: number,
    private readonly memberId: bigint,
  ) {
    super();
    this.#events = new FakeEvents(clock, timing, () => hooks.wake());
    const refused = (token: number) => hooks.answered(token, null);
    this.#batches = new FakeBatches(origin, () => this.#closeBatch(), refused);
    this.#reads = new FakeReads((token, outcome) => hooks.answered(token, outcome));
    this.#wal = new FakeWal(disk, clock, () => timing.syncMs());
    const wal = this.#wal;
    const events = this.#events;
    this.#apply = new FakeApply({
      disk,
      wal,
      events,
      reads: this.#reads,
      clock,
      origin,
      flushEveryMs: timing.flushEveryMs,
      applyMs: () => timing.applyMs(),
      answer: (token, outcome) => this.#answer(token, outcome),
      applied: (entry, hash) => hooks.applied(entry, hash),
    });
    this.#fast = new FakeFastPath({
      memberId,
      wal,
      events,
      takePayload: (payload) => this.#batches.take(payload).data,
      write: (entries, durable) => this.#write(null, entries, durable),
      commit: (index) => this.commit(index),
      committed: () => this.#apply.committed,
      readIndexReady: (ctx, index) => this.readIndexReady(ctx, index),
      send: (message) => hooks.send(message),
      fast: (what) => hooks.fast(what),
    });
  }

  get store(): FakeStore {
    return this.#apply.store;
  }

  get committed(): number {
    return this.#apply.committed;
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
    if (this.#isGranted && entries.length > 0) throw new Error("persist under the grant");
    const written = entries.map((entry) => this.#toDisk(entry));
    this.#write(hardState, written, () => this.#events.emit({ type: "persisted", seq }));
    for (const { payload } of entries) if (payload !== 0) this.#batches.settle(payload);
  }

  get #isGranted(): boolean {
    return this.#grant !== null || this.#fast.isFollowing;
  }

  #toDisk({ index, term, kind, payload, data }: PersistEntry): DiskEntry {
    const found = payload === 0 ? (data ?? new Uint8Array()) : this.#batches.payload(payload);
    if (found === undefined) throw new Error(`no payload ${payload} for entry ${index}`);
    return { index, term, kind, data: found, bytes: bytesOf(found) };
  }

  #write(hardState: HardState | null, entries: DiskEntry[], durable: () => void): void {
    const first = entries[0];
    if (first !== undefined) this.#apply.replaced(first.index);
    const last = entries.at(-1);
    let prevTerm = first === undefined ? 0 : this.#wal.termAt(first.index - 1);
    for (const entry of entries) {
      this.hooks.written(entry, prevTerm);
      prevTerm = entry.term;
    }
    this.#wal.append({ type: "write", hardState, entries }, () => {
      // Another write may have taken the place meanwhile.
      if (last !== undefined && this.#wal.entry(last.index) === last) this.#apply.durable(last.index);
      durable();
      this.#apply.soon();
    });
  }

  dropPayloads(payloads: number[], error: NativeStatus): void {
    for (const payload of payloads) this.#batches.drop(payload, error);
  }

  grant(term: number, nextIndex: number, others: GrantQuorum | null): void {
    if (this.#isGranted) throw new Error("a grant on top of a grant");
    if (nextIndex !== this.#wal.written.lastIndex + 1) {
      throw new Error(`grant at ${nextIndex}, the log ends at ${this.#wal.written.lastIndex}`);
    }
    this.#grant = { term, next: nextIndex, soleVoter: others === null };
    if (others !== null) this.#fast.lead(term, nextIndex, others);
    this.#events.patient = others === null;
    this.#closeBatch();
  }

  stream(last: number, members: MemberId[]): boolean {
    if (!this.#fast.stream(last, members)) return false;
    this.#events.patient = true;
    return true;
  }

  follow(term: number, leader: MemberId, last: number): void {
    if (this.#isGranted) throw new Error("a follow grant on top of a grant");
    if (this.#wal.written.lastIndex !== last) {
      throw new Error(`follow after ${last}, the log ends at ${this.#wal.written.lastIndex}`);
    }
    this.#fast.follow(term, leader);
    this.#events.patient = true;
  }

  repeatRead(): void {
    this.#fast.repeatRead();
  }

  revokeGrant(): number {
    const last = this.#wal.written.lastIndex;
    const unconfirmed = this.#fast.end();
    this.#grant = null;
    this.#events.patient = false;
    for (const ctx of unconfirmed) this.#events.emit({ type: "readRequest", ctx });
    return last;
  }

  awaitApplied(index: number): void {
    this.#events.awaitApplied(index);
  }

  commit(index: number): void {
    this.#apply.commit(index);
  }

  controlApplied(index: number, writes: MetaWrite[]): void {
    this.#apply.controlApplied(index, writes);
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

  compact(index: number, term: number): void {
    if (index > this.disk.store.appliedIndex) throw new Error("compacted what is not flushed");
    this.#wal.append({ type: "compact", index, term }, () => {});
  }

  // --- batches ---

  propose(_kind: OpKind, request: Uint8Array, token: number): void {
    this.execute(decodeOperation(request), -token);
  }

  /** Tokens of TypeScript are negative here; clients of the simulation use positive ones. */
  #answer(token: number, outcome: number): void {
    if (token > 0) this.hooks.answered(token, outcome);
    else {
      const data = encodeJson(outcome);
      this.#events.emit({ type: "proposed", token: -token, data, error: null });
    }
    this.#batches.answered(token);
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
    const prev = { index: index - 1, term: this.#wal.termAt(index - 1) };
    this.#events.mark({ type: "appended", entries: [meta] });
    const soleVoter = grant.soleVoter;
    this.#write(null, [entry], () => {
      this.#events.mark({ type: "stable", index, term });
      this.#fast.ownStable(index, term);
      // The grant may have ended meanwhile; raft commits then, if it still leads.
      if (soleVoter && this.#grant?.soleVoter === true && this.#grant.term === term) this.commit(index);
      durable();
    });
    this.#fast.replicate(prev, meta);
  }

  // --- what the network needs ---

  /** A message of another member; true: it is dealt with, and raft never sees it. */
  receive(message: Message): boolean {
    return this.#fast.receive(message);
  }

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

  get stagedRows(): MetaRow[] {
    return this.#staged?.metaRows ?? [];
  }

  installSnapshot(index: number): void {
    const store = this.#staged;
    if (store === null || store.appliedIndex !== index) throw new Error(`no snapshot ${index} is staged`);
    this.#staged = null;
    this.#apply.install(store);
  }

  // --- reads ---

  /** A linearizable read of a client. */
  read(op: Operation, token: number): void {
    if (this.#grant?.soleVoter === true) {
      this.hooks.answered(token, this.store.execute(op));
      return;
    }
    const ctx = this.#reads.open(op, token);
    if (!this.#fast.confirmRead(ctx)) this.#events.emit({ type: "readRequest", ctx });
  }

  readIndexReady(ctx: number, index: number): void {
    this.#reads.ready(ctx, index);
    this.#reads.serve(this.store);
  }

  readIndexFailed(ctx: number, _error: NativeStatus): void {
    this.#reads.failed(ctx);
  }

  setServing(state: { term: number; hasLeader: boolean; isLearner: boolean }): void {
    this.serving = state;
  }

  readEntries(): never {
    throw new Error("readEntries is not part of the fake engine");
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function bytesOf(data: EntryData): number {
  return isBatch(data) ? 16 + 40 * data.length : data.length;
}
