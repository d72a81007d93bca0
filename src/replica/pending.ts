// Requests that wait for their answer, each with a deadline. Callbacks, not promises, so that a simulation runs them
// in the turn they belong to; `promised` makes a promise of one.

import type { Clock, Timer } from "./clock.js";
import type { ReplicaError } from "./errors.js";

/** Called exactly once. */
export interface Reply<T> {
  done(value: T): void;
  failed(error: ReplicaError): void;
}

export function promised<T>(start: (reply: Reply<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => start({ done: resolve, failed: reject }));
}

interface Waiting<T> {
  reply: Reply<T>;
  timer: Timer;
  startedMs: number;
}

export class PendingRequests<T> {
  readonly #waiting = new Map<number, Waiting<T>>();

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    /** The error of a request that ran out of time. */
    private readonly timedOut: (key: number, startedMs: number) => ReplicaError,
  ) {}

  add(key: number, reply: Reply<T>): void {
    const startedMs = this.clock.nowMs();
    const timer = this.clock.after(this.timeoutMs, () => this.fail(key, this.timedOut(key, startedMs)));
    this.#waiting.set(key, { reply, timer, startedMs });
  }

  #take(key: number): Reply<T> | null {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return null;
    waiting.timer.cancel();
    this.#waiting.delete(key);
    return waiting.reply;
  }

  /** Without effect if the request is gone: it had its answer, or its deadline passed. */
  done(key: number, value: T): void {
    this.#take(key)?.done(value);
  }

  fail(key: number, error: ReplicaError): void {
    this.#take(key)?.failed(error);
  }

  has(key: number): boolean {
    return this.#waiting.has(key);
  }

  keys(): number[] {
    return [...this.#waiting.keys()];
  }

  get size(): number {
    return this.#waiting.size;
  }

  failAll(error: () => ReplicaError): void {
    for (const key of this.keys()) this.fail(key, error());
  }
}
