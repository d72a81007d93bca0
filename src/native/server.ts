// Serves gRPC handlers that are written for @grpc/grpc-js, and HTTP requests, over the data plane's transport.

import { EventEmitter } from "node:events";
import type { Readable } from "node:stream";
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { rpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { NativeEvent } from "./binding.js";
import { type CallEvent, CallLink, type CallTransport } from "./call.js";
import { type HeldRequest, HeldRequests } from "./held.js";
import { type HttpEvent, HttpExchange, type HttpTransport } from "./http.js";
import { duplexCall, readableCall, writableCall } from "./streams.js";

type Method = MethodDefinition<unknown, unknown>;
/** A handler of any of the four kinds; its kind is its method's. */
type Handler = (...args: never[]) => void;

/** What a call does with what its client sends. */
interface Receiver {
  message(data: Uint8Array): void;
  halfClose(): void;
  cancelled(): void;
  /** The call has ended, by whichever side. */
  over(): void;
}

interface OpenCall {
  readonly link: CallLink;
  readonly receiver: Receiver;
}

export type HttpHandler = (exchange: HttpExchange) => void;
export type ServerTransport = CallTransport & HttpTransport;

export class NativeServer {
  readonly #methods = new Map<string, { method: Method; handler: Handler }>();
  readonly #calls = new Map<number, OpenCall>();
  readonly #exchanges = new Map<number, HttpExchange>();
  readonly #held = new HeldRequests();
  #http: HttpHandler = (exchange) =>
    exchange.respond(404, [["Content-Type", "text/plain"]], Buffer.from("not found\n"));

  constructor(private readonly transport: ServerTransport) {}

  /** As grpc-js's Server: every method of the definition must have a handler, by its name or its original name. */
  addService(definition: ServiceDefinition, handlers: UntypedServiceImplementation): void {
    for (const [name, method] of Object.entries(definition)) {
      const handler = handlers[name] ?? (method.originalName === undefined ? undefined : handlers[method.originalName]);
      if (handler === undefined) throw new Error(`${method.path} has no handler`);
      if (this.#methods.has(method.path)) throw new Error(`${method.path} has a handler already`);
      this.#methods.set(method.path, { method, handler: handler.bind(handlers) as Handler });
    }
  }

  /** Who answers HTTP requests; every exchange must be answered. */
  setHttpHandler(handler: HttpHandler): void {
    this.#http = handler;
  }

  /** Calls and HTTP requests that are not answered yet. */
  get open(): number {
    return this.#calls.size + this.#exchanges.size;
  }

  /** Takes an event of the transport; false if it is another kind of event. */
  handle(event: NativeEvent): boolean {
    switch (event.type) {
      case "call":
        this.#call(event);
        return true;
      case "callMessage":
        this.#calls.get(event.call)?.receiver.message(event.data);
        return true;
      case "callHalfClose":
        this.#calls.get(event.call)?.receiver.halfClose();
        return true;
      case "callCancelled":
        this.#cancelled(event.call);
        return true;
      case "callDrained":
        this.#calls.get(event.call)?.link.drained();
        return true;
      case "http":
        this.#request(event);
        return true;
      case "httpClosed":
        this.#exchanges.get(event.request)?.closed();
        this.#exchanges.delete(event.request);
        return true;
      case "httpDrained":
        this.#exchanges.get(event.request)?.drained();
        return true;
      default:
        return false;
    }
  }

  #request(event: HttpEvent): void {
    const exchange = new HttpExchange(this.transport, event, () => this.#exchanges.delete(event.request));
    this.#exchanges.set(event.request, exchange);
    this.#http(exchange);
  }

  #cancelled(id: number): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    call.link.cancel();
    call.receiver.cancelled();
    call.receiver.over();
  }

  #over(id: number): void {
    this.#calls.get(id)?.receiver.over();
    this.#calls.delete(id);
  }

  #call(event: CallEvent): void {
    const found = this.#methods.get(event.path);
    if (found === undefined) {
      this.transport.callEnd(event.call, status.UNIMPLEMENTED, `unknown method ${event.path}`, []);
      return;
    }
    const link = new CallLink(this.transport, event, () => this.#over(event.call));
    this.#calls.set(event.call, { link, receiver: receiver(link, found.method, found.handler, this.#held) });
  }
}

