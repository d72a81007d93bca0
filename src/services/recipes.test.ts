// Lock and Election over a store that is a map: who gets it, who waits, and what those who give up leave behind.

import { EventEmitter } from "node:events";
import { Metadata, status } from "@grpc/grpc-js";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { rpcError } from "../errors.js";
import { limits } from "../limits.js";
import { type Caller, OpKind } from "../native/binding.js";
import { etcdserverpb, type mvccpb, type v3electionpb, type v3lockpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import type { ServiceContext } from "./context.js";
import { electionHandlers } from "./election.js";
import { lockHandlers } from "./lock.js";
import { Users } from "./tests/users.js";

// Few enough that all of them wait in no time.
vi.mock("../limits.js", async (original) => {
  const actual = await original<typeof import("../limits.js")>();
  return { ...actual, limits: { ...actual.limits, openRecipesMax: 20 } };
});

interface Row {
  key: string;
  value: Uint8Array;
  lease: bigint;
  created: bigint;
  modified: bigint;
}

/** The operations that the recipes use: compare of a create revision, put, delete, the oldest or newest of a prefix. */
class Store {
  revision = 1n;
  readonly rows = new Map<string, Row>();
  readonly deletions: { key: string; revision: bigint }[] = [];
  readonly changed = new EventEmitter().setMaxListeners(0);

  propose(kind: OpKind, request: Uint8Array): Uint8Array {
    if (kind === OpKind.DeleteRange) {
      const { key } = etcdserverpb.DeleteRangeRequest.decode(request);
      this.delete(text(key));
      return etcdserverpb.DeleteRangeResponse.encode({ header: this.header() }).finish();
    }
    if (kind !== OpKind.Txn) throw new Error(`not an operation of the recipes: ${kind}`);
    const { compare, success, failure } = etcdserverpb.TxnRequest.decode(request);
    const [guard] = compare;
    const created = this.rows.get(text(guard?.key ?? null))?.created ?? 0n;
    const succeeded = created === toBigint(guard?.createRevision ?? toInt64(0));
    const responses = (succeeded ? success : failure).map((op) => this.apply(op));
    return etcdserverpb.TxnResponse.encode({ header: this.header(), succeeded, responses }).finish();
  }

  header() {
    return { revision: toInt64(this.revision) };
  }

  delete(key: string): void {
    if (!this.rows.delete(key)) return;
    this.revision += 1n;
    this.deletions.push({ key, revision: this.revision });
    this.changed.emit("change");
  }

  range(request: etcdserverpb.RangeRequest.$Properties) {
    const key = text(request.key ?? null);
    const max = request.maxCreateRevision ? toBigint(request.maxCreateRevision as never) : 0n;
    const found = [...this.rows.values()]
      .filter((row) => (request.rangeEnd?.length ? row.key.startsWith(key) : row.key === key))
      .filter((row) => max === 0n || row.created <= max)
      .sort((a, b) => Number(a.created - b.created));
    if (request.sortOrder === etcdserverpb.RangeRequest.SortOrder.DESCEND) found.reverse();
    return { header: this.header(), kvs: found.slice(0, 1).map(encoded) };
  }

  private apply(op: etcdserverpb.RequestOp.$Properties): etcdserverpb.ResponseOp.$Properties {
    if (op.requestRange) return { responseRange: this.range(op.requestRange) };
    if (op.requestDeleteRange) {
      this.delete(text(op.requestDeleteRange.key ?? null));
      return { responseDeleteRange: {} };
    }
    const put = op.requestPut as etcdserverpb.PutRequest;
    const key = text(put.key);
    this.revision += 1n;
    const created = this.rows.get(key)?.created ?? this.revision;
    this.rows.set(key, { key, value: put.value, lease: toBigint(put.lease), created, modified: this.revision });
    return { responsePut: {} };
  }
}

const text = (bytes: Uint8Array | null) => Buffer.from(bytes ?? []).toString();

function encoded(row: Row): mvccpb.KeyValue.$Properties {
  return {
    key: Buffer.from(row.key),
    value: row.value,
    lease: toInt64(row.lease),
    createRevision: toInt64(row.created),
    modRevision: toInt64(row.modified),
  };
}

/** A stream with one watcher, of deletions. */
class Watch {
  #key = "";
  #from = 0n;
  #closed = false;
  constructor(private readonly store: Store) {}
  send({ createRequest }: etcdserverpb.WatchRequest.$Properties): void {
    this.#key = text((createRequest?.key ?? null) as Uint8Array | null);
    this.#from = toBigint(createRequest?.startRevision as never);
  }
  close(): void {
    this.#closed = true;
    this.store.changed.emit("change");
  }
  async *[Symbol.asyncIterator]() {
    for (;;) {
      if (this.#closed) return;
      const gone = this.store.deletions.find(({ key, revision }) => key === this.#key && revision >= this.#from);
      if (gone) {
        const events = [{ type: 1, kv: { key: Buffer.from(gone.key) } }];
        yield { header: this.store.header(), events, canceled: false };
      }
      await new Promise((resolve) => this.store.changed.once("change", resolve));
    }
  }
}

let store: Store;
let refuse: Error | null;
let users: Users;
/** As whom each operation and watch was made. */
let asked: Caller[];
let context: ServiceContext;

beforeEach(() => {
  store = new Store();
  refuse = null;
  users = new Users({ enabled: false });
  asked = [];
  context = {
    membership: { clusterVersion: "3.7.0", member: () => ({ isLearner: false }) },
    memberId: 1n,
    auth: users.auth,
    linearizable: async () => {},
    propose: async (kind: OpKind, request: Uint8Array, caller: Caller) => {
      asked.push(caller);
      if (refuse) throw refuse;
      return store.propose(kind, request);
    },
    range: async (request: Uint8Array, caller: Caller) => {
      asked.push(caller);
      const answer = store.range(etcdserverpb.RangeRequest.decode(request));
      return etcdserverpb.RangeResponse.encode(answer).finish();
    },
    watches: {
      open: (caller: Caller) => {
        asked.push(caller);
        return new Watch(store);
      },
    },
  } as unknown as ServiceContext;
});

interface Started<S> {
  readonly answer: Promise<S>;
  cancel(): void;
}

type Handler = (call: never, callback: never) => void;

/** Makes a unary call as grpc-js would. */
function start<S>(handler: Handler, request: object, token?: string): Started<S> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("token", token);
  const call = Object.assign(new EventEmitter(), { request, metadata, cancelled: false });
  const answer = new Promise<S>((resolve, reject) => {
    const callback = (error: Error | null, response: S) => (error ? reject(error) : resolve(response));
    handler(call as never, callback as never);
  });
  answer.catch(() => {});
  return {
    answer,
    cancel: () => {
      call.cancelled = true;
      call.emit("cancelled");
    },
  };
}

const lock = (name: string, lease: number) =>
  start<v3lockpb.LockResponse>(lockHandlers(context).lock as Handler, {
    name: Buffer.from(name),
    lease: toInt64(lease),
  });

const campaign = (lease: number, value: string) =>
  start<v3electionpb.CampaignResponse>(electionHandlers(context).campaign as Handler, {
    name: Buffer.from("e"),
    lease: toInt64(lease),
    value: Buffer.from(value),
  });

const settled = () => new Promise((resolve) => setImmediate(resolve));
const keys = () => [...store.rows.keys()];

describe("lock", () => {
  it("goes to the oldest, and on in the order of asking", async () => {
    expect(text((await lock("l", 10).answer).key)).toBe("l/a");
    const [second, third] = [lock("l", 11), lock("l", 12)];
    await settled();
    expect(keys()).toEqual(["l/a", "l/b", "l/c"]);
    store.delete("l/a");
    expect(text((await second.answer).key)).toBe("l/b");
    store.delete("l/b");
    expect(text((await third.answer).key)).toBe("l/c");
  });

  it("is answered at once to the lease that has it", async () => {
    await lock("l", 10).answer;
    await lock("l", 10).answer;
    expect(keys()).toEqual(["l/a"]);
  });

  it("is not waited for by who has given up", async () => {
    await lock("l", 10).answer;
    const waiter = lock("l", 11);
    await settled();
    waiter.cancel();
    await expect(waiter.answer).rejects.toMatchObject({ code: status.CANCELLED });
    expect(keys()).toEqual(["l/a"]);
    expect(store.changed.listenerCount("change")).toBe(0);
  });

  it("is lost with the waiter's key", async () => {
    await lock("l", 10).answer;
    const waiter = lock("l", 11);
    await settled();
    store.delete("l/b");
    store.delete("l/a");
    const expired = { code: status.UNKNOWN, details: "mutex: session is expired" };
    await expect(waiter.answer).rejects.toMatchObject(expired);
    expect(keys()).toEqual([]);
  });

  it("gives every error of an operation as Unknown with its text, as etcd", async () => {
    refuse = rpcError("leaseNotFound");
    const refused = { code: status.UNKNOWN, details: "etcdserver: requested lease not found" };
    await expect(lock("l", 10).answer).rejects.toMatchObject(refused);
  });

  it("is refused when too many wait, and not for long", async () => {
    await lock("l", 1).answer;
    const waiters = Array.from({ length: limits.openRecipesMax }, (_, i) => lock("l", i + 2));
    await expect(lock("other", 1).answer).rejects.toMatchObject({ details: "etcdserver: too many requests" });
    for (const waiter of waiters) waiter.cancel();
    await Promise.allSettled(waiters.map(({ answer }) => answer));
    expect(text((await lock("other", 1).answer).key)).toBe("other/1");
  });
});

describe("election", () => {
  it("has the oldest candidate lead, and forgets those that have given up", async () => {
    const { leader } = await campaign(10, "one").answer;
    expect(text((leader?.key ?? null) as Uint8Array | null)).toBe("e/a");
    const [second, third] = [campaign(11, "two"), campaign(12, "three")];
    await settled();
    second.cancel();
    await expect(second.answer).rejects.toMatchObject({ code: status.CANCELLED });
    expect(keys()).toEqual(["e/a", "e/c"]);
    const resign = start<v3electionpb.ResignResponse>(electionHandlers(context).resign as Handler, { leader });
    await resign.answer;
    expect(text(((await third.answer).leader?.key ?? null) as Uint8Array | null)).toBe("e/c");
  });

  it("gives the same lease another value without another candidate", async () => {
    await campaign(10, "one").answer;
    await campaign(10, "uno").answer;
    expect(text(store.rows.get("e/a")?.value ?? null)).toBe("uno");
    expect(keys()).toEqual(["e/a"]);
  });

  it("refuses a proclamation of who does not lead any more", async () => {
    const { leader } = await campaign(10, "one").answer;
    store.delete("e/a");
    const proclaim = (request: object) =>
      start<v3electionpb.ProclaimResponse>(electionHandlers(context).proclaim as Handler, request).answer;
    await expect(proclaim({ leader, value: Buffer.from("x") })).rejects.toMatchObject({
      details: "election: not leader",
    });
    const none = '"leader" field must be provided';
    await expect(proclaim({ leader: null, value: Buffer.from("x") })).rejects.toMatchObject({ details: none });
    const leads = start(electionHandlers(context).leader as Handler, { name: Buffer.from("e") }).answer;
    await expect(leads).rejects.toMatchObject({ code: status.UNKNOWN, details: "election: no leader" });
  });
});

describe("a caller who is gone while he waits", () => {
  const wait = (handler: Handler) => start(handler, { name: Buffer.from("own"), lease: toInt64(11) }, "own");
  /** Every operation is asked for by who waits but the last, which is nobody's wish. */
  const expectGivenUp = () => {
    expect(asked.length).toBeGreaterThan(1);
    expect(
      asked.slice(0, -1).every((caller) => caller !== null && caller !== "internal" && caller.user === "own"),
    ).toBe(true);
    expect(asked.at(-1)).toBe("internal");
    expect(keys()).toEqual(["own/a"]);
  };

  beforeEach(async () => {
    await lock("own", 10).answer;
    users = new Users();
    context = { ...context, auth: users.auth };
    asked.length = 0;
  });

  const recipes = [
    ["lock", () => lockHandlers(context).lock as Handler],
    ["campaign", () => electionHandlers(context).campaign as Handler],
  ] as const;

  it.each(recipes)("leaves nothing behind in %s when he gives up", async (_name, handler) => {
    const waiter = wait(handler());
    await settled();
    expect(keys()).toEqual(["own/a", "own/b"]);
    await users.auth.change("userDelete", { name: "own" }, "internal");
    waiter.cancel();
    await expect(waiter.answer).rejects.toMatchObject({ code: status.CANCELLED });
    expectGivenUp();
  });

  it.each(recipes)("does not get what %s is for", async (_name, handler) => {
    const waiter = wait(handler());
    await settled();
    await users.auth.change("userDelete", { name: "own" }, "internal");
    // He is woken, and asks whether he is the first now.
    store.deletions.push({ key: "own/a", revision: store.revision + 1n });
    store.changed.emit("change");
    const refused = { code: status.UNKNOWN, details: "etcdserver: invalid auth token" };
    await expect(waiter.answer).rejects.toMatchObject(refused);
    expectGivenUp();
  });
});
