// Who may call what while authentication is on: one row for each method that TypeScript serves.

import { EventEmitter } from "node:events";
import { Metadata, type ServiceDefinition } from "@grpc/grpc-js";
import { beforeEach, expect, it } from "vitest";
import { Alarms } from "../cluster/alarms.js";
import { Membership } from "../cluster/membership.js";
import { rpcError, toRpcError } from "../errors.js";
import { type Caller, OpKind } from "../native/binding.js";
import { etcdserverpb } from "../proto/index.js";
import { toBigint, toInt64, toUint64 } from "../wire/int64.js";
import type { ServiceContext } from "./context.js";
import { HealthState } from "./health.js";
import { MISSING } from "./missing.js";
import { registerServices } from "./register.js";
import { Users } from "./tests/users.js";

/** Nobody, somebody with a token that is none, and three users: without a role, with role own, with role root. */
const CALLERS = ["nobody", "bad", "plain", "own", "root"] as const;

const EMPTY = "3 etcdserver: user name is empty";
const BAD = "16 etcdserver: invalid auth token";
const DENIED = "7 etcdserver: permission denied";
const unknown = (refusal: string) => refusal.replace(/^\d+/, "2");

/** What the callers get of a call, in their order. */
const GETS = {
  /** Tokens are not looked at. */
  everybody: ["ok", "ok", "ok", "ok", "ok"],
  /** A token must be good, but none is needed. */
  resolved: ["ok", BAD, "ok", "ok", "ok"],
  identity: [EMPTY, BAD, "ok", "ok", "ok"],
  /** It is about what is user own's. */
  owner: [EMPTY, BAD, DENIED, "ok", "ok"],
  admin: [EMPTY, BAD, DENIED, DENIED, "ok"],
  /** As owner, in a call whose errors have all the same code. */
  recipe: [unknown(EMPTY), unknown(BAD), unknown(DENIED), "ok", "ok"],
  /** As recipe, in a stream that ends then. */
  observer: ["ended", "ended", "ended", "ok", "ok"],
} as const;

type Row = readonly [gets: keyof typeof GETS, request?: object];

const own = Buffer.from("own");
/** The id of a lease to which a key of user own is attached. */
const OWN_LEASE = toInt64(7);
const LEADER = { name: own, key: Buffer.from("own/7"), rev: toInt64(5), lease: OWN_LEASE };
const learner = { ID: toUint64(9) };
const { AlarmAction } = etcdserverpb.AlarmRequest;

