import { EventEmitter, once } from "node:events";
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import { beforeEach, expect, test } from "vitest";
import { limits } from "../limits.js";
import type { NativeEvent } from "./binding.js";
import { NO_UTF8 } from "./call.js";
import type { HttpExchange } from "./http.js";
import { NativeServer } from "./server.js";

const serialize = (text: string) => {
  if (text === "unserializable") throw new Error("no");
  return Buffer.from(text);
};
const deserialize = (bytes: Buffer) => {
  if (bytes.toString() === "garbage") throw new Error("index out of range");
  return bytes.toString();
};

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/test.Test/${name}`,
    originalName: name.toLowerCase(),
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}

const definition = {
  Unary: method("Unary", false, false),
  List: method("List", false, true),
  Collect: method("Collect", true, false),
  Chat: method("Chat", true, true),
} satisfies ServiceDefinition;

type Sent = ["send", string] | ["end", number, string, [string, string | Uint8Array][]] | [string, ...unknown[]];

/** Records what the server sends; `room` is how many messages the data plane takes before it says that it is full. */
class FakeEngine {
  sent: Sent[] = [];
  room = Number.POSITIVE_INFINITY;
  callSend(_call: number, message: Uint8Array): boolean {
    this.sent.push(["send", Buffer.from(message).toString()]);
    this.room -= 1;
    return this.room > 0;
  }
  callEnd(_call: number, code: number, message: string, trailers: [string, string | Uint8Array][]): void {
    this.sent.push(["end", code, message, trailers]);
  }
  httpRespond = (...args: unknown[]) => void this.sent.push(["respond", ...args]);
  httpStart = (...args: unknown[]) => void this.sent.push(["start", ...args]);
  httpWrite = (_request: number, chunk: Uint8Array): boolean => this.callSend(0, chunk);
  httpEnd = (...args: unknown[]) => void this.sent.push(["httpEnd", ...args]);
}

interface Handlers {
  unary: handleUnaryCall<string, string>;
  list: handleServerStreamingCall<string, string>;
  collect: handleClientStreamingCall<string, string>;
  chat: handleBidiStreamingCall<string, string>;
}

let engine: FakeEngine;
let server: NativeServer;

beforeEach(() => {
  engine = new FakeEngine();
  server = new NativeServer(engine);
});

function serve(handlers: Partial<Handlers>): void {
  const unused = () => {
    throw new Error("unused");
  };
  server.addService(definition, { unary: unused, list: unused, collect: unused, chat: unused, ...handlers });
}

function call(name: string, deadlineMs: number | null = null): void {
  const metadata: [string, string | Uint8Array][] = [
    ["hasleader", "true"],
    ["trace-bin", Buffer.from([1, 2])],
  ];
  const head = { call: 1, path: `/test.Test/${name}`, metadata, peer: "127.0.0.1:5", deadlineMs, listener: "client" };
  server.handle({ type: "call", ...head, commonName: null });
}

const message = (text: string) => server.handle({ type: "callMessage", call: 1, data: Buffer.from(text) });
const halfClose = () => server.handle({ type: "callHalfClose", call: 1 });
const cancel = () => server.handle({ type: "callCancelled", call: 1, code: status.CANCELLED });
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a unary call is answered with its message, status and trailers", () => {
  let seen: ServerUnaryCall<string, string> | null = null;
  serve({
    unary: (given, callback) => {
      seen = given;
      const initial = new Metadata();
      initial.set("a", "1");
      given.sendMetadata(initial);
      const trailers = new Metadata();
      trailers.set("b", "2");
      callback(null, `hello ${given.request}`, trailers);
    },
  });
  call("Unary", 1000);
  message("you");
  halfClose();
  const pairs = [
    ["a", "1"],
    ["b", "2"],
  ];
  expect(engine.sent).toEqual([
    ["send", "hello you"],
    ["end", 0, "OK", pairs],
  ]);
  const given = seen as unknown as ServerUnaryCall<string, string>;
  expect(given.metadata.get("hasleader")).toEqual(["true"]);
  expect(given.metadata.get("trace-bin")).toEqual([Buffer.from([1, 2])]);
  expect([given.getPeer(), given.getPath()]).toEqual(["127.0.0.1:5", "/test.Test/Unary"]);
  expect(given.getDeadline()).toBeInstanceOf(Date);
  expect(server.open).toBe(0);
});

test("metadata that grpc-js does not take ends neither the process nor the call", () => {
  const seen: Metadata[] = [];
  serve({ unary: ({ metadata }, callback) => callback(null, String(seen.push(metadata))) });
  const metadata: [string, string | Uint8Array][] = [
    [":authority", "h\u00e9"],
    ["x!y", "1"],
    ["x'|~^`#$%&*+y", "1"],
    ["token", "caf\u00e9\ud83d\ude00"],
    ["authorization", "a\tb"],
    ["client-api-version", "\ufffd"],
  ];
  server.handle({
    ...{ type: "call", call: 1, path: "/test.Test/Unary", metadata },
    ...{ peer: "127.0.0.1:5", deadlineMs: null, listener: "client", commonName: null },
  });
  message("you");
  halfClose();
  expect(engine.sent.at(-1)).toEqual(["end", 0, "OK", []]);
  expect(seen[0]?.getMap()).toEqual({
    host: "h%C3%A9",
    token: "caf%C3%A9%F0%9F%98%80",
    authorization: "a%09b",
    "client-api-version": NO_UTF8,
  });
});

