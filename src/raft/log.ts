// The window of the log that raft holds: metadata (and the opaque payload) of the entries after the last compaction,
// with the marks that move over it:
//
//   snapshotIndex ≤ applied ≤ committed;  stable ≤ emitted ≤ lastIndex
//
// emitted: handed to stable storage (by a Ready, or stamped by the data plane under the grant). stable: durable.
// Entries may be overwritten while their write is in flight, so a write is remembered here with the last index it
// vouches for, and truncation cuts that: a late `persisted` never vouches for an entry that took the place.

import { type Entry, type EntryKind, invariant, type SnapshotMeta } from "./types.js";

interface Write {
  seq: number;
  /** Everything up to here is durable once the write is; 0 after a snapshot replaced the log. */
  upTo: number;
}

export class RaftLog {
  #entries: Entry[];
  snapshotIndex: number;
  snapshotTerm: number;
  committed: number;
  applied: number;
  stable: number;
  emitted: number;
  readonly #writes: Write[] = [];
  /** Entries of the grant that are not yet durable: term and last index. */
  #granted: { term: number; upTo: number } | null = null;
  /** A snapshot that no Ready has handed out yet. */
  #snapshot: SnapshotMeta | null = null;

  constructor(snapshotIndex: number, snapshotTerm: number, entries: Entry[], applied: number) {
    let previous = snapshotIndex;
    for (const entry of entries) {
      invariant(entry.index === previous + 1, `gap in the log before ${entry.index}`);
      previous = entry.index;
    }
    invariant(
      applied >= snapshotIndex && applied <= previous,
      `applied ${applied} lies outside of the log (${snapshotIndex}, ${previous}]`,
    );
    this.#entries = entries;
    this.snapshotIndex = snapshotIndex;
    this.snapshotTerm = snapshotTerm;
    this.applied = applied;
    this.committed = applied;
    this.emitted = previous;
    this.stable = previous;
  }

  get firstIndex(): number {
    return this.snapshotIndex + 1;
  }

  get lastIndex(): number {
    return this.snapshotIndex + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.snapshotTerm;
  }

