// The WAL thread of the fake data plane: one group commit after another, each taking as long as the disk likes.

import type { Clock } from "../../../src/replica/clock.js";
import type { DiskEntry, FakeDisk, WalRecord } from "./disk.js";
import { WalState } from "./disk.js";

/** A record with what is to be told when it is durable. */
interface Queued {
  record: WalRecord;
  durable: () => void;
}

export class FakeWal {
  /** The log as written, synced or not: what reads see. */
  readonly written = new WalState();
  readonly #queue: Queued[] = [];
  #syncing = false;

  constructor(
    private readonly disk: FakeDisk,
    private readonly clock: Clock,
    private readonly syncMs: () => number,
  ) {
    const { durable } = disk;
    this.written.hardState = durable.hardState;
    this.written.baseIndex = durable.baseIndex;
    this.written.baseTerm = durable.baseTerm;
    this.written.entries.push(...durable.entries);
  }

  append(record: WalRecord, durable: () => void): void {
    this.written.apply(record);
    this.disk.unsynced.push(record);
    this.#queue.push({ record, durable });
    this.#sync();
  }

  entry(index: number): DiskEntry | null {
    return this.written.entry(index);
  }

  /** The term of an entry of the log, or of the one before its first. */
  termAt(index: number): number {
    const { written } = this;
    if (index === written.baseIndex) return written.baseTerm;
    const entry = written.entry(index);
    if (entry === null) throw new Error(`a write after ${index}, which is not in the log`);
    return entry.term;
  }

  #sync(): void {
    if (this.#syncing || this.#queue.length === 0) return;
    this.#syncing = true;
    const group = this.#queue.splice(0);
    this.clock.after(this.syncMs(), () => {
      this.disk.synced(group.length);
      this.#syncing = false;
      for (const { durable } of group) durable();
      this.#sync();
    });
  }
}
