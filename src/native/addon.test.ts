// The real addon in this process, with the control plane played by the test: the boundary as binding.ts promises it.

import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { EntryKind, OpKind } from "./binding.js";
import { Engine } from "./engine.js";
import { binding, directory, field, options, put, unary, Voter } from "./tests/voter.js";

for (const appendGrant of [true, false]) {
  test(`puts from the wire and from TypeScript survive a restart (grant: ${appendGrant})`, async () => {
    const given = options(directory(), { appendGrant });
    const first = new Voter(given);
    const found = await first.open();
    expect(found).toMatchObject({ fresh: true, clusterId: 0xcafen, memberId: 0xbeefn, revision: 1, entries: [] });
    const client = new Client(await first.listen(), credentials.createInsecure());
    await Promise.all(Array.from({ length: 50 }, (_, n) => unary(client, "/etcdserverpb.KV/Put", put(`k${n}`, "v"))));
    const proposed = await first.propose(OpKind.Put, put("from-js", "value"));
    expect(proposed.error).toBeNull();
    const range = await unary(client, "/etcdserverpb.KV/Range", field(1, "from-js"));
    expect(range.includes("value")).toBe(true);
    expect(Buffer.from(await first.engine.native.range(field(1, "k49"), null)).includes("k49")).toBe(true);
    const status = first.engine.native.storeStatus();
    expect(status).toMatchObject({ revision: 52, keys: 51, compactRevision: -1 });
    expect(first.seen.some((event) => event.type === (appendGrant ? "appended" : "batch"))).toBe(true);
    const metrics = first.engine.native.metrics();
    expect(metrics).toContain("netcd_batch_requests_total 51");
    client.close();
    await first.close();

    const second = new Voter(given);
    const again = await second.open();
    expect(again.fresh).toBe(false);
    expect(again.revision).toBe(52);
    expect(again.hardState).toMatchObject({ term: 1, vote: 0xbeefn });
    const entry = again.entries.find(({ kind }) => kind === EntryKind.Batch);
    const [read] = await second.engine.native.log.readEntries(entry?.index ?? 0, entry?.index ?? 0);
    expect(read?.meta).toEqual(entry);
    expect(read?.data.length).toBe(entry?.bytes);
    expect(Buffer.from(await second.engine.native.range(field(1, "from-js"), null)).includes("value")).toBe(true);
  });
}

test("control entries are applied by TypeScript, and their writes are there after a restart", async () => {
  const given = options(directory());
  const first = new Voter(given);
  await first.open();
  first.engine.native.log.proposeControl(EntryKind.Control, Buffer.from("member-1"));
  expect((await first.propose(OpKind.Put, put("a", "b"))).error).toBeNull();
  expect(first.seen).toContainEqual(expect.objectContaining({ type: "control", data: Buffer.from("member-1") }));
  await first.close();
  const again = await new Voter(given).open();
  expect(again.meta).toEqual([{ table: "members", key: Buffer.from("member-1"), value: Buffer.from("v") }]);
});

test("calls that TypeScript serves cross with metadata, messages, trailers and errors", async () => {
  const voter = new Voter(options(directory()));
  await voter.open();
  const same = (bytes: Buffer) => bytes;
  const codec = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const method = { path: "/etcdserverpb.Cluster/MemberAdd", requestStream: false, responseStream: false, ...codec };
  voter.server.addService(
    { MemberAdd: method },
    {
      MemberAdd: (
        call: { request: Buffer; metadata: Metadata },
        callback: (error: object | null, answer?: Buffer, trailers?: Metadata) => void,
      ) => {
        const trailers = new Metadata();
        trailers.set("echo", call.metadata.get("echo")[0] ?? "");
        if (call.request.length === 0) callback({ code: status.NOT_FOUND, details: "etcdserver: member not found" });
        else callback(null, Buffer.from(call.request).reverse(), trailers);
      },
    },
  );
  const client = new Client(await voter.listen(), credentials.createInsecure());
  // One peer URL each: the transport lets nothing through that is not a request of its method.
  expect(await unary(client, method.path, Buffer.from([10, 1, 97]))).toEqual(Buffer.from([97, 1, 10]));
  const large = Buffer.concat([Buffer.from([10, 0xa0, 0x8d, 0x06]), Buffer.alloc(100_000, 97)]);
  expect(await unary(client, method.path, large)).toEqual(Buffer.from(large).reverse());
  await expect(unary(client, method.path, Buffer.alloc(0))).rejects.toMatchObject({
    code: status.NOT_FOUND,
    details: "etcdserver: member not found",
  });
  expect(voter.server.open).toBe(0);
  client.close();
});

