// The disk of one member, which outlives its crashes: WAL records of which only a prefix is synced, and the store as
// of its last flush. A crash keeps what was synced and any number of the records after it.

import type { EntryKind, HardState, Recovered } from "../../../src/native/binding.js";
import type { Random } from "../random.js";
import { type EntryData, FakeStore } from "./store.js";

export interface DiskEntry {
  index: number;
  term: number;
  kind: EntryKind;
  data: EntryData;
  bytes: number;
}

export type WalRecord =
  | { type: "write"; hardState: HardState | null; entries: readonly DiskEntry[] }
  | { type: "compact"; index: number; term: number }
  | { type: "snapshot"; store: FakeStore };

/** What a replay of the WAL comes to. */
export class WalState {
  hardState: HardState = { term: 0, vote: 0n, commit: 0 };
  baseIndex = 0;
  baseTerm = 0;
  /** Entries after baseIndex. */
  readonly entries: DiskEntry[] = [];

  get lastIndex(): number {
    return this.baseIndex + this.entries.length;
  }

  entry(index: number): DiskEntry | null {
    return this.entries[index - this.baseIndex - 1] ?? null;
  }

  apply(record: WalRecord): void {
    if (record.type === "compact") this.#compact(record.index, record.term);
    else if (record.type === "snapshot") {
      this.entries.length = 0;
      this.baseIndex = record.store.appliedIndex;
      this.baseTerm = record.store.appliedTerm;
    } else {
      if (record.hardState !== null) this.hardState = record.hardState;
      for (const entry of record.entries) this.#put(entry);
    }
  }

  #put(entry: DiskEntry): void {
    const at = entry.index - this.baseIndex - 1;
    if (at < 0 || at > this.entries.length) {
      throw new Error(`WAL gap: entry ${entry.index} after ${this.lastIndex}`);
    }
    this.entries.length = at;
    this.entries.push(entry);
  }

  #compact(index: number, term: number): void {
    if (index <= this.baseIndex) return;
    this.entries.splice(0, index - this.baseIndex);
    this.baseIndex = index;
    this.baseTerm = term;
  }
}

export class FakeDisk {
  /** Everything that was synced, replayed. */
  readonly durable = new WalState();
  /** Written and not synced, oldest first. */
  unsynced: WalRecord[] = [];
  store = new FakeStore();

  /** The oldest `count` unsynced records are safe now. */
  synced(count: number): void {
    for (const record of this.unsynced.splice(0, count)) this.#keep(record);
  }

  #keep(record: WalRecord): void {
    this.durable.apply(record);
    // The received store and the start of the log after it change places in one step.
    if (record.type === "snapshot") this.store = record.store.clone();
  }

  /** Power is gone: an arbitrary prefix of what was not synced has made it to the platter. */
  crash(random: Random): void {
    const kept = random.below(this.unsynced.length + 1);
    for (const record of this.unsynced.slice(0, kept)) this.#keep(record);
    this.unsynced = [];
  }

  recovered(clusterId: bigint, memberId: bigint): Recovered {
    const { hardState, baseIndex, baseTerm, entries } = this.durable;
    return {
      fresh: entries.length === 0 && baseIndex === 0 && hardState.term === 0,
      clusterId,
      memberId,
      hardState: { ...hardState },
      snapshotIndex: baseIndex,
      snapshotTerm: baseTerm,
      entries: entries.map(({ index, term, kind, bytes }) => ({ index, term, kind, bytes })),
      appliedIndex: this.store.appliedIndex,
      appliedTerm: this.store.appliedTerm,
      revision: 0,
      compactRevision: 0,
      meta: this.store.metaRows,
      leases: [],
      tornBytes: 0,
    };
  }
}
