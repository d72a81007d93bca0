// grpc-js's streaming calls over a CallLink. Their flow control is Node's streams': a write waits for room in the data
// plane's send queue.

import { Duplex, Readable, Writable } from "node:stream";
import {
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import type { CallLink } from "./call.js";

type Serialize<S> = (message: S) => Uint8Array;
type Done = (error?: Error | null) => void;

/** Sends one message; a message that cannot be encoded ends the call. */
function writeTo<S>(link: CallLink, serialize: Serialize<S>): (message: S, encoding: string, done: Done) => void {
  return (message, _encoding, done) => {
    let bytes: Uint8Array;
    try {
      bytes = serialize(message);
    } catch (error) {
      done(
        Object.assign(new Error(`Error serializing response: ${(error as Error).message}`), { code: status.INTERNAL }),
      );
      return;
    }
    link.send(bytes, () => done());
  };
}

/** `end` takes trailers, as grpc-js's does; an 'error' that a handler emits is the status of the call. */
function endings(stream: Writable, link: CallLink): void {
  const end = stream.end.bind(stream) as () => Writable;
  let trailers: Metadata | null = null;
  stream.end = ((metadata?: unknown) => {
    if (metadata instanceof Metadata) trailers = metadata;
    return end();
  }) as typeof stream.end;
  stream.on("error", (error) => link.fail(error));
  stream.on("finish", () => link.end(status.OK, "OK", trailers));
}

export function writableCall<Q, S>(
  link: CallLink,
  request: Q,
  serialize: Serialize<S>,
): ServerWritableStream<Q, S> & Writable {
  const stream = new Writable({ objectMode: true, write: writeTo(link, serialize) });
  endings(stream, link);
  return Object.assign(stream, link.surface(), { request }) as unknown as ServerWritableStream<Q, S> & Writable;
}

export function readableCall<Q, S>(link: CallLink): ServerReadableStream<Q, S> & Readable {
  const stream = new Readable({ objectMode: true, read: () => {} });
  stream.on("error", (error) => link.fail(error));
  return Object.assign(stream, link.surface()) as unknown as ServerReadableStream<Q, S> & Readable;
}

export function duplexCall<Q, S>(link: CallLink, serialize: Serialize<S>): ServerDuplexStream<Q, S> & Duplex {
  const write = writeTo(link, serialize);
  const stream = new Duplex({ objectMode: true, read: () => {}, write });
  endings(stream, link);
  return Object.assign(stream, link.surface()) as unknown as ServerDuplexStream<Q, S> & Duplex;
}