test("HTTP requests are answered by TypeScript", async () => {
  const voter = new Voter(options(directory()));
  await voter.open();
  voter.server.setHttpHandler((exchange) => {
    const text = `${exchange.request.method} ${exchange.request.url} ${Buffer.from(exchange.request.body)}`;
    exchange.respond(201, [["X-Netcd", "1"]], Buffer.from(text));
  });
  const address = await voter.listen();
  const answer = await fetch(`http://${address}/v3/echo?x=1`, { method: "POST", body: "body" });
  expect([answer.status, answer.headers.get("x-netcd"), await answer.text()]).toEqual([
    201,
    "1",
    "POST /v3/echo?x=1 body",
  ]);
});

test("several engines live in one process, and one data directory has one engine", async () => {
  const given = options(directory());
  const [one, two] = [new Voter(given), new Voter(options(directory()))];
  await Promise.all([one.open(), two.open()]);
  await one.propose(OpKind.Put, put("only", "one"));
  expect(one.engine.native.storeStatus().keys).toBe(1);
  expect(two.engine.native.storeStatus().keys).toBe(0);
  await expect(new Engine(binding, given).native.open()).rejects.toThrow("in use by another process");
});

test("an option or argument that cannot be is named, whatever is wrong with it", () => {
  const dir = directory();
  const create = (changes: object) => () => new binding.NativeEngine(options(dir, changes), () => {});
  const numbers = Object.entries(options(dir)).filter(([, value]) => typeof value === "number");
  expect(numbers.length).toBeGreaterThan(10);
  for (const [name] of numbers) {
    // A quota that is not above zero, or no number, is none.
    const wrong = name === "quotaBackendBytes" ? [1.5, 2 ** 60] : [-5000, Number.NaN, Number.POSITIVE_INFINITY];
    for (const value of wrong) expect(create({ [name]: value })).toThrow(new RegExp(`^${name} is `));
  }
  for (const name of ["clusterId", "memberId"]) {
    expect(create({ [name]: -1n })).toThrow(`${name} is an unsigned 64-bit integer`);
  }
  for (const name of ["maxTxnOps", "maxRequestBytes", "maxConcurrentStreams"]) {
    expect(create({ [name]: 2 ** 32 })).toThrow(`${name} is at most 4294967295, not 4294967296`);
  }
  expect(create({ authToken: "opaque" })).toThrow("no tokens of the kind opaque");
  const { log } = create({ compactionSleepIntervalMs: 1.5 })();
  expect(() => log.commit(-5000)).toThrow("index is a whole number from 0 to 2^53 - 1, not -5000");
});

test("what is wrong is an error of its call and breaks nothing", async () => {
  const voter = new Voter(options(directory()));
  const { native } = voter.engine;
  const { log } = native;
  expect(() => log.commit(1)).toThrow("the engine is not open");
  await voter.open();
  await expect(native.open()).rejects.toThrow("open already");
  expect(() => log.commit(-1)).toThrow("index is a whole number");
  expect(() => log.proposeControl(9 as never, Buffer.alloc(0))).toThrow("no kind of entry");
  expect(() => log.grant(1, 99, null)).toThrow("a grant is held");
  await expect(native.range(Buffer.from([255]), null)).rejects.toThrow("decode");
  const refused = await voter.propose(OpKind.Put, Buffer.alloc(2_000_000));
  expect(refused.error).toEqual({ code: 3, message: "etcdserver: request is too large" });
  expect((await voter.propose(OpKind.Put, put("still", "works"))).error).toBeNull();
  expect(() => native.watchOpen(1, "somebody" as never)).toThrow("caller is no somebody");
  await voter.close();
  expect(() => native.metrics()).toThrow("the engine is closed");
  // What JavaScript still answers to events of before is dropped.
  expect(() => log.commit(1)).not.toThrow();
  await native.close(0);
  expect(() => new Engine(binding, { ...options("x"), memberId: -1n })).toThrow("unsigned");
});

test("what JavaScript calls while the engine closes is done or dropped, at any moment of it", async () => {
  const voter = new Voter(options(directory()));
  await voter.open();
  await voter.propose(OpKind.Put, put("a", "b"));
  let closed = false;
  const closing = voter.close().finally(() => {
    closed = true;
  });
  while (!closed) {
    for (let call = 0; call < 1_000; call += 1) voter.engine.native.leases.attend();
    await new Promise(setImmediate);
  }
  await closing;
});

test("a close during an open waits for it, and leaves the data to the next engine", async () => {
  const given = options(directory());
  const { native } = new Engine(binding, given);
  await Promise.allSettled([native.open(), native.close(0)]);
  expect(() => native.metrics()).toThrow("the engine is closed");
  const next = new Voter(given);
  await next.open();
  expect((await next.propose(OpKind.Put, put("a", "b"))).error).toBeNull();
});
