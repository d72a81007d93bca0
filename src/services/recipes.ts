// What Lock and Election are made of: the recipes of etcd's clients, run in the server. Everybody who wants something
// writes a key below one prefix; it belongs to the oldest of them, and the others wait for those before them to go.

import { type Metadata, type ServerUnaryCall, status } from "@grpc/grpc-js";
import { RpcError, rpcError, toRpcError } from "../errors.js";
import { limits } from "../limits.js";
import { type Caller, OpKind } from "../native/binding.js";
import { etcdserverpb, mvccpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import type { ServiceContext } from "./context.js";
import { callerOf } from "./handlers.js";
import { grantLease } from "./lease.js";

/** TTL of the lease that a caller gets who brings none, in seconds. */
const SESSION_TTL_SECONDS = 60;

type Op = etcdserverpb.RequestOp.$Properties;
type Range = etcdserverpb.RangeRequest.$Properties;
const { Compare, RangeRequest, TxnRequest } = etcdserverpb;

/** A call of grpc-js, as far as its end is concerned. */
type CancellableCall = Pick<ServerUnaryCall<unknown, unknown>, "cancelled" | "metadata" | "on" | "off">;

/** Recipes ask who calls before each operation, so that a refusal gets the code that all their errors have. */
export const ADMISSION = { auth: "ignored" } as const;

/** One caller of Lock or Election: what it does ends when its call does. */
export class Recipe {
  static #open = 0;
  readonly #context: ServiceContext;
  readonly #metadata: Metadata;
  readonly #controller = new AbortController();

  private constructor(context: ServiceContext, metadata: Metadata) {
    this.#context = context;
    this.#metadata = metadata;
  }

  /** Runs `work` for a call. Its errors become those of etcd's: Unknown, but for `keptCode`. */
  static async run<T>(
    context: ServiceContext,
    call: CancellableCall,
    work: (recipe: Recipe) => Promise<T>,
  ): Promise<T> {
    if (Recipe.#open >= limits.openRecipesMax) throw rpcError("tooManyRequests");
    const recipe = new Recipe(context, call.metadata);
    const abort = () => recipe.#controller.abort();
    call.on("cancelled", abort);
    if (call.cancelled) abort();
    Recipe.#open += 1;
    try {
      return await work(recipe);
    } catch (error) {
      const { code, details } = toRpcError(error);
      throw new RpcError(keptCode(code, details) ? code : status.UNKNOWN, details);
    } finally {
      Recipe.#open -= 1;
      call.off("cancelled", abort);
    }
  }

  /** Aborted when the call ends. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Who calls, asked anew each time: a recipe may wait for long, and its caller's rights change meanwhile. */
  #caller(): Promise<Caller> {
    return callerOf(this.#context, this.#metadata, "resolved");
  }

  /** The caller's lease, or a new one if it has none. Nobody renews it here. */
  async lease(id: bigint): Promise<bigint> {
    if (id !== 0n) return id;
    const caller = await callerOf(this.#context, this.#metadata, "known");
    const granted = await grantLease(this.#context, { ID: toInt64(0), TTL: toInt64(SESSION_TTL_SECONDS) }, caller);
    return toBigint(granted.ID);
  }

  /** The operations if the key's create revision is this one, else the others. */
  async txn(key: Uint8Array, createRevision: bigint, success: Op[], failure: Op[]): Promise<etcdserverpb.TxnResponse> {
    return this.#txn(key, createRevision, success, failure, await this.#caller());
  }

  /** Deletes a key as the caller, whoever wrote it. */
  async remove(key: Uint8Array): Promise<etcdserverpb.DeleteRangeResponse> {
    if (key.length === 0) throw rpcError("emptyKey");
    const request = etcdserverpb.DeleteRangeRequest.encode({ key }).finish();
    const answer = await this.#context.propose(OpKind.DeleteRange, request, await this.#caller());
    return etcdserverpb.DeleteRangeResponse.decode(answer);
  }

  /**
   * Takes back the key that this call has written, if it is that one still. Not as the caller, whose token may have
   * expired while he waited: others would wait for him as long as the lease lasts.
   */
  async giveUp(key: Uint8Array, createRevision: bigint): Promise<void> {
    await this.#txn(key, createRevision, [{ requestDeleteRange: { key } }], [], "internal");
  }

  async #txn(
    key: Uint8Array,
    createRevision: bigint,
    success: Op[],
    failure: Op[],
    caller: Caller,
  ): Promise<etcdserverpb.TxnResponse> {
    const compare = [
      {
        result: Compare.CompareResult.EQUAL,
        target: Compare.CompareTarget.CREATE,
        key,
        createRevision: toInt64(createRevision),
      },
    ];
    const request = TxnRequest.encode({ compare, success, failure }).finish();
    return etcdserverpb.TxnResponse.decode(await this.#context.propose(OpKind.Txn, request, caller));
  }

  /** A linearizable range. */
  async get(request: Range): Promise<etcdserverpb.RangeResponse> {
    await this.#context.linearizable();
    const encoded = RangeRequest.encode({ ...request, serializable: true }).finish();
    return etcdserverpb.RangeResponse.decode(await this.#context.range(encoded, await this.#caller()));
  }

  /** The events of a key or prefix from a revision on, one response at a time, until the call ends. */
  async *watch(
    range: { key: Uint8Array; rangeEnd?: Uint8Array },
    startRevision: bigint,
  ): AsyncGenerator<etcdserverpb.WatchResponse, void> {
    const stream = this.#context.watches.open(await this.#caller());
    const close = () => stream.close();
    this.signal.addEventListener("abort", close);
    if (this.signal.aborted) close();
    stream.send({ createRequest: { ...range, startRevision: toInt64(startRevision) } });
    try {
      for await (const response of stream) {
        if (response.canceled) throw canceled(response);
        if (response.events.length > 0) yield response;
      }
    } finally {
      this.signal.removeEventListener("abort", close);
      close();
    }
  }

  /** Resolves when no key of the prefix is left that was created at `maxCreateRevision` or before. */
  async waitForOlder(prefix: Uint8Array, maxCreateRevision: bigint): Promise<void> {
    for (;;) {
      const newest = await this.get({ ...newestBelow(prefix), maxCreateRevision: toInt64(maxCreateRevision) });
      const [last] = newest.kvs;
      if (!last) return;
      await this.#waitForDelete(last.key as Uint8Array, revisionOf(newest));
    }
  }

  async #waitForDelete(key: Uint8Array, revision: bigint): Promise<void> {
    for await (const { events } of this.watch({ key }, revision)) {
      if (events.some(isDelete)) return;
    }
    throw this.ended("lost watcher waiting for delete");
  }

  /** Why a watch of this call has ended: the caller left, or the given text. */
  ended(text: string): RpcError {
    return this.signal.aborted
      ? new RpcError(status.CANCELLED, "context canceled")
      : new RpcError(status.UNKNOWN, text);
  }
}

/** Codes that are not etcd's own keep what they are; and what may be tried elsewhere must not look like an answer. */
function keptCode(code: status, details: string): boolean {
  return code === status.CANCELLED || code === status.DEADLINE_EXCEEDED || details === rpcError("stopped").details;
}

const REFUSALS = (["userEmpty", "invalidAuthToken", "authOldRevision", "permissionDenied"] as const).map(
  (name) => rpcError(name).details,
);

/** Whether an operation or a watch of a recipe was refused because of who asked. */
export function isRefusal(error: unknown): boolean {
  // A watch's reason to be cancelled begins with the code.
  return error instanceof Error && REFUSALS.some((text) => error.message.endsWith(text));
}

function canceled({ compactRevision, cancelReason }: etcdserverpb.WatchResponse): RpcError {
  return compactRevision.isZero() ? new RpcError(status.UNKNOWN, cancelReason) : rpcError("compacted");
}

export function isDelete(event: mvccpb.Event.$Properties): boolean {
  return event.type === mvccpb.Event.EventType.DELETE;
}

/** The store revision in an answer's header; 0n without one. */
export function revisionOf({ header }: { header?: etcdserverpb.ResponseHeader.$Properties | null }): bigint {
  return header?.revision ? toBigint(header.revision) : 0n;
}

/** The prefix of a lock's or election's keys. */
export function prefixOf(name: Uint8Array): Uint8Array {
  return Buffer.concat([name, Buffer.from("/")]);
}

/** The key of one waiter: the prefix and its lease in hexadecimal. */
export function keyOf(prefix: Uint8Array, lease: bigint): Uint8Array {
  return Buffer.concat([prefix, Buffer.from(lease.toString(16))]);
}

/** The end of the range of all keys with this prefix, which ends with a slash. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) as number) + 1;
  return end;
}

/** The key that was created first: the owner's. */
export function oldest(prefix: Uint8Array): Range {
  return ordered(prefix, RangeRequest.SortOrder.ASCEND);
}

function newestBelow(prefix: Uint8Array): Range {
  return ordered(prefix, RangeRequest.SortOrder.DESCEND);
}

function ordered(prefix: Uint8Array, sortOrder: etcdserverpb.RangeRequest.SortOrder): Range {
  const sortTarget = RangeRequest.SortTarget.CREATE;
  return { key: prefix, rangeEnd: prefixEnd(prefix), limit: toInt64(1), sortOrder, sortTarget };
}