function receiver(link: CallLink, method: Method, handler: Handler, held: HeldRequests): Receiver {
  const run = (...args: unknown[]) => guard(link, () => (handler as (...all: unknown[]) => void)(...args));
  if (method.requestStream) return streamReceiver(link, method, run);
  return singleReceiver(link, method, run, held);
}

/** A handler that throws has a bug; its client gets Unknown, as from grpc-js. False: it did. */
function guard(link: CallLink, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    link.end(status.UNKNOWN, `Server method handler threw error ${(error as Error).message}`);
    return false;
  }
}

type Run = (...args: unknown[]) => boolean;

/** Unary and server-streaming calls: one message, then the handler. */
function singleReceiver(link: CallLink, method: Method, run: Run, all: HeldRequests): Receiver {
  let request: { value: unknown } | null = null;
  let surface: EventEmitter | null = null;
  let held: HeldRequest | null = null;
  /** A handler goes on, with its request, although its client has left. */
  let isServed = false;
  return {
    message(data) {
      if (request !== null) return link.end(status.INTERNAL, "a second message in a call that takes one");
      held = all.hold(data.length);
      if (held === null) return link.fail(rpcError("tooManyRequests"));
      request = decode(link, method, data);
    },
    halfClose() {
      if (link.isOver || surface !== null) return;
      if (request === null) return link.end(status.INTERNAL, "a call without its request message");
      if (method.responseStream) {
        const call = writableCall(link, request.value, method.responseSerialize);
        surface = call;
        run(call satisfies Parameters<handleServerStreamingCall<unknown, unknown>>[0]);
      } else {
        const call = Object.assign(new EventEmitter(), link.surface(), { request: request.value });
        surface = call;
        const answer = unaryCallback(link, method);
        isServed = true;
        isServed = run(
          call satisfies Parameters<handleUnaryCall<unknown, unknown>>[0],
          (...given: Parameters<typeof answer>) => {
            held?.release();
            answer(...given);
          },
        );
        if (!isServed) held?.release();
      }
    },
    cancelled() {
      if (surface !== null) cancelSurface(surface);
    },
    over() {
      if (!isServed) held?.release();
    },
  };
}

/** Client-streaming and bidirectional calls: the handler at once, messages as they come. */
function streamReceiver(link: CallLink, method: Method, run: Run): Receiver {
  const call = method.responseStream ? duplexCall(link, method.responseSerialize) : readableCall(link);
  const stream: Readable = call;
  if (method.responseStream) run(call as Parameters<handleBidiStreamingCall<unknown, unknown>>[0]);
  else run(call as Parameters<handleClientStreamingCall<unknown, unknown>>[0], unaryCallback(link, method));
  return {
    message(data) {
      const message = decode(link, method, data);
      if (message === null) return;
      if (stream.readableLength >= limits.callMessagesMax) {
        return link.end(status.RESOURCE_EXHAUSTED, "the client sends faster than its messages are served");
      }
      stream.push(message.value);
    },
    halfClose() {
      stream.push(null);
    },
    cancelled() {
      cancelSurface(call);
    },
    over() {},
  };
}

function cancelSurface(call: EventEmitter & { cancelled?: boolean; destroy?: () => void }): void {
  call.cancelled = true;
  call.emit("cancelled", "cancelled");
  call.destroy?.();
}

/** The decoded message; null if it is damaged, and then the call is over. */
function decode(link: CallLink, method: Method, data: Uint8Array): { value: unknown } | null {
  try {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return { value: method.requestDeserialize(bytes) };
  } catch (error) {
    link.end(status.INTERNAL, `grpc: error unmarshalling request: ${(error as Error).message}`);
    return null;
  }
}

function unaryCallback(link: CallLink, method: Method): sendUnaryData<unknown> {
  return (error, value, trailers) => {
    if (error) return link.fail(error, trailers ?? null);
    let bytes: Uint8Array;
    try {
      bytes = method.responseSerialize(value ?? {});
    } catch (problem) {
      return link.end(status.INTERNAL, `Error serializing response: ${(problem as Error).message}`);
    }
    // The end is queued behind the message, so it does not wait for room.
    link.send(bytes, () => {});
    return link.end(status.OK, "OK", trailers ?? null);
  };
}

export type { HttpExchange };