/** By service and method; some methods are asked several questions. */
const TABLE: Readonly<Record<string, readonly Row[]>> = {
  "etcdserverpb.Auth/AuthEnable": [["admin"]],
  "etcdserverpb.Auth/AuthDisable": [["admin"]],
  "etcdserverpb.Auth/AuthStatus": [["resolved"]],
  "etcdserverpb.Auth/Authenticate": [["everybody", { name: "own", password: "x" }]],
  "etcdserverpb.Auth/UserAdd": [["admin", { name: "new" }]],
  "etcdserverpb.Auth/UserGet": [
    ["owner", { name: "own" }],
    ["admin", { name: "root" }],
  ],
  "etcdserverpb.Auth/UserList": [["admin"]],
  "etcdserverpb.Auth/UserDelete": [["admin", { name: "plain" }]],
  "etcdserverpb.Auth/UserChangePassword": [["admin", { name: "own", hashedPassword: "eA==" }]],
  "etcdserverpb.Auth/UserGrantRole": [["admin", { user: "plain", role: "own" }]],
  "etcdserverpb.Auth/UserRevokeRole": [["admin", { name: "own", role: "own" }]],
  "etcdserverpb.Auth/RoleAdd": [["admin", { name: "new" }]],
  "etcdserverpb.Auth/RoleGet": [
    ["owner", { role: "own" }],
    ["admin", { role: "root" }],
  ],
  "etcdserverpb.Auth/RoleList": [["admin"]],
  "etcdserverpb.Auth/RoleDelete": [["admin", { role: "own" }]],
  "etcdserverpb.Auth/RoleGrantPermission": [["admin", { name: "own", perm: { key: own } }]],
  "etcdserverpb.Auth/RoleRevokePermission": [["admin", { role: "own", key: own, rangeEnd: Buffer.from("owo") }]],
  "etcdserverpb.Cluster/MemberAdd": [["admin", { peerURLs: ["http://127.0.0.1:1"] }]],
  "etcdserverpb.Cluster/MemberRemove": [["admin", learner]],
  "etcdserverpb.Cluster/MemberUpdate": [["admin", learner]],
  "etcdserverpb.Cluster/MemberPromote": [["admin", learner]],
  "etcdserverpb.Cluster/MemberList": [["identity"], ["identity", { linearizable: true }]],
  "etcdserverpb.Lease/LeaseGrant": [["identity", { TTL: toInt64(60) }]],
  "etcdserverpb.Lease/LeaseRevoke": [["owner", { ID: OWN_LEASE }]],
  "etcdserverpb.Lease/LeaseTimeToLive": [
    ["identity", { ID: OWN_LEASE }],
    ["owner", { ID: OWN_LEASE, keys: true }],
    ["identity", { ID: toInt64(8), keys: true }],
  ],
  "etcdserverpb.Lease/LeaseLeases": [["owner"]],
  "etcdserverpb.Maintenance/Alarm": [
    ["identity", { action: AlarmAction.GET }],
    ["admin", { action: AlarmAction.ACTIVATE, alarm: 1 }],
    ["admin", { action: AlarmAction.DEACTIVATE, alarm: 1 }],
  ],
  "etcdserverpb.Maintenance/Status": [["identity"]],
  "etcdserverpb.Maintenance/Defragment": [["admin"]],
  "etcdserverpb.Maintenance/Hash": [["admin"]],
  "etcdserverpb.Maintenance/HashKV": [["admin"]],
  "etcdserverpb.Maintenance/MoveLeader": [["admin"]],
  "grpc.health.v1.Health/Check": [["everybody"]],
  "grpc.health.v1.Health/List": [["everybody"]],
  "grpc.health.v1.Health/Watch": [["everybody"]],
  "v3electionpb.Election/Campaign": [
    ["recipe", { name: own, lease: OWN_LEASE }],
    ["recipe", { name: own }],
  ],
  "v3electionpb.Election/Proclaim": [["recipe", { leader: LEADER }]],
  "v3electionpb.Election/Leader": [["recipe", { name: own }]],
  "v3electionpb.Election/Observe": [["observer", { name: own }]],
  "v3electionpb.Election/Resign": [["recipe", { leader: LEADER }]],
  "v3lockpb.Lock/Lock": [
    ["recipe", { name: own, lease: OWN_LEASE }],
    ["recipe", { name: own }],
  ],
  "v3lockpb.Lock/Unlock": [["recipe", { key: own }]],
};

let users: Users;
let attached: Map<bigint, string[]>;
let serving: ServiceContext;
/** What each proposal, range and watch was made as. */
let made: Caller[];
let promoted: (string | null)[];

/** Another member, on which nothing was done yet. */
function renew(options?: { enabled: boolean }): void {
  users = new Users(options);
  attached = new Map([[7n, ["own/7"]]]);
  serving = context();
}

beforeEach(() => {
  made = [];
  promoted = [];
  renew();
});