test("errors of a unary handler are the status of its call", () => {
  const failures: [Parameters<Parameters<Handlers["unary"]>[1]>[0], number, string][] = [
    [{ code: status.NOT_FOUND, details: "etcdserver: member not found" }, 5, "etcdserver: member not found"],
    [Object.assign(new Error("plain"), { code: status.ABORTED }), 10, "plain"],
    [new Error("a bug"), 2, "a bug"],
  ];
  let at = 0;
  serve({ unary: (_call, callback) => callback(failures[at]?.[0] ?? null) });
  for (const [, code, text] of failures) {
    engine.sent = [];
    call("Unary");
    message("x");
    halfClose();
    expect(engine.sent).toEqual([["end", code, text, []]]);
    at += 1;
  }
});

test("calls that cannot be served end with a status and leave nothing open", () => {
  serve({
    unary: () => {
      throw new Error("oops");
    },
    chat: (given) => void given.on("data", (text: string) => given.write(text)),
  });
  const ends = (code: number, text: string) => {
    expect(engine.sent.at(-1)).toEqual(["end", code, text, []]);
    expect(server.open).toBe(0);
  };
  call("Nothing");
  ends(status.UNIMPLEMENTED, "unknown method /test.Test/Nothing");
  call("Unary");
  halfClose();
  ends(status.INTERNAL, "a call without its request message");
  call("Unary");
  message("garbage");
  halfClose();
  ends(status.INTERNAL, "grpc: error unmarshalling request: index out of range");
  call("Unary");
  message("a");
  message("b");
  ends(status.INTERNAL, "a second message in a call that takes one");
  call("Unary");
  message("a");
  halfClose();
  ends(status.UNKNOWN, "Server method handler threw error oops");
});

test("a server stream waits for room, and ends with the trailers of end()", async () => {
  const written: number[] = [];
  serve({
    list: (given) => {
      for (let n = 0; n < 3; n++) given.write(`${given.request}${n}`, () => written.push(n));
      const trailers = new Metadata();
      trailers.set("t", "1");
      given.end(trailers);
    },
  });
  engine.room = 1;
  call("List");
  message("m");
  halfClose();
  await turn();
  expect(engine.sent).toEqual([["send", "m0"]]);
  engine.room = 100;
  server.handle({ type: "callDrained", call: 1 });
  await turn();
  expect(written).toEqual([0, 1, 2]);
  expect(engine.sent.slice(1)).toEqual([
    ["send", "m1"],
    ["send", "m2"],
    ["end", 0, "OK", [["t", "1"]]],
  ]);
  expect(server.open).toBe(0);
});

test("an error that a stream's handler emits is its status", async () => {
  serve({
    list: (given) => void given.emit("error", { code: status.UNAVAILABLE, details: "etcdserver: no leader" }),
    chat: (given) => void given.write("unserializable"),
  });
  call("List");
  message("m");
  halfClose();
  await turn();
  expect(engine.sent).toEqual([["end", status.UNAVAILABLE, "etcdserver: no leader", []]]);
  engine.sent = [];
  call("Chat");
  await turn();
  expect(engine.sent).toEqual([["end", status.INTERNAL, "Error serializing response: no", []]]);
});

test("a client stream gives its messages in order and answers once", async () => {
  serve({
    collect: (given, callback) => {
      const all: string[] = [];
      given.on("data", (text: string) => all.push(text));
      given.on("end", () => callback(null, all.join()));
    },
  });
  call("Collect");
  message("a");
  message("b");
  halfClose();
  await turn();
  expect(engine.sent).toEqual([
    ["send", "a,b"],
    ["end", 0, "OK", []],
  ]);
});

test("a bidirectional call echoes, and a cancelled one tells its handler and sends no more", async () => {
  const events = new EventEmitter();
  serve({
    chat: (given) => {
      given.on("data", (text: string) => given.write(text));
      given.on("cancelled", () => {
        events.emit("cancelled", given.cancelled);
        given.write("late");
      });
    },
  });
  call("Chat");
  message("a");
  await turn();
  const cancelled = once(events, "cancelled");
  cancel();
  expect(await cancelled).toEqual([true]);
  await turn();
  expect(engine.sent).toEqual([["send", "a"]]);
  expect(server.open).toBe(0);
  expect(message("to nobody")).toBe(true);
});

