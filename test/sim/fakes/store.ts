// The store of the fake data plane: registers by name, changed by the entries of the log. Small, but every entry goes
// into a rolling hash, so that two members that applied the same index have the same hash or something is wrong.

import type { EntryKind, MetaRow, MetaWrite } from "../../../src/native/binding.js";
import { hashStart, hashText } from "../random.js";

/** What clients do with a register. Values are unique numbers; 0 is the initial value. */
export type Operation =
  | { type: "put"; key: string; value: number }
  | { type: "cas"; key: string; expected: number; value: number }
  | { type: "get"; key: string };

export interface BatchRequest {
  /** The process that took the request and answers it. */
  origin: number;
  token: number;
  op: Operation;
}

export type EntryData = readonly BatchRequest[] | Uint8Array;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeOperation(op: Operation): Uint8Array {
  return encoder.encode(JSON.stringify(op));
}

export function decodeOperation(data: Uint8Array): Operation {
  return JSON.parse(decoder.decode(data)) as Operation;
}

export function isBatch(data: EntryData): data is readonly BatchRequest[] {
  return !(data instanceof Uint8Array);
}

export class FakeStore {
  readonly registers = new Map<string, number>();
  readonly #meta = new Map<string, MetaRow>();
  appliedIndex = 0;
  appliedTerm = 0;
  hash = hashStart;

  clone(): FakeStore {
    const copy = new FakeStore();
    for (const [key, value] of this.registers) copy.registers.set(key, value);
    for (const [key, row] of this.#meta) copy.#meta.set(key, row);
    copy.appliedIndex = this.appliedIndex;
    copy.appliedTerm = this.appliedTerm;
    copy.hash = this.hash;
    return copy;
  }

  get metaRows(): MetaRow[] {
    return [...this.#meta.values()];
  }

  /** Applies a request of a batch; returns the value read, or whether a cas took effect. */
  execute(op: Operation): number {
    const current = this.registers.get(op.key) ?? 0;
    if (op.type === "get") return current;
    if (op.type === "cas" && current !== op.expected) return 0;
    this.registers.set(op.key, op.value);
    return 1;
  }

  /** Ends an entry: its index and content are part of the state from here on. */
  entryApplied(index: number, term: number, kind: EntryKind, data: EntryData, writes: MetaWrite[]): void {
    if (index !== this.appliedIndex + 1) {
      throw new Error(`applied ${index} after ${this.appliedIndex}`);
    }
    for (const { table, key, value } of writes) {
      const name = `${table}/${decoder.decode(key)}`;
      if (value === null) this.#meta.delete(name);
      else this.#meta.set(name, { table, key, value });
    }
    this.appliedIndex = index;
    this.appliedTerm = term;
    this.hash = hashText(this.hash, `${index}/${term}/${kind}/${describe(data)}/${writes.map(describeWrite).join()}`);
  }
}

function describeWrite({ table, key, value }: MetaWrite): string {
  return `${table}/${decoder.decode(key)}=${value === null ? "" : Buffer.from(value).toString("hex")}`;
}

function describe(data: EntryData): string {
  if (!isBatch(data)) return decoder.decode(data);
  return data.map(({ op }) => `${op.type}${op.key}${"value" in op ? op.value : ""}`).join();
}
