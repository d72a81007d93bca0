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
import { isLearner, type ServiceContext } from "./context.js";

/** The handlers that a service definition asks for. */
export type HandlersOf<D> = {
  [K in keyof D]: D[K] extends MethodDefinition<infer Q, infer S> & { responseStream: infer R }
    ? R extends true
      ? handleServerStreamingCall<Q, S>
      : handleUnaryCall<Q, S>
    : never;
};

interface Admission {
  /** Whether a learner may serve it. */
  readonly learner: boolean;
}

/** The checks before every handler, in etcd's order. Throws RpcError. */
function admit(context: ServiceContext, metadata: Metadata, { learner }: Admission): void {
  if (!learner && isLearner(context)) throw rpcError("learner");
  const version = metadata.get("client-api-version")[0];
  // grpc-js decodes metadata as Latin-1; what the client meant as UTF-8 is checked on its bytes.
  if (typeof version === "string" && !isUtf8(Buffer.from(version, "latin1"))) throw rpcError("invalidClientApiVersion");
  if (metadata.get("hasleader")[0] === "true" && context.raft().leader === 0n) throw rpcError("noLeader");
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** A unary handler: `answer` returns the response or throws an error with a status. */
export function unary<Q, S>(
  context: ServiceContext,
  answer: (request: Q, call: ServerUnaryCall<Q, S>) => Promise<S> | S,
  admission: Admission = { learner: false },
): handleUnaryCall<Q, S> {
  return (call, callback) => {
    const run = async () => {
      admit(context, call.metadata, admission);
      return answer(call.request, call);
    };
    run().then(
      (response) => callback(null, response),
      (error: unknown) => callback(toRpcError(error)),
    );
  };
}

/** A server-streaming handler: `serve` writes to the call and ends it, or throws. */
export function serverStream<Q, S>(
  context: ServiceContext,
  serve: (call: ServerWritableStream<Q, S>) => Promise<void> | void,
  admission: Admission = { learner: false },
): handleServerStreamingCall<Q, S> {
  return (call) => {
    const run = async () => {
      admit(context, call.metadata, admission);
      await serve(call);
    };
    run().catch((error: unknown) => call.emit("error", toRpcError(error)));
  };
}
