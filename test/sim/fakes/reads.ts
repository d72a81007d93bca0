// Linearizable reads of the fake data plane: each waits for a read index, and then until that index is applied.

import type { FakeStore, Operation } from "./store.js";

interface WaitingRead {
  op: Operation;
  token: number;
}

export class FakeReads {
  readonly #rounds = new Map<number, WaitingRead>();
  #byIndex: (WaitingRead & { index: number })[] = [];
  #nextContext = 1;

  constructor(private readonly answered: (token: number, outcome: number | null) => void) {}

  /** Returns the context to ask a read index with. */
  open(op: Operation, token: number): number {
    const context = this.#nextContext;
    this.#nextContext += 1;
    this.#rounds.set(context, { op, token });
    return context;
  }

  ready(context: number, index: number): void {
    this.#byIndex.push({ ...this.#close(context), index });
  }

  failed(context: number): void {
    this.answered(this.#close(context).token, null);
  }

  #close(context: number): WaitingRead {
    const read = this.#rounds.get(context);
    if (read === undefined) throw new Error(`read round ${context} was answered before`);
    this.#rounds.delete(context);
    return read;
  }

  /** Answers what waited for an index that is applied now. */
  serve(store: FakeStore): void {
    const due = this.#byIndex.filter(({ index }) => index <= store.appliedIndex);
    if (due.length === 0) return;
    this.#byIndex = this.#byIndex.filter(({ index }) => index > store.appliedIndex);
    for (const { op, token } of due) this.answered(token, store.execute(op));
  }
}
