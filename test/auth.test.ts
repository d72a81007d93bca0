// A whole member with users: who gets what through its calls, and what goes on without a user.

import { createSign, generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import type Long from "long";
import { afterEach, expect, test } from "vitest";
import { Bench, type Running } from "../src/member/tests/kit.js";
import { authpb } from "../src/proto/index.js";
import {
  authService,
  clusterService,
  electionService,
  kvService,
  leaseService,
  lockService,
  maintenanceService,
} from "../src/services/definitions.js";
import { toInt64 } from "../src/wire/int64.js";

const bench = new Bench();
afterEach(() => bench.close());

const { READWRITE } = authpb.Permission.Type;
const bytes = (text: string) => Buffer.from(text);
const refusal = (code: status, details: string) => ({ code, details });
const EMPTY = refusal(status.INVALID_ARGUMENT, "etcdserver: user name is empty");
const DENIED = refusal(status.PERMISSION_DENIED, "etcdserver: permission denied");
const BAD = refusal(status.UNAUTHENTICATED, "etcdserver: invalid auth token");

/** Root, and alice who may do everything below "a/"; then authentication is on. */
async function protect({ call }: Running): Promise<void> {
  await call(authService.userAdd, { name: "root", password: "top" });
  await call(authService.roleAdd, { name: "root" });
  await call(authService.userGrantRole, { user: "root", role: "root" });
  await call(authService.userAdd, { name: "alice", password: "secret" });
  await call(authService.roleAdd, { name: "a" });
  const perm = { permType: READWRITE, key: bytes("a/"), rangeEnd: bytes("a0") };
  await call(authService.roleGrantPermission, { name: "a", perm });
  await call(authService.userGrantRole, { user: "alice", role: "a" });
  await call(authService.authEnable, {});
}

const login = async ({ call }: Running, name: string, password: string) =>
  (await call(authService.authenticate, { name, password })).token ?? "";

test("users get what they were given, and the rest is refused in etcd's words", async () => {
  const running = await bench.start(() => []);
  const { call } = running;
  await protect(running);
  const [root, alice] = [await login(running, "root", "top"), await login(running, "alice", "secret")];
  const put = (key: string, token?: string) => call(kvService.put, { key: bytes(key), value: bytes("v") }, token);
  await put("a/1", alice);
  await put("b/1", root);
  await expect(put("b/1", alice)).rejects.toMatchObject(DENIED);
  await expect(put("a/1")).rejects.toMatchObject(EMPTY);
  await expect(put("a/1", "x.1")).rejects.toMatchObject(BAD);
  expect((await call(kvService.range, { key: bytes("a/1") }, alice)).kvs).toHaveLength(1);
  await expect(call(kvService.range, { key: bytes("b/1") }, alice)).rejects.toMatchObject(DENIED);
  await expect(call(maintenanceService.hash, {}, alice)).rejects.toMatchObject(DENIED);
  await expect(call(clusterService.memberList, {})).rejects.toMatchObject(EMPTY);
  expect((await call(authService.userGet, { name: "alice" }, alice)).roles).toEqual(["a"]);
  await expect(call(authService.userGet, { name: "root" }, alice)).rejects.toMatchObject(DENIED);
  expect(await call(authService.authStatus, {})).toMatchObject({ enabled: true });
  await call(authService.authDisable, {}, root);
  await put("b/1");
});

test("what leases tell of their keys is for who may read them", async () => {
  const running = await bench.start(() => []);
  const { call } = running;
  await protect(running);
  const [root, alice] = [await login(running, "root", "top"), await login(running, "alice", "secret")];
  const grant = async (token: string, key: string) => {
    const { ID } = await call(leaseService.leaseGrant, { TTL: toInt64(100) }, token);
    await call(kvService.put, { key: bytes(key), lease: ID }, token);
    return ID ?? null;
  };
  const keysOf = async (ID: Long | null, token: string) =>
    (await call(leaseService.leaseTimeToLive, { ID, keys: true }, token)).keys?.map(String);
  const own = await grant(alice, "a/1");
  expect(await keysOf(own, alice)).toEqual(["a/1"]);
  expect((await call(leaseService.leaseLeases, {}, alice)).leases).toHaveLength(1);
  const foreign = await grant(root, "b/1");
  await expect(keysOf(foreign, alice)).rejects.toMatchObject(DENIED);
  await call(leaseService.leaseTimeToLive, { ID: foreign }, alice);
  await expect(call(leaseService.leaseLeases, {}, alice)).rejects.toMatchObject(DENIED);
  await expect(call(leaseService.leaseRevoke, { ID: foreign }, alice)).rejects.toMatchObject(DENIED);
  await call(leaseService.leaseRevoke, { ID: own }, alice);
  expect((await call(leaseService.leaseLeases, {}, root)).leases).toHaveLength(1);
});

test("a member that gets a copy of the store has its users too", async () => {
  const compacting = ["--snapshot-count=5", "--snapshot-catchup-entries=5"];
  const first = await bench.start(() => compacting);
  await protect(first);
  const root = await login(first, "root", "top");
  for (let i = 0; i < 20; i += 1) {
    await first.call(authService.roleAdd, { name: `r${i}` }, root);
  }
  const place = await bench.place();
  const [ours, theirs] = [first.place, place].map(({ peer }) => `http://127.0.0.1:${peer}`);
  await first.call(clusterService.memberAdd, { peerURLs: [theirs] }, root);
  const members = `--initial-cluster=m1=${ours},m2=${theirs}`;
  const second = await bench.start(() => ["--name=m2", members, "--initial-cluster-state=existing"], place);
  expect(second.lines("applied snapshot")).toHaveLength(1);
  const alice = await login(second, "alice", "secret");
  await second.call(kvService.put, { key: bytes("a/1") }, alice);
  await expect(second.call(kvService.put, { key: bytes("b/1") }, alice)).rejects.toMatchObject(DENIED);
  await expect(second.call(maintenanceService.hash, {}, alice)).rejects.toMatchObject(DENIED);
  await first.call(kvService.put, { key: bytes("a/1") }, alice);
});

test("a lock and an election are their caller's", async () => {
  const running = await bench.start(() => []);
  const { call } = running;
  await protect(running);
  const alice = await login(running, "alice", "secret");
  const unknown = ({ details }: { details: string }) => refusal(status.UNKNOWN, details);
  const { key } = await call(lockService.lock, { name: bytes("a/lock") }, alice);
  await expect(call(lockService.unlock, { key })).rejects.toMatchObject(unknown(EMPTY));
  await call(lockService.unlock, { key }, alice);
  await expect(call(lockService.lock, { name: bytes("b/lock") }, alice)).rejects.toMatchObject(unknown(DENIED));
  const { leader } = await call(electionService.campaign, { name: bytes("a/e"), value: bytes("x") }, alice);
  expect((await call(electionService.leader, { name: bytes("a/e") }, alice)).kv?.value).toEqual(bytes("x"));
  await expect(call(electionService.leader, { name: bytes("a/e") }, "x.1")).rejects.toMatchObject(unknown(BAD));
  await call(electionService.resign, { leader }, alice);
});

test("users outlive a restart; their tokens do not, and the passwords are in no line of the log", async () => {
  const first = await bench.start(() => ["--log-level=debug"]);
  await protect(first);
  const token = await login(first, "alice", "secret");
  await first.member.stop();
  const second = await bench.start(() => [], first.place);
  const range = (given: string) => second.call(kvService.range, { key: bytes("a/1") }, given);
  // The entry of the login may be applied again, and then the token is registered again.
  await range(token).catch((error: unknown) => expect(error).toMatchObject(BAD));
  await range(await login(second, "alice", "secret"));
  expect(JSON.stringify(first.lines(null))).not.toMatch(/secret|"top"/);
});

/** A token as another program signs it with the private key. */
function signed(privateKey: string, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createSign("RSA-SHA256").update(text).sign(privateKey, "base64url")}`;
}

test("a member that can sign no token is healthy, and its leases end", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const running = await bench.start(({ folder }) => {
    const path = join(folder, "public.pem");
    writeFileSync(path, publicKey);
    return [`--auth-token=jwt,pub-key=${path},sign-method=RS256`, "--election-timeout=500", "--heartbeat-interval=50"];
  });
  const { call, get } = running;
  await protect(running);
  await expect(login(running, "alice", "secret")).rejects.toMatchObject({
    code: status.UNKNOWN,
    details: "auth: token signing attempted with verify-only key",
  });
  const { authRevision } = await call(authService.authStatus, {});
  const root = signed(privateKey, { username: "root", revision: Number(authRevision) });
  const { ID } = await call(leaseService.leaseGrant, { TTL: toInt64(1) }, root);
  await call(kvService.put, { key: bytes("a/1"), lease: ID }, root);
  for (const path of ["/health", "/livez", "/readyz"]) expect((await get(path)).status).toBe(200);
  await expect
    .poll(async () => (await call(kvService.range, { key: bytes("a/1") }, root)).kvs, { timeout: 20_000 })
    .toEqual([]);
});

test("the audit log says who did what, with names and keys, and never a password, a token or a value", async () => {
  const running = await bench.start(({ folder }) => [`--audit-log-path=${folder}/audit.log`]);
  const { call, place, member } = running;
  await protect(running);
  const [root, alice] = [await login(running, "root", "top"), await login(running, "alice", "secret")];
  const put = (key: string, token?: string) => call(kvService.put, { key: bytes(key), value: bytes("value") }, token);
  await put("a/1", alice);
  await expect(put("b/1", alice)).rejects.toMatchObject(DENIED);
  await expect(put("a/2")).rejects.toMatchObject(EMPTY);
  await expect(login(running, "alice", "guess")).rejects.toThrow();
  await expect(call(kvService.range, { key: bytes("b/1") }, alice)).rejects.toMatchObject(DENIED);
  await call(kvService.range, { key: bytes("b/1") }, root);
  await expect(call(authService.userAdd, { name: "eve", password: "secret" }, alice)).rejects.toMatchObject(DENIED);
  // Ends the token that it came with.
  await call(authService.userChangePassword, { name: "root", password: "other" }, root);
  await call(authService.authDisable, {}, await login(running, "root", "other"));
  await member.stop();

  const text = readFileSync(join(place.folder, "audit.log"), "utf8");
  for (const secret of ["top", "secret", "guess", '"other', "value", root, alice]) expect(text).not.toContain(secret);
  const lines = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string | null>);
  const gist = ({ rpc, user, targetUser, targetRole, key, code }: Record<string, string | null>) =>
    [rpc?.split("/")[2], user ?? "-", targetUser, targetRole, key, code].filter((part) => part !== undefined).join(" ");
  expect(lines.map(gist)).toEqual([
    "UserAdd - root OK",
    "RoleAdd - root OK",
    "UserGrantRole - root root OK",
    "UserAdd - alice OK",
    "RoleAdd - a OK",
    "RoleGrantPermission - a a/ OK",
    "UserGrantRole - alice a OK",
    "AuthEnable - OK",
    "Authenticate - root OK",
    "Authenticate - alice OK",
    "Put alice a/1 OK",
    "Put alice b/1 PermissionDenied",
    "Put - a/2 InvalidArgument",
    "Authenticate - alice InvalidArgument",
    "Range alice b/1 PermissionDenied",
    "UserAdd alice eve PermissionDenied",
    "UserChangePassword root root OK",
    "Authenticate - root OK",
    "AuthDisable root OK",
  ]);
});
