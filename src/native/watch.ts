// Watch streams for services in TypeScript (lock, election, gateway): the same sessions as those of clients, as async
// iterators of decoded responses.

import { rpcError } from "../errors.js";
import { limits } from "../limits.js";
import { etcdserverpb } from "../proto/index.js";
import type { Caller, NativeEngine, NativeEvent } from "./binding.js";

export type WatchEngine = Pick<NativeEngine, "watchOpen" | "watchSend" | "watchClose">;
export type WatchMessageEvent = Extract<NativeEvent, { type: "watchMessage" }>;

/** Who has called `next` and waits. */
interface Waiting {
  resolve(result: IteratorResult<etcdserverpb.WatchResponse>): void;
  reject(error: Error): void;
}

const { WatchRequest, WatchResponse } = etcdserverpb;

/** All watch streams of one data plane. Whoever drains its events gives `watchMessage` events to `deliver`. */
export class WatchStreams {
  readonly #open = new Map<number, WatchStream>();
  #last = 0;
  /** Why there are no streams any more. */
  #ended: Error | null = null;

  constructor(private readonly engine: WatchEngine) {}

  /** A stream of this caller without watchers. It must be closed, or iterated to an end. */
  open(caller: Caller): WatchStream {
    this.#last += 1;
    const number = this.#last;
    const stream = new WatchStream(this.engine, number, caller, () => this.#open.delete(number));
    this.#open.set(number, stream);
    if (this.#ended !== null) stream.fail(this.#ended);
    return stream;
  }

  /** A message that comes after its stream was closed is dropped. */
  deliver(event: WatchMessageEvent): void {
    this.#open.get(event.stream)?.deliver(event.data);
  }

  /** Ends all streams with this error, also those that are opened later; what they wait for is rejected. */
  closeAll(error: Error): void {
    this.#ended = error;
    for (const stream of [...this.#open.values()]) stream.fail(error);
  }
}

/** One stream. Responses wait until they are iterated; too many end the stream with RESOURCE_EXHAUSTED. */
class WatchStream implements AsyncIterableIterator<etcdserverpb.WatchResponse> {
  readonly #queue: etcdserverpb.WatchResponse[] = [];
  #waiting: Waiting[] = [];
  #closed = false;
  #error: Error | null = null;

  constructor(
    private readonly engine: WatchEngine,
    private readonly number: number,
    caller: Caller,
    private readonly forget: () => void,
  ) {
    engine.watchOpen(number, caller);
  }

  /** Sends a request; does nothing once the stream is closed. */
  send(request: etcdserverpb.IWatchRequest): void {
    if (!this.#closed) this.engine.watchSend(this.number, WatchRequest.encode(request).finish());
  }

  /** Ends the stream: iteration ends, what waits is dropped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.forget();
    this.engine.watchClose(this.number);
    for (const { resolve } of this.#take()) resolve({ done: true, value: undefined });
  }

  /** Ends the stream with an error, which the iteration throws. */
  fail(error: Error): void {
    if (this.#closed) return;
    const waiting = this.#take();
    // Without anybody waiting the next who asks is told.
    if (waiting.length === 0) this.#error = error;
    for (const { reject } of waiting) reject(error);
    this.close();
  }

  deliver(data: Uint8Array): void {
    const response = WatchResponse.decode(data);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting.resolve({ done: false, value: response });
    else if (this.#queue.length < limits.watchResponsesMax) this.#queue.push(response);
    else this.fail(rpcError("watchNotRead"));
  }

  async next(): Promise<IteratorResult<etcdserverpb.WatchResponse>> {
    const error = this.#error;
    if (error !== null) {
      this.#error = null;
      throw error;
    }
    const value = this.#queue.shift();
    if (value !== undefined) return { done: false, value };
    if (this.#closed) return { done: true, value: undefined };
    return await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async return(): Promise<IteratorResult<etcdserverpb.WatchResponse>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): Waiting[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }
}