  /** The term of the entry at index; null: compacted, or not there yet. */
  term(index: number): number | null {
    if (index === this.snapshotIndex) return this.snapshotTerm;
    return this.#entries[index - this.firstIndex]?.term ?? null;
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends in (index, term) has everything that this one may have committed. */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  entry(index: number): Entry | null {
    return this.#entries[index - this.firstIndex] ?? null;
  }

  /** Entries from `first` on whose payloads sum up to at most bytesMax; at least one if there is any. */
  slice(first: number, bytesMax: number): Entry[] {
    invariant(first >= this.firstIndex, `entry ${first} is compacted`);
    const taken: Entry[] = [];
    let bytes = 0;
    for (let at = first - this.firstIndex; at < this.#entries.length; at += 1) {
      const entry = this.#entries[at] as Entry;
      bytes += entry.bytes;
      if (taken.length > 0 && bytes > bytesMax) break;
      taken.push(entry);
    }
    return taken;
  }

  /** Adds entries behind the last one. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, `entry ${entry.index} leaves a gap`);
      this.#entries.push(entry);
    }
  }

  /** Adds entries that the data plane, under a grant of this term, has already given to stable storage. */
  appendGranted(term: number, entries: readonly Entry[]): void {
    invariant(this.emitted === this.lastIndex, "the grant overtook entries of raft's own");
    this.append(entries);
    this.emitted = this.lastIndex;
    this.#granted = { term, upTo: this.lastIndex };
  }

  /**
   * A follower's append: entries that are already here stay, the first that differs cuts what follows it.
   * Returns the index of the last of `entries`, or null if (prevIndex, prevTerm) is not in the log.
   */
  reconcile(prevIndex: number, prevTerm: number, entries: readonly Entry[]): number | null {
    if (!this.matches(prevIndex, prevTerm)) return null;
    const differs = entries.findIndex((entry) => !this.matches(entry.index, entry.term));
    if (differs >= 0) {
      const first = entries[differs] as Entry;
      if (first.index <= this.lastIndex) this.#truncate(first.index);
      this.append(entries.slice(differs));
    }
    return prevIndex + entries.length;
  }

  #truncate(from: number): void {
    invariant(from > this.committed, `entry ${from} is committed and cannot be replaced`);
    this.#entries.length = from - this.firstIndex;
    this.stable = Math.min(this.stable, from - 1);
    this.emitted = Math.min(this.emitted, from - 1);
    for (const write of this.#writes) write.upTo = Math.min(write.upTo, from - 1);
    if (this.#granted) this.#granted.upTo = Math.min(this.#granted.upTo, from - 1);
  }

  /**
   * The highest index ≤ `index` whose term is ≤ `term`: where two logs may still agree. Compacted entries end the
   * search, as they are committed.
   */
  findConflict(index: number, term: number): { index: number; term: number } {
    for (let at = Math.min(index, this.lastIndex); at > this.snapshotIndex; at -= 1) {
      const own = this.term(at) as number;
      if (own <= term) return { index: at, term: own };
    }
    return { index: Math.min(index, this.snapshotIndex), term: this.snapshotTerm };
  }

  commitTo(index: number): void {
    if (index <= this.committed) return;
    // A leader says only what this member acknowledged, so its disk lost what it held: etcd's text names the causes.
    invariant(
      index <= this.lastIndex,
      `tocommit(${index}) is out of range [lastIndex(${this.lastIndex})]. ` +
        "Was the raft log corrupted, truncated, or lost?",
    );
    this.committed = index;
  }

  appliedTo(index: number): void {
    if (index <= this.applied) return;
    invariant(index <= this.committed, `applied ${index} is not committed (${this.committed})`);
    this.applied = index;
  }

  /** The sum of the payloads in (after, upTo]. */
  bytesBetween(after: number, upTo: number): number {
    let bytes = 0;
    for (let index = Math.max(after, this.snapshotIndex) + 1; index <= upTo; index += 1) {
      bytes += this.entry(index)?.bytes ?? 0;
    }
    return bytes;
  }

  /** Whether an entry in (after, upTo] is of this kind. */
  hasKind(after: number, upTo: number, kind: EntryKind): boolean {
    for (let index = Math.max(after, this.snapshotIndex) + 1; index <= upTo; index += 1) {
      if (this.entry(index)?.kind === kind) return true;
    }
    return false;
  }

  /** Forgets entries up to index. */
  compact(index: number): void {
    if (index <= this.snapshotIndex) return;
    invariant(index <= this.applied, `entry ${index} is not applied and cannot be compacted`);
    invariant(index <= this.stable, `entry ${index} is not durable and cannot be compacted`);
    const term = this.term(index) as number;
    this.#entries.splice(0, index - this.snapshotIndex);
    this.snapshotIndex = index;
    this.snapshotTerm = term;
  }

  /** The snapshot takes the place of everything. Nothing is durable until its write is. */
  restore(snapshot: SnapshotMeta): void {
    this.#entries = [];
    this.snapshotIndex = snapshot.index;
    this.snapshotTerm = snapshot.term;
    this.committed = snapshot.index;
    this.applied = snapshot.index;
    this.emitted = snapshot.index;
    this.stable = 0;
    for (const write of this.#writes) write.upTo = 0;
    this.#granted = null;
    this.#snapshot = snapshot;
  }

  get hasUnemitted(): boolean {
    return this.emitted < this.lastIndex || this.#snapshot !== null;
  }

  takeUnemitted(): { entries: Entry[]; snapshot: SnapshotMeta | null } {
    const entries = this.#entries.slice(this.emitted - this.snapshotIndex);
    const snapshot = this.#snapshot;
    this.emitted = this.lastIndex;
    this.#snapshot = null;
    return { entries, snapshot };
  }

  /** Granted entries whose durability nobody reported yet. */
  get grantedUnstable(): boolean {
    return this.#granted !== null && this.#granted.upTo > this.stable;
  }

  writeStarted(seq: number): void {
    this.#writes.push({ seq, upTo: this.emitted });
  }

  get newestWrite(): number | null {
    return this.#writes.at(-1)?.seq ?? null;
  }

  writeDone(seq: number): void {
    while (this.#writes.length > 0 && (this.#writes[0] as Write).seq <= seq) {
      const write = this.#writes.shift() as Write;
      if (write.upTo > this.stable) this.stable = write.upTo;
    }
  }

  /** The data plane reports the entries of its grant of `term` durable up to index. */
  grantedStable(index: number, term: number): void {
    if (this.#granted === null || this.#granted.term !== term) return;
    this.stable = Math.max(this.stable, Math.min(index, this.#granted.upTo));
  }

  /** Committed and durable: what may be applied. */
  get applicable(): number {
    return Math.min(this.committed, this.stable);
  }
}
