// One HTTP request of the data plane and its answer, whole or streamed.

import type { NativeEvent, NativeTransport } from "./binding.js";

export type HttpEvent = Extract<NativeEvent, { type: "http" }>;
export type HttpTransport = Pick<NativeTransport, "httpRespond" | "httpStart" | "httpWrite" | "httpEnd">;
type Headers = [string, string][];

export class HttpExchange {
  #state: "waiting" | "streaming" | "over" = "waiting";
  #drained: (() => void) | null = null;
  #onClosed: (() => void) | null = null;

  constructor(
    private readonly transport: HttpTransport,
    readonly request: HttpEvent,
    private readonly forget: () => void,
  ) {}

  /** True once it is answered or its client is gone; what is sent then is dropped. */
  get isOver(): boolean {
    return this.#state === "over";
  }

  /** A whole answer. */
  respond(status: number, headers: Headers, body: Uint8Array): void {
    if (this.isOver) return;
    if (this.#state === "streaming") throw new Error("the answer has begun already");
    this.transport.httpRespond(this.request.request, status, headers, body);
    this.#end();
  }

  /** Begins a streamed answer. */
  start(status: number, headers: Headers): void {
    if (this.isOver) return;
    if (this.#state === "streaming") throw new Error("the answer has begun already");
    this.#state = "streaming";
    this.transport.httpStart(this.request.request, status, headers);
  }

  /** Resolves when the next part may follow. */
  write(chunk: Uint8Array): Promise<void> {
    if (this.isOver) return Promise.resolve();
    if (this.#state === "waiting") throw new Error("the answer has not begun");
    if (this.transport.httpWrite(this.request.request, chunk)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  end(): void {
    if (this.isOver) return;
    if (this.#state === "waiting") throw new Error("the answer has not begun");
    this.transport.httpEnd(this.request.request);
    this.#end();
  }

  /** Called when the client leaves before the answer is complete. */
  onClosed(listener: () => void): void {
    this.#onClosed = listener;
  }

  #end(): void {
    this.#state = "over";
    this.forget();
  }

  /** The data plane: there is room again. */
  drained(): void {
    const drained = this.#drained;
    this.#drained = null;
    drained?.();
  }

  /** The data plane: the client is gone. */
  closed(): void {
    this.#state = "over";
    this.drained();
    this.#onClosed?.();
  }
}
