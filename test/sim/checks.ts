// The invariants of the Raft paper, checked at every event that could break them.

import type { MemberId } from "../../src/raft/index.js";
import type { Replica } from "../../src/replica/replica.js";
import type { DiskEntry } from "./fakes/disk.js";
import { type EntryData, isBatch } from "./fakes/store.js";

/** An invariant does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
}

interface AppliedMark {
  term: number;
  data: EntryData;
  hash: number;
}

export class Invariants {
  readonly #leaders = new Map<number, MemberId>();
  /** Entry of a term at an index → the term of the entry before it, and the content. */
  readonly #written = new Map<string, { prevTerm: number; data: EntryData }>();
  readonly #applied: (AppliedMark | undefined)[] = [];
  appliedMax = 0;
  elections = 0;

  /** Election safety, and leader completeness. */
  leads(id: MemberId, term: number, replica: Replica): void {
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== id) {
      throw new Violation(`election safety: ${known} and ${id} both lead term ${term}`);
    }
    if (known === id) return;
    this.#leaders.set(term, id);
    this.elections += 1;
    const { firstIndex } = replica.status();
    for (let index = firstIndex; index <= this.appliedMax; index += 1) {
      const mark = this.#applied[index];
      if (mark === undefined || mark.term >= term) continue;
      const own = replica.entryTerm(index);
      if (own !== mark.term) {
        throw new Violation(
          `leader completeness: ${id} leads term ${term} without entry ${index} of term ${mark.term} (has ${own})`,
        );
      }
    }
  }

  /**
   * Log matching: an entry of one term at one index is everywhere the same and follows the same term. As this holds
   * for every entry that is written, logs that share an entry share all before it.
   */
  written(id: MemberId, { index, term, data }: DiskEntry, prevTerm: number): void {
    const key = `${index}/${term}`;
    const known = this.#written.get(key);
    if (known === undefined) {
      this.#written.set(key, { prevTerm, data });
      return;
    }
    if (known.prevTerm !== prevTerm) {
      throw new Violation(`log matching: before entry ${key} stands term ${known.prevTerm}, on ${id} term ${prevTerm}`);
    }
    if (!sameData(known.data, data)) {
      throw new Violation(`log matching: entry ${key} has another content on ${id}`);
    }
  }

  /** State-machine safety: every member applies the same entry at an index, and comes to the same state. */
  applied(id: MemberId, { index, term, data }: DiskEntry, hash: number): void {
    const known = this.#applied[index];
    this.appliedMax = Math.max(this.appliedMax, index);
    if (known === undefined) {
      this.#applied[index] = { term, data, hash };
      return;
    }
    if (known.term !== term || !sameData(known.data, data)) {
      throw new Violation(
        `state-machine safety: ${id} applied entry ${index} of term ${term}, another member that of ${known.term}`,
      );
    }
    if (known.hash !== hash) throw new Violation(`state differs at ${index} on ${id}`);
  }

  hashAt(index: number): number {
    return this.#applied[index]?.hash ?? 0;
  }
}

function sameData(a: EntryData, b: EntryData): boolean {
  // The network passes content by reference; members make only the bootstrap entries and empty payloads anew.
  if (a === b) return true;
  if (isBatch(a) || isBatch(b)) return false;
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
