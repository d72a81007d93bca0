// Apply and flush of the fake data plane: committed entries that are durable here go into the store one after another,
// a control entry is a barrier, and the store reaches the disk now and then.

import { EntryKind, type MetaWrite } from "../../../src/native/binding.js";
import type { Clock } from "../../../src/replica/clock.js";
import type { DiskEntry, FakeDisk } from "./disk.js";
import type { FakeEvents } from "./events.js";
import type { FakeReads } from "./reads.js";
import { type FakeStore, isBatch } from "./store.js";
import type { FakeWal } from "./wal.js";

export interface FakeApplyParts {
  readonly disk: FakeDisk;
  readonly wal: FakeWal;
  readonly events: FakeEvents;
  readonly reads: FakeReads;
  readonly clock: Clock;
  readonly applyMs: () => number;
  readonly flushEveryMs: number;
  /** The process whose requests are answered. */
  readonly origin: number;
  readonly answer: (token: number, outcome: number) => void;
  /** An entry was applied; `hash` is that of the whole state after it. */
  readonly applied: (entry: DiskEntry, hash: number) => void;
}

export class FakeApply {
  store: FakeStore;
  readonly #parts: FakeApplyParts;
  #durableIndex: number;
  #committed: number;
  #due = false;
  /** The control entry that apply waits at; 0: none. */
  #barrier = 0;

  constructor(parts: FakeApplyParts) {
    this.#parts = parts;
    this.store = parts.disk.store.clone();
    this.#durableIndex = parts.disk.durable.lastIndex;
    this.#committed = this.store.appliedIndex;
    parts.clock.every(parts.flushEveryMs, () => this.#flush());
  }

  get committed(): number {
    return this.#committed;
  }

  commit(index: number): void {
    this.#committed = Math.max(this.#committed, index);
    this.soon();
  }

  /** Entries from this one on are replaced. */
  replaced(first: number): void {
    if (first <= this.store.appliedIndex) throw new Error(`applied ${first} replaced`);
    this.#durableIndex = Math.min(this.#durableIndex, first - 1);
  }

  durable(index: number): void {
    this.#durableIndex = Math.max(this.#durableIndex, index);
  }

  controlApplied(index: number, writes: MetaWrite[]): void {
    if (index !== this.#barrier) throw new Error(`control ${index}, apply stands at ${this.#barrier}`);
    this.#barrier = 0;
    const entry = this.#committedEntry(index);
    this.store.entryApplied(index, entry.term, entry.kind, entry.data, writes);
    this.#parts.applied(entry, this.store.hash);
    this.#parts.events.applied(index);
    this.#parts.reads.serve(this.store);
    this.soon();
  }

  /** Puts another member's store in place of the own one; it counts when it is durable. */
  install(store: FakeStore): void {
    const index = store.appliedIndex;
    this.store = store.clone();
    this.#barrier = 0;
    this.#committed = Math.max(this.#committed, index);
    this.#durableIndex = 0;
    this.#parts.wal.append({ type: "snapshot", store }, () => {
      this.durable(index);
      this.#parts.events.applied(index);
      this.#parts.reads.serve(this.store);
      this.soon();
    });
  }

  soon(): void {
    if (this.#due || this.#barrier > 0 || this.#nextApplicable() === null) return;
    this.#due = true;
    this.#parts.clock.after(this.#parts.applyMs(), () => {
      this.#due = false;
      this.#run();
    });
  }

  #nextApplicable(): number | null {
    const next = this.store.appliedIndex + 1;
    return next <= this.#committed && next <= this.#durableIndex ? next : null;
  }

  #run(): void {
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
      this.#parts.events.applied(this.store.appliedIndex);
      this.#parts.reads.serve(this.store);
    }
  }

  #standAt({ index, term, kind, data }: DiskEntry): void {
    this.#barrier = index;
    this.#parts.events.emit({ type: "control", index, term, kind, data: data as Uint8Array });
  }

  #committedEntry(index: number): DiskEntry {
    const entry = this.#parts.wal.entry(index);
    if (entry === null) throw new Error(`committed entry ${index} is not in the log`);
    return entry;
  }

  #applyBatch(entry: DiskEntry): void {
    const { index, term, kind, data } = entry;
    const outcomes: { token: number; outcome: number }[] = [];
    if (isBatch(data)) {
      for (const { origin, token, op } of data) {
        const outcome = this.store.execute(op);
        if (origin === this.#parts.origin) outcomes.push({ token, outcome });
      }
    }
    this.store.entryApplied(index, term, kind, data, []);
    this.#parts.applied(entry, this.store.hash);
    for (const { token, outcome } of outcomes) this.#parts.answer(token, outcome);
  }

  #flush(): void {
    const { disk, events } = this.#parts;
    if (this.store.appliedIndex === disk.store.appliedIndex) return;
    // A snapshot that is not durable yet must not reach the store before its mark reaches the WAL.
    if (this.store.appliedIndex > disk.durable.lastIndex) return;
    if (this.store.appliedIndex < disk.durable.baseIndex) return;
    if (disk.unsynced.some((record) => record.type === "snapshot")) return;
    disk.store = this.store.clone();
    const { appliedIndex, appliedTerm } = this.store;
    events.mark({ type: "flushed", index: appliedIndex, term: appliedTerm });
  }
}