/** A member whose store holds nothing but what is asked for, and checks as apply does. */
function context(): ServiceContext {
  const membership = new Membership(1n);
  membership.put({ id: 1n, name: "a", peerUrls: [], clientUrls: [], isLearner: false });
  const header = { revision: toInt64(5) };
  const kvs = [{ key: LEADER.key, createRevision: toInt64(5), modRevision: toInt64(5) }];
  return {
    memberId: 1n,
    clusterId: 1n,
    membership,
    alarms: new Alarms(),
    auth: users.auth,
    permissions: users.permissions(attached),
    quotaBytes: 1,
    raft: () => ({ term: 1, leader: 1n, committed: 1, applied: 1 }),
    store: () => ({ revision: 5, dbSize: 1, dbSizeInUse: 1 }),
    members: {
      add: async () => membership.member(1n),
      remove: async () => {},
      update: async () => {},
      promote: async (_id: bigint, token: string | null) => void promoted.push(token),
    },
    transferLeader: async () => {},
    linearizable: async () => {},
    defragment: async () => {},
    hashKv: async () => ({ hash: 1, revision: 5, compactRevision: -1, hashRevision: 5 }),
    changeAlarm: async () => null,
    leases: {
      ttlSecondsMin: 1,
      nextId: () => 8n,
      all: () => [...attached.keys()],
      timeToLive: async (id: bigint, keys: boolean) => ({
        ttlSeconds: 1,
        grantedTtlSeconds: 1,
        keys: keys ? (attached.get(id) ?? []).map((key) => Buffer.from(key)) : null,
      }),
    },
    propose: async (kind: OpKind, request: Uint8Array, caller: Caller) => {
      made.push(caller);
      switch (kind) {
        case OpKind.LeaseGrant:
          return etcdserverpb.LeaseGrantResponse.encode({ header, ID: toInt64(8) }).finish();
        case OpKind.LeaseRevoke: {
          const id = toBigint(etcdserverpb.LeaseRevokeRequest.decode(request).ID);
          for (const key of attached.get(id) ?? []) users.check(caller, Buffer.from(key));
          return etcdserverpb.LeaseRevokeResponse.encode({ header }).finish();
        }
        case OpKind.DeleteRange:
          users.check(caller, etcdserverpb.DeleteRangeRequest.decode(request).key);
          return etcdserverpb.DeleteRangeResponse.encode({ header }).finish();
        case OpKind.Txn:
          for (const { key } of etcdserverpb.TxnRequest.decode(request).compare) users.check(caller, key ?? own);
          return etcdserverpb.TxnResponse.encode({ header, succeeded: true }).finish();
        default:
          throw new Error(`no handler proposes ${kind}`);
      }
    },
    range: async (request: Uint8Array, caller: Caller) => {
      made.push(caller);
      const range = etcdserverpb.RangeRequest.decode(request);
      users.check(caller, range.key);
      // Nobody waits before the caller; what is asked for the oldest key finds the leader's.
      const older = !range.maxCreateRevision.isZero();
      return etcdserverpb.RangeResponse.encode({ header, kvs: older ? [] : kvs }).finish();
    },
    watches: {
      open: (caller: Caller) => {
        made.push(caller);
        return Object.assign((async function* () {})(), { send: () => {}, close: () => {} });
      },
    },
  } as unknown as ServiceContext;
}

type Handler = (call: never, callback?: (error: Error | null) => void) => void;
type Served = ServiceDefinition[string] & { readonly handler: Handler };

/** What is served, by service and method, without what only says that it is not there. */
function served(): Map<string, Served> {
  const missing = Object.values(MISSING).flatMap((methods) => Object.values(methods).map(({ path }) => path));
  const found = new Map<string, Served>();
  const addService = (definition: ServiceDefinition, handlers: object) => {
    for (const [name, method] of Object.entries(definition)) {
      const handler = (handlers as Record<string, Handler>)[name];
      if (handler && !missing.includes(method.path)) found.set(method.path.slice(1), { ...method, handler });
    }
  };
  registerServices({ addService }, serving, new HealthState());
  return found;
}

/** "ok", "ended" for a stream without a message, or the code and text of the refusal. */
function outcome(name: string, request: object, caller: string): Promise<string> {
  const method = served().get(name) ?? expect.unreachable(`${name} is not served`);
  const metadata = new Metadata();
  if (caller !== "nobody") metadata.set("token", caller);
  const message = method.requestDeserialize(method.requestSerialize(request));
  const shared = { request: message, metadata, cancelled: false, getPeer: () => "127.0.0.1:1" };
  const call = Object.assign(new EventEmitter(), shared);
  return new Promise((resolve) => {
    const refused = (error: Error) => {
      const { code, details } = toRpcError(error);
      resolve(`${code} ${details}`);
    };
    const stream = { write: () => resolve("ok"), end: () => resolve("ended") };
    if (method.responseStream) method.handler(Object.assign(call.on("error", refused), stream) as never);
    else method.handler(call as never, (error) => (error ? refused(error) : resolve("ok")));
  });
}

it("is stated for every method that is served, and for no other", () => {
  expect(Object.keys(TABLE).sort()).toEqual([...served().keys()].sort());
});

const CALLS = Object.entries(TABLE).flatMap(([name, rows]) =>
  rows.map(([gets, request = {}]) => [name, gets, request] as const),
);

