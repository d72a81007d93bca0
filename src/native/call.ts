// One gRPC call between the data plane and a handler: sending with backpressure, ending once, and what a handler of
// grpc-js may ask of its call.

import type { EventEmitter } from "node:events";
import { Metadata, type ServerErrorResponse, type ServerUnaryCall, type StatusObject, status } from "@grpc/grpc-js";
import type { NativeEvent, NativeTransport } from "./binding.js";

export type CallEvent = Extract<NativeEvent, { type: "call" }>;
export type CallTransport = Pick<NativeTransport, "callSend" | "callEnd">;
type Pairs = [string, string | Uint8Array][];

/** What grpc-js gives every handler beside the messages. */
export type Surface = Omit<ServerUnaryCall<unknown, unknown>, keyof EventEmitter | "request">;

export class CallLink {
  readonly metadata: Metadata;
  readonly #initial = new Metadata();
  readonly #deadline: Date | number;
  #ended = false;
  #cancelled = false;
  #drained: (() => void) | null = null;

  constructor(
    private readonly transport: CallTransport,
    private readonly event: CallEvent,
    private readonly forget: () => void,
  ) {
    this.metadata = toMetadata(event.metadata);
    if (event.commonName !== null) commonNames.set(this.metadata, event.commonName);
    this.#deadline = event.deadlineMs === null ? Number.POSITIVE_INFINITY : new Date(Date.now() + event.deadlineMs);
  }

  get isOver(): boolean {
    return this.#ended || this.#cancelled;
  }

  /** `sent` is called when the next message may follow. What follows the end of the call is dropped, as by grpc-js. */
  send(message: Uint8Array, sent: () => void): void {
    if (this.isOver || this.transport.callSend(this.event.call, message)) sent();
    else this.#drained = sent;
  }

  drained(): void {
    const sent = this.#drained;
    this.#drained = null;
    sent?.();
  }

  /** The client is gone. */
  cancel(): void {
    this.#cancelled = true;
    this.drained();
  }

  /** Ends the call with a status; a second end does nothing, as in grpc-js. */
  end(code: number, message: string, trailers: Metadata | null = null): void {
    if (this.isOver) return;
    this.#ended = true;
    const all = this.#initial.clone();
    if (trailers !== null) all.merge(trailers);
    this.transport.callEnd(this.event.call, code, message, toPairs(all));
    this.forget();
  }

  /** Ends the call with what a handler passed as its error. */
  fail(error: ServerErrorResponse | Partial<StatusObject>, trailers: Metadata | null = null): void {
    const { code, details, metadata } = error;
    const text = details ?? ("message" in error ? error.message : "unknown error");
    this.end(typeof code === "number" ? code : status.UNKNOWN, text, trailers ?? metadata ?? null);
  }

  /**
   * The methods of grpc-js's calls. The data plane sends the response headers by itself with the first message, so
   * initial metadata goes out with the trailers.
   */
  surface(): Surface {
    const { event } = this;
    const host = this.metadata.get("host")[0];
    return {
      cancelled: false,
      metadata: this.metadata,
      getPeer: () => event.peer,
      getPath: () => event.path,
      getHost: () => (host === undefined ? "" : host.toString()),
      getDeadline: () => this.#deadline,
      getAuthContext: () => ({}),
      getMetricsRecorder: () => {
        throw new Error("ORCA metrics are not offered by this server");
      },
      sendMetadata: (metadata) => this.#initial.merge(metadata),
    };
  }
}

const commonNames = new WeakMap<Metadata, string>();

/** The common name of the certificate that a call's connection was made with, where it is a user. */
export const commonNameOf = (metadata: Metadata) => commonNames.get(metadata) ?? null;

/** What metadata has in the place of bytes that are no UTF-8. */
export const NO_UTF8 = encodeURIComponent("\ufffd");

/**
 * grpc-js's Metadata throws at what it does not take, and HTTP/2 lets a client send more: names that no handler asks for
 * are left out; of values the characters are escaped, as a token that is none must not look like no token.
 */
function toMetadata(pairs: Pairs): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of pairs) {
    // It does not know pseudo headers either; the authority is kept under the name that HTTP/1 gives it.
    if (name === ":authority") metadata.set("host", printable(value as string));
    else if (/^[\w.-]+$/.test(name))
      metadata.add(name, typeof value === "string" ? printable(value) : Buffer.from(value));
  }
  return metadata;
}

const printable = (text: string) => text.replace(/[^ -~]/gu, encodeURIComponent);

function toPairs(metadata: Metadata): Pairs {
  const pairs: Pairs = [];
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) pairs.push([name, value]);
  }
  return pairs;
}
