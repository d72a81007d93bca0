// v3lockpb.Lock: a lock is the oldest key below its name; each waiter's key is bound to its lease.

import { status } from "@grpc/grpc-js";
import { RpcError } from "../errors.js";
import type { etcdserverpb, v3lockpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import type { ServiceContext } from "./context.js";
import type { lockService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";
import { ADMISSION, keyOf, oldest, prefixOf, Recipe, revisionOf } from "./recipes.js";

export function lockHandlers(context: ServiceContext): HandlersOf<typeof lockService> {
  return {
    lock: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, (recipe) => lock(recipe, request)),
    ),
    unlock: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, async (recipe) => {
        const { header } = await recipe.remove(request.key);
        return { header: header ?? null };
      }),
    ),
  };
}

async function lock(recipe: Recipe, request: v3lockpb.LockRequest): Promise<v3lockpb.LockResponse.$Properties> {
  const prefix = prefixOf(request.name);
  const lease = await recipe.lease(toBigint(request.lease));
  const key = keyOf(prefix, lease);
  const asked = await enqueue(recipe, prefix, key, lease);
  if (asked.isOwner) return { header: asked.header, key };
  try {
    await recipe.waitForOlder(prefix, asked.createRevision - 1n);
    const own = await recipe.get({ key });
    // The key is gone with the caller's lease, or somebody deleted it.
    if (own.kvs.length === 0) throw new SessionExpired();
    return { header: own.header ?? null, key };
  } catch (error) {
    // Nobody may wait for a caller that has given up.
    if (!(error instanceof SessionExpired)) await recipe.giveUp(key, asked.createRevision);
    throw error;
  }
}

class SessionExpired extends RpcError {
  constructor() {
    super(status.UNKNOWN, "mutex: session is expired");
  }
}

interface Asked {
  readonly header: etcdserverpb.ResponseHeader.$Properties | null;
  readonly createRevision: bigint;
  readonly isOwner: boolean;
}

/** Writes the caller's key, or finds it if this lease waits for (or holds) the lock already. */
async function enqueue(recipe: Recipe, prefix: Uint8Array, key: Uint8Array, lease: bigint): Promise<Asked> {
  const owner = { requestRange: oldest(prefix) };
  const put = { requestPut: { key, lease: toInt64(lease) } };
  const answer = await recipe.txn(key, 0n, [put, owner], [{ requestRange: { key } }, owner]);
  const [own, first] = answer.responses;
  const known = own?.responseRange?.kvs?.[0]?.createRevision;
  const createRevision = known ? toBigint(known) : revisionOf(answer);
  const holder = first?.responseRange?.kvs?.[0]?.createRevision;
  const isOwner = !holder || toBigint(holder) === createRevision;
  return { header: answer.header ?? null, createRevision, isOwner };
}
