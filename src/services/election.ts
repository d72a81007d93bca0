// v3electionpb.Election: the leader is who has the oldest key below the election's name; its value is the leader's.

import { once } from "node:events";
import { type ServerWritableStream, status } from "@grpc/grpc-js";
import { RpcError } from "../errors.js";
import type { etcdserverpb, mvccpb, v3electionpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import type { ServiceContext } from "./context.js";
import type { electionService } from "./definitions.js";
import { type HandlersOf, serverStream, unary } from "./handlers.js";
import { ADMISSION, isDelete, isRefusal, keyOf, oldest, prefixEnd, prefixOf, Recipe, revisionOf } from "./recipes.js";

type Header = etcdserverpb.ResponseHeader.$Properties;
type KeyValue = mvccpb.KeyValue.$Properties;
type ObserveCall = ServerWritableStream<v3electionpb.LeaderRequest, v3electionpb.LeaderResponse.$Properties>;

const failure = (text: string) => new RpcError(status.UNKNOWN, text);
const noLeader = () => failure("election: no leader");
const notLeader = () => failure("election: not leader");
const missingLeaderKey = () => failure('"leader" field must be provided');

export function electionHandlers(context: ServiceContext): HandlersOf<typeof electionService> {
  return {
    campaign: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, (recipe) => campaign(recipe, request)),
    ),
    proclaim: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, async (recipe) => {
        const candidate = await candidateOf(recipe, request.leader);
        return { header: await proclaim(recipe, candidate, request.value) };
      }),
    ),
    leader: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, async (recipe) => {
        const { header, kvs } = await recipe.get(oldest(prefixOf(request.name)));
        const [kv] = kvs;
        if (!kv) throw noLeader();
        return { header: header ?? null, kv };
      }),
    ),
    observe: serverStream(context, ADMISSION, (call) =>
      Recipe.run(context, call, async (recipe) => {
        try {
          await observe(recipe, call);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          // As in etcd: who may not see who leads sees that nobody does any more.
          call.end();
        }
      }),
    ),
    resign: unary(context, ADMISSION, (request, _caller, call) =>
      Recipe.run(context, call, async (recipe) => ({
        header: await resign(recipe, await candidateOf(recipe, request.leader)),
      })),
    ),
  };
}

/** A key that stands for election. */
interface Candidate {
  readonly key: Uint8Array;
  readonly createRevision: bigint;
  readonly lease: bigint;
}

async function candidateOf(
  recipe: Recipe,
  leader: v3electionpb.LeaderKey.$Properties | null | undefined,
): Promise<Candidate> {
  if (!leader) throw missingLeaderKey();
  return {
    key: (leader.key ?? new Uint8Array()) as Uint8Array,
    createRevision: leader.rev ? toBigint(leader.rev) : 0n,
    lease: await recipe.lease(leader.lease ? toBigint(leader.lease) : 0n),
  };
}

async function campaign(
  recipe: Recipe,
  request: v3electionpb.CampaignRequest,
): Promise<v3electionpb.CampaignResponse.$Properties> {
  const prefix = prefixOf(request.name);
  const lease = await recipe.lease(toBigint(request.lease));
  const key = keyOf(prefix, lease);
  const put = { requestPut: { key, value: request.value, lease: toInt64(lease) } };
  const answer = await recipe.txn(key, 0n, [put], [{ requestRange: { key } }]);
  const standing = answer.succeeded ? null : answer.responses[0]?.responseRange?.kvs?.[0];
  const createRevision = standing?.createRevision ? toBigint(standing.createRevision) : revisionOf(answer);
  const candidate = { key, createRevision, lease };
  try {
    // The same lease stands already, with another value.
    if (standing && !Buffer.from((standing.value ?? "") as Uint8Array).equals(request.value)) {
      await proclaim(recipe, candidate, request.value);
    }
    await recipe.waitForOlder(prefix, createRevision - 1n);
  } catch (error) {
    // A candidate that has given up must not be elected.
    await recipe.giveUp(key, createRevision);
    throw error;
  }
  const header = answer.header ?? null;
  return { header, leader: { name: request.name, key, rev: toInt64(createRevision), lease: toInt64(lease) } };
}

/** Gives a candidate that still stands another value. */
async function proclaim(recipe: Recipe, { key, createRevision, lease }: Candidate, value: Uint8Array): Promise<Header> {
  const put = { requestPut: { key, value, lease: toInt64(lease) } };
  const { succeeded, header } = await recipe.txn(key, createRevision, [put], []);
  if (!succeeded || !header) throw notLeader();
  return header;
}

async function resign(recipe: Recipe, { key, createRevision }: Candidate): Promise<Header | null> {
  const { header } = await recipe.txn(key, createRevision, [{ requestDeleteRange: { key } }], []);
  return header ?? null;
}

/** Sends every leader and every value of it, until the client leaves. */
async function observe(recipe: Recipe, call: ObserveCall): Promise<void> {
  const prefix = prefixOf(call.request.name);
  const send = async ({ header, kv }: Elected) => {
    if (!call.write({ header, kv })) await once(call, "drain", { signal: recipe.signal });
  };
  for (;;) {
    const elected = await nextLeader(recipe, prefix);
    await send(elected);
    await follow(recipe, elected, send);
  }
}

interface Elected {
  readonly header: Header;
  readonly kv: KeyValue;
}

/** The header of a change: its revision is the change's own, also when one response has several of them. */
function changed(header: Header | null | undefined, kv: KeyValue): Elected {
  return { header: { ...header, revision: kv.modRevision ?? null }, kv };
}

/** The leader, once there is one. */
async function nextLeader(recipe: Recipe, prefix: Uint8Array): Promise<Elected> {
  const now = await recipe.get(oldest(prefix));
  const [kv] = now.kvs;
  if (kv && now.header) return { header: now.header, kv };
  const range = { key: prefix, rangeEnd: prefixEnd(prefix) };
  for await (const { header, events } of recipe.watch(range, revisionOf(now))) {
    const first = events.find((event) => !isDelete(event))?.kv;
    if (first) return changed(header, first);
  }
  throw recipe.ended("election: observe closed early");
}

/** Sends the leader's changes until its key is gone. */
async function follow(
  recipe: Recipe,
  { header, kv }: Elected,
  send: (elected: Elected) => Promise<void>,
): Promise<void> {
  const watch = recipe.watch({ key: (kv.key ?? new Uint8Array()) as Uint8Array }, revisionOf({ header }) + 1n);
  for await (const response of watch) {
    for (const event of response.events) {
      if (isDelete(event)) return;
      if (event.kv) await send(changed(response.header, event.kv));
    }
  }
  throw recipe.ended("election: observe closed early");
}
