// How handlers are written: as functions that return or throw; admission and errors are dealt with here, once.

import type {
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  MethodDefinition,
  ServerUnaryCall,
  ServerWritableStream,
} from "@grpc/grpc-js";
import { rpcError, toRpcError } from "../errors.js";
import type { Caller } from "../native/binding.js";
import { commonNameOf, NO_UTF8 } from "../native/call.js";
import { isLearner, type ServiceContext } from "./context.js";

/** The handlers that a service definition asks for. */
export type HandlersOf<D> = {
  [K in keyof D]: D[K] extends MethodDefinition<infer Q, infer S> & { responseStream: infer R }
    ? R extends true
      ? handleServerStreamingCall<Q, S>
      : handleUnaryCall<Q, S>
    : never;
};

/**
 * Who may call while authentication is on. "ignored": tokens are not looked at, and the handler has no caller.
 * "resolved": a bad token is refused, nobody at all is not; what the caller may do is decided further on, by apply or
 * by the handler. "known": an identity is enough. "admin": role root.
 */
export type Needed = "ignored" | "resolved" | "known" | "admin";

interface Admission {
  readonly auth: Needed;
  /** Whether a learner may serve it. */
  readonly learner?: boolean;
}

/** The checks before every handler, in etcd's order. Throws RpcError. */
async function admit(
  context: ServiceContext,
  metadata: Metadata,
  { auth, learner = false }: Admission,
): Promise<Caller> {
  if (!learner && isLearner(context)) throw rpcError("learner");
  const version = metadata.get("client-api-version")[0];
  if (version?.includes(NO_UTF8)) throw rpcError("invalidClientApiVersion");
  if (metadata.get("hasleader")[0] === "true" && context.raft().leader === 0n) throw rpcError("noLeader");
  return auth === "ignored" ? null : callerOf(context, metadata, auth);
}

/** Who calls, for handlers that have to check something else before. Throws RpcError if that is not enough. */
export async function callerOf(
  { auth }: Pick<ServiceContext, "auth">,
  metadata: Metadata,
  needed: Exclude<Needed, "ignored">,
): Promise<Caller> {
  const caller = await auth.identify(metadata, commonNameOf(metadata));
  if (needed === "known") auth.checkKnown(caller);
  if (needed === "admin") auth.checkAdmin(caller);
  return caller;
}

/** A unary handler: `answer` returns the response or throws an error with a status. */
export function unary<Q, S>(
  context: ServiceContext,
  admission: Admission,
  answer: (request: Q, caller: Caller, call: ServerUnaryCall<Q, S>) => Promise<S> | S,
): handleUnaryCall<Q, S> {
  return (call, callback) => {
    const run = async () => answer(call.request, await admit(context, call.metadata, admission), call);
    run().then(
      (response) => callback(null, response),
      (error: unknown) => callback(toRpcError(error)),
    );
  };
}

/** A server-streaming handler: `serve` writes to the call and ends it, or throws. */
export function serverStream<Q, S>(
  context: ServiceContext,
  admission: Admission,
  serve: (call: ServerWritableStream<Q, S>, caller: Caller) => Promise<void> | void,
): handleServerStreamingCall<Q, S> {
  return (call) => {
    const run = async () => serve(call, await admit(context, call.metadata, admission));
    run().catch((error: unknown) => call.emit("error", toRpcError(error)));
  };
}
