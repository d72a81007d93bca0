// Requests on their way into the log and back: the open batch, payloads behind handles, and who waits for an answer.

import type { NativeStatus } from "../../../src/native/binding.js";
import { type BatchRequest, type EntryData, isBatch, type Operation } from "./store.js";

const onTheirWayMax = 2;

export class FakeBatches {
  #open: BatchRequest[] = [];
  #onTheirWay = 0;
  readonly #payloads = new Map<number, EntryData>();
  #nextPayload = 1;
  /** Payloads of closed batches that are on their way: until they are written, dropped or all answered. */
  readonly #own = new Set<number>();
  /** Tokens of closed batches that are not answered, with the payload of the batch (0: stamped here). */
  readonly #unanswered = new Map<number, number>();

  constructor(
    private readonly origin: number,
    /** Another batch may close. */
    private readonly roomAgain: () => void,
    /** A request never took effect. */
    private readonly refused: (token: number) => void,
  ) {}

  add(op: Operation, token: number): void {
    this.#open.push({ origin: this.origin, token, op });
  }

  /** Closes the open batch; null: there is none, or too many are on their way. */
  close(): BatchRequest[] | null {
    if (this.#open.length === 0 || this.#onTheirWay >= onTheirWayMax) return null;
    this.#onTheirWay += 1;
    return this.#open.splice(0);
  }

  /** The batch was stamped here. */
  stamped(batch: BatchRequest[]): void {
    for (const { token } of batch) this.#unanswered.set(token, 0);
  }

  /** The batch waits for a proposal behind this payload. */
  held(batch: BatchRequest[]): number {
    const payload = this.hold(batch);
    this.#own.add(payload);
    for (const { token } of batch) this.#unanswered.set(token, payload);
    return payload;
  }

  /** A batch is no longer on its way. */
  done(): void {
    this.#onTheirWay -= 1;
    this.roomAgain();
  }

  hold(data: EntryData): number {
    const payload = this.#nextPayload;
    this.#nextPayload += 1;
    this.#payloads.set(payload, data);
    return payload;
  }

  payload(payload: number): EntryData | undefined {
    return this.#payloads.get(payload);
  }

  get payloadCount(): number {
    return this.#payloads.size;
  }

  /** Takes a payload out; `own`: `done` is due when it is durable. */
  take(payload: number): { data: EntryData | undefined; own: boolean } {
    const data = this.#payloads.get(payload);
    this.#payloads.delete(payload);
    return { data, own: this.#own.delete(payload) };
  }

  /** The payload is in the log or given up: another batch may close. */
  settle(payload: number): void {
    this.#payloads.delete(payload);
    this.release(payload);
  }

  /** The next batch no longer waits for this one. */
  release(payload: number): void {
    if (this.#own.delete(payload)) this.done();
  }

  drop(payload: number, error: NativeStatus): void {
    const data = this.#payloads.get(payload);
    if (data !== undefined && isBatch(data)) for (const { token } of data) this.#refuse(token, payload, error);
    this.settle(payload);
  }

  /** Only with the batch's own payload: a copy of it that came from another member may be dropped like any. */
  #refuse(token: number, payload: number, error: NativeStatus): void {
    if (this.#unanswered.get(token) !== payload) return;
    this.#unanswered.delete(token);
    // Only a refusal that was never proposed is certain; a timeout may still take effect.
    if (error.message === "etcdserver: too many requests") this.refused(token);
  }

  /** The request was answered. */
  answered(token: number): void {
    const payload = this.#unanswered.get(token);
    this.#unanswered.delete(token);
    if (payload === undefined || payload === 0) return;
    // A forwarded batch came back as an entry of the leader: its payload here is of no more use.
    for (const other of this.#unanswered.values()) if (other === payload) return;
    this.settle(payload);
  }
}