it.each(CALLS)("%s is for: %s", async (name, gets, request) => {
  const got: string[] = [];
  for (const caller of CALLERS) {
    renew();
    got.push(await outcome(name, request, caller));
  }
  expect(got).toEqual(GETS[gets]);
  // What takes no account of tokens must not even fail because of one.
  if (gets === "everybody") expect(users.identified).toBe(0);
});

it.each(CALLS)("%s (%s) is everybody's while authentication is off", async (name, _gets, request) => {
  for (const caller of ["nobody", "bad"]) {
    renew({ enabled: false });
    expect(await outcome(name, request, caller)).toBe("ok");
  }
});

it("what is written, read and watched for a caller is done as that caller", async () => {
  for (const [name, , request] of CALLS) {
    renew();
    expect(await outcome(name, request, "root"), name).toBe("ok");
  }
  expect(new Set(made.map((caller) => (caller as { user: string } | null)?.user))).toEqual(new Set(["root"]));
});

it("a new member's URLs are looked at before who adds it", async () => {
  const bad = "3 etcdserver: given member URLs are invalid";
  for (const caller of CALLERS) expect(await outcome("etcdserverpb.Cluster/MemberAdd", {}, caller)).toBe(bad);
});

it("the members are listed linearizably before who asks is looked at", async () => {
  serving = { ...serving, linearizable: () => Promise.reject(rpcError("leaderChanged")) };
  const list = (caller: string) => outcome("etcdserverpb.Cluster/MemberList", { linearizable: true }, caller);
  for (const caller of CALLERS) expect(await list(caller)).toBe("14 etcdserver: leader changed");
});

it("an action on alarms that there is not is an admin's mistake", async () => {
  const alarm = (caller: string) => outcome("etcdserverpb.Maintenance/Alarm", { action: 9 }, caller);
  expect(await alarm("plain")).toBe(DENIED);
  expect(await alarm("root")).toBe("2 etcdserver: unknown method");
});

it("one lease with somebody else's key hides the whole list", async () => {
  const list = (caller: string) => outcome("etcdserverpb.Lease/LeaseLeases", {}, caller);
  expect(await list("own")).toBe("ok");
  attached.set(9n, ["own/9", "plain/9"]);
  expect(await list("own")).toBe(DENIED);
  expect(await list("root")).toBe("ok");
});

it("no lease is looked at for the list while authentication is off", async () => {
  renew({ enabled: false });
  const readLease = () => {
    throw new Error("there may be a million of them");
  };
  serving = { ...serving, permissions: { ...serving.permissions, readLease } };
  expect(await outcome("etcdserverpb.Lease/LeaseLeases", {}, "nobody")).toBe("ok");
});

it("a lease's leader is not asked for keys that the caller may not read", async () => {
  const asked: boolean[] = [];
  const { leases } = serving;
  const timeToLive = (id: bigint, keys: boolean) => {
    asked.push(keys);
    return leases.timeToLive(id, keys);
  };
  serving = { ...serving, leases: { ...leases, timeToLive } };
  const ask = (keys: boolean) => outcome("etcdserverpb.Lease/LeaseTimeToLive", { ID: OWN_LEASE, keys }, "plain");
  expect(await ask(true)).toBe(DENIED);
  expect(await ask(false)).toBe("ok");
  expect(asked).toEqual([false]);
});

it("keys that are attached to a lease while its leader is asked are not shown either", async () => {
  const { leases } = serving;
  serving = {
    ...serving,
    leases: {
      ...leases,
      timeToLive: (id, keys) => {
        attached.set(id, ["own/7", "plain/7"]);
        return leases.timeToLive(id, keys);
      },
    },
  };
  const ask = (keys: boolean) => outcome("etcdserverpb.Lease/LeaseTimeToLive", { ID: OWN_LEASE, keys }, "own");
  expect(await ask(true)).toBe(DENIED);
  expect(await ask(false)).toBe("ok");
});

it("the leader who is to promote a member gets the token of who asks", async () => {
  await outcome("etcdserverpb.Cluster/MemberPromote", learner, "root");
  renew({ enabled: false });
  await outcome("etcdserverpb.Cluster/MemberPromote", learner, "nobody");
  expect(promoted).toEqual(["root", null]);
});