test("a client that sends faster than its handler reads is ended, not buffered", async () => {
  serve({ chat: () => {} });
  call("Chat");
  for (let n = 0; n <= limits.callMessagesMax; n++) message("x");
  const [end] = engine.sent;
  expect(end?.slice(0, 2)).toEqual(["end", status.RESOURCE_EXHAUSTED]);
});

test("a service needs a handler for each method, and a path is served once", () => {
  expect(() => server.addService(definition, {})).toThrow("/test.Test/Unary has no handler");
  serve({});
  expect(() => serve({})).toThrow("has a handler already");
});

const http: Extract<NativeEvent, { type: "http" }> = {
  type: "http",
  request: 4,
  method: "GET",
  url: "/health",
  headers: [],
  body: new Uint8Array(),
  peer: "p",
  listener: "client",
  failedRead: null,
  commonName: null,
};

test("an HTTP request is answered whole or in parts that wait for room", async () => {
  let exchange: HttpExchange | null = null;
  server.setHttpHandler((given) => {
    exchange = given;
  });
  server.handle(http);
  const whole = exchange as unknown as HttpExchange;
  whole.respond(200, [["a", "b"]], Buffer.from("ok"));
  whole.respond(500, [], Buffer.from("twice"));
  expect(engine.sent).toEqual([["respond", 4, 200, [["a", "b"]], Buffer.from("ok")]]);
  expect(server.open).toBe(0);

  engine.sent = [];
  server.handle(http);
  const parts = exchange as unknown as HttpExchange;
  parts.start(200, []);
  engine.room = 1;
  let written = false;
  const write = parts.write(Buffer.from("1")).then(() => {
    written = true;
  });
  await turn();
  expect(written).toBe(false);
  server.handle({ type: "httpDrained", request: 4 });
  await write;
  parts.end();
  expect(engine.sent).toEqual([
    ["start", 4, 200, []],
    ["send", "1"],
    ["httpEnd", 4],
  ]);
});

test("an HTTP client that leaves is told to the handler, and without a handler the answer is 404", () => {
  server.handle(http);
  expect(engine.sent[0]?.slice(0, 3)).toEqual(["respond", 4, 404]);
  let closed = false;
  server.setHttpHandler((given) => given.onClosed(() => (closed = given.isOver)));
  server.handle(http);
  server.handle({ type: "httpClosed", request: 4 });
  expect(closed).toBe(true);
  expect(server.open).toBe(0);
  expect(server.handle({ type: "applied", index: 1 })).toBe(false);
});

/** A call with this number, as far as its message goes. */
function callWith(id: number, name: string, bytes: number): void {
  const head = {
    call: id,
    path: `/test.Test/${name}`,
    metadata: [],
    peer: "127.0.0.1:5",
    deadlineMs: null,
    listener: "client",
    commonName: null,
  };
  server.handle({ type: "call", ...head });
  server.handle({ type: "callMessage", call: id, data: Buffer.alloc(bytes) });
}

const tooMany = ["end", status.UNKNOWN, "etcdserver: too many requests", []];
const half = limits.heldRequestBytesMax / 2;

test("requests of calls that are not complete are bounded in bytes, and who leaves makes room", () => {
  serve({});
  callWith(1, "Unary", half);
  callWith(2, "List", half);
  expect(engine.sent).toEqual([]);
  callWith(3, "Unary", 1);
  expect(engine.sent).toEqual([tooMany]);
  server.handle({ type: "callCancelled", call: 2, code: status.CANCELLED });
  callWith(4, "Unary", half);
  expect(engine.sent).toEqual([tooMany]);
});

test("a request is held until its handler has answered, also when its client has left", () => {
  const answers: (() => void)[] = [];
  serve({ unary: (_call, callback) => void answers.push(() => callback(null, "done")) });
  for (const id of [1, 2]) {
    callWith(id, "Unary", half);
    server.handle({ type: "callHalfClose", call: id });
  }
  server.handle({ type: "callCancelled", call: 1, code: status.CANCELLED });
  callWith(3, "Unary", half);
  expect(engine.sent).toEqual([tooMany]);
  answers[0]?.();
  callWith(4, "Unary", half);
  expect(engine.sent).toEqual([tooMany]);
  callWith(5, "Unary", half);
  answers[1]?.();
  callWith(6, "Unary", half);
  expect(engine.sent.filter(([what]) => what === "end")).toEqual([tooMany, tooMany, ["end", status.OK, "OK", []]]);
});
