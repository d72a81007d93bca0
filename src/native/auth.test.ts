// The handle `auth` of the real addon: rows that a control entry wrote decide who may do what, and tokens who somebody is.

import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { expect, test, vi } from "vitest";
import { authpb, etcdserverpb } from "../proto/index.js";
import { type Caller, type EngineOptions, EntryKind, type MetaWrite, type NativeEvent, OpKind } from "./binding.js";
import { directory, field, options, put, unary, Voter } from "./tests/voter.js";

const REVISION = 7;
const ALICE: Caller = { user: "alice", revision: REVISION };
const EMPTY = { code: status.INVALID_ARGUMENT, message: "etcdserver: user name is empty" };
const OLD = { code: status.INVALID_ARGUMENT, message: "etcdserver: revision of auth store is old" };
const DENIED = { code: status.PERMISSION_DENIED, message: "etcdserver: permission denied" };
const INVALID = { code: status.UNAUTHENTICATED, details: "etcdserver: invalid auth token" };

const bytes = (text: string) => Buffer.from(text);
const NO_END = new Uint8Array();

/** Auth is on; alice may do everything with keys below `team/`. */
function rows(): MetaWrite[] {
  const revision = Buffer.alloc(8);
  revision.writeBigUInt64BE(BigInt(REVISION));
  const permission = {
    permType: authpb.Permission.Type.READWRITE,
    key: bytes("team/"),
    rangeEnd: bytes("team0"),
  };
  const user = authpb.User.encode({ name: bytes("alice"), roles: ["team"] }).finish();
  const role = authpb.Role.encode({ name: bytes("team"), keyPermission: [permission] }).finish();
  const row = (key: string, value: Uint8Array): MetaWrite => ({ table: "auth", key: bytes(key), value });
  return [
    row("a/authEnabled", Buffer.from([1])),
    row("a/authRevision", revision),
    row("u/alice", user),
    row("r/team", role),
  ];
}

async function voterWithUsers(changes: Partial<EngineOptions> = {}): Promise<Voter> {
  const voter = new Voter(options(directory(), changes));
  await voter.open();
  voter.writes = rows;
  voter.engine.native.log.proposeControl(EntryKind.Control, bytes("enable"));
  const { auth } = voter.engine.native;
  await vi.waitFor(() => expect(auth.checkRange(null, bytes("team/"), NO_END, false)).toEqual(EMPTY));
  return voter;
}

async function event<T extends NativeEvent["type"]>(voter: Voter, type: T): Promise<Extract<NativeEvent, { type: T }>> {
  return await vi.waitFor(() => {
    const found = voter.seen.find((seen) => seen.type === type);
    expect(found).toBeDefined();
    return found as Extract<NativeEvent, { type: T }>;
  });
}

function withToken(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set("token", token);
  return metadata;
}

test("what TypeScript does for somebody is permitted or not, and its own work always is", async () => {
  const voter = await voterWithUsers();
  const { native } = voter.engine;
  for (const [caller, key, error] of [
    [null, "team/k", EMPTY],
    [ALICE, "other", DENIED],
    [{ user: "bob", revision: REVISION }, "team/k", DENIED],
    [{ user: "alice", revision: REVISION - 1 }, "team/k", OLD],
    [ALICE, "team/k", null],
    ["internal", "other", null],
  ] as const) {
    expect((await voter.propose(OpKind.Put, put(key, "v"), caller)).error).toEqual(error);
    const read = native.range(field(1, key), caller);
    if (error === null) expect(Buffer.from(await read).includes(key)).toBe(true);
    else await expect(read).rejects.toThrow(error.message);
    for (const write of [false, true]) {
      expect(native.auth.checkRange(caller, bytes(key), NO_END, write)).toEqual(error);
    }
  }
  expect(native.auth.checkRange(ALICE, bytes("team/"), bytes("team0"), true)).toBeNull();
  expect(native.auth.checkRange(ALICE, bytes("team/"), bytes("team1"), true)).toEqual(DENIED);
  expect((await voter.propose(OpKind.LeaseRevoke, Buffer.from([8, 1]), null)).error).toEqual(EMPTY);
});

test("the keys of a lease decide who may change it", async () => {
  const voter = await voterWithUsers();
  const { auth } = voter.engine.native;
  const request = etcdserverpb.LeaseGrantRequest.encode({ ID: 5, TTL: 60 } as never).finish();
  expect((await voter.propose(OpKind.LeaseGrant, request, ALICE)).error).toBeNull();
  const attach = async (key: string) => {
    const attached = etcdserverpb.PutRequest.encode({ key: bytes(key), lease: 5 } as never).finish();
    expect((await voter.propose(OpKind.Put, attached, "internal")).error).toBeNull();
  };
  const checks = (caller: Caller) => [true, false].map((write) => auth.checkLease(caller, 5n, write));
  expect(checks(null)).toEqual([EMPTY, EMPTY]);
  expect(checks(ALICE)).toEqual([null, null]);
  await attach("team/k");
  expect(checks(ALICE)).toEqual([null, null]);
  await attach("other");
  expect(checks(ALICE)).toEqual([DENIED, DENIED]);
  expect(checks("internal")).toEqual([null, null]);
  expect(auth.checkLease(ALICE, 6n, true)).toBeNull();
});

test("a token is somebody until it is forgotten, or its time is over", async () => {
  const voter = await voterWithUsers();
  const { auth } = voter.engine.native;
  const client = new Client(await voter.listen(), credentials.createInsecure());
  const write = (token: string) => unary(client, "/etcdserverpb.KV/Put", put("team/k", "v"), withToken(token));
  expect(auth.identify("t.1")).toBeNull();
  await expect(write("t.1")).rejects.toMatchObject(INVALID);
  auth.register("t.1", "alice", null, null, true);
  auth.register("jwt", "alice", 3, 60_000, false);
  auth.register("short", "alice", null, 1, false);
  expect(auth.identify("t.1")).toEqual(ALICE);
  expect(auth.identify("jwt")).toEqual({ user: "alice", revision: 3 });
  await write("t.1");
  await expect(write("jwt")).rejects.toMatchObject({ code: OLD.code, details: OLD.message });
  await vi.waitFor(() => expect(auth.identify("short")).toBeNull());
  // The data plane itself forgets it.
  await vi.waitFor(() => expect(auth.tokens()).toBe(2), { timeout: 10_000 });
  auth.forgetUser("bob");
  expect(auth.identify("t.1")).toEqual(ALICE);
  auth.forgetUser("alice");
  expect(auth.identify("t.1")).toBeNull();
  await expect(write("t.1")).rejects.toMatchObject(INVALID);
  auth.register("t.2", "alice", null, null, true);
  auth.forgetAll();
  expect([auth.identify("t.2"), auth.tokens()]).toEqual([null, 0]);
  client.close();
});

test.each(["simple", "jwt"] as const)(
  "a call waits until TypeScript has looked at its token (%s)",
  async (authToken) => {
    const voter = await voterWithUsers({ authToken });
    const { auth } = voter.engine.native;
    const client = new Client(await voter.listen(), credentials.createInsecure());
    const write = (token: string) => unary(client, "/etcdserverpb.KV/Put", put("team/k", "v"), withToken(token));
    const good = write("token.1000");
    const { ask, token } = await event(voter, "identify");
    expect(token).toBe("token.1000");
    auth.register(token, "alice", null, null, true);
    auth.identified(ask, null);
    await good;
    voter.seen.length = 0;
    const bad = write("other.1000");
    auth.identified((await event(voter, "identify")).ask, { code: INVALID.code, message: INVALID.details });
    await expect(bad).rejects.toMatchObject(INVALID);
    client.close();
  },
);

test("who may not write does not come to the quota", async () => {
  const voter = await voterWithUsers({ quotaBackendBytes: 100_000 });
  const { auth } = voter.engine.native;
  auth.register("t.1", "alice", null, null, true);
  const client = new Client(await voter.listen(), credentials.createInsecure());
  const large = etcdserverpb.PutRequest.encode({ key: bytes("other"), value: Buffer.alloc(200_000) }).finish();
  const path = "/etcdserverpb.KV/Put";
  await expect(unary(client, path, Buffer.from(large))).rejects.toMatchObject({ details: EMPTY.message });
  await expect(unary(client, path, Buffer.from(large), withToken("t.1"))).rejects.toMatchObject({
    details: DENIED.message,
  });
  expect((await voter.propose(OpKind.Put, large, null)).error).toEqual(EMPTY);
  expect((await voter.propose(OpKind.Put, large, ALICE)).error).toEqual(DENIED);
  expect(voter.seen.filter(({ type }) => type === "quotaExceeded")).toEqual([]);
  const own = voter.propose(OpKind.Put, large, "internal");
  await event(voter, "quotaExceeded");
  voter.engine.native.quotaRefused();
  expect((await own).error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  client.close();
});

test("a watch of TypeScript is its caller's, and ends with what he may see", async () => {
  const voter = await voterWithUsers();
  const { native } = voter.engine;
  const create = (stream: number, key: string) => {
    const request = etcdserverpb.WatchRequest.encode({ createRequest: { key: bytes(key) } }).finish();
    native.watchSend(stream, request);
  };
  const messages = async (stream: number, count: number) => {
    const own = () =>
      voter.seen.filter((seen) => seen.type === "watchMessage").filter((message) => message.stream === stream);
    await vi.waitFor(() => expect(own().length).toBe(count));
    return own().map(({ data }) => etcdserverpb.WatchResponse.decode(data));
  };
  const reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
  native.watchOpen(1, ALICE);
  native.watchOpen(2, "internal");
  create(1, "other");
  create(1, "team/k");
  create(2, "team/k");
  const [refused, created] = await messages(1, 2);
  expect(refused).toMatchObject({ created: true, canceled: true, cancelReason: reason });
  expect(created).toMatchObject({ created: true, canceled: false });
  await voter.propose(OpKind.Put, put("team/k", "v"), "internal");
  expect((await messages(1, 3))[2]?.events.length).toBe(1);
  expect((await messages(2, 2))[1]?.events.length).toBe(1);
  native.auth.forgetUser("alice");
  expect((await messages(1, 4))[3]).toMatchObject({ created: false, canceled: true, cancelReason: reason });
  await voter.propose(OpKind.Put, put("team/k", "w"), "internal");
  expect((await messages(2, 3))[2]?.events.length).toBe(1);
  expect((await messages(1, 4)).length).toBe(4);
});
