// Errors that clients see: gRPC codes and etcd's exact texts, in one table.

import { status } from "@grpc/grpc-js";

/** An error with the status that a client gets; grpc-js sends `code` and `details`. */
export class RpcError extends Error {
  readonly details: string;

  constructor(
    readonly code: status,
    text: string,
  ) {
    super(text);
    this.details = text;
  }
}

const TABLE = {
  compacted: [status.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"],
  futureRevision: [status.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"],
  noSpace: [status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"],
  keyNotProvided: [status.INVALID_ARGUMENT, "etcdserver: key is not provided"],
  leaseNotFound: [status.NOT_FOUND, "etcdserver: requested lease not found"],
  leaseExists: [status.FAILED_PRECONDITION, "etcdserver: lease already exists"],
  leaseTtlTooLarge: [status.OUT_OF_RANGE, "etcdserver: too large lease TTL"],
  memberNotFound: [status.NOT_FOUND, "etcdserver: member not found"],
  noLeader: [status.UNAVAILABLE, "etcdserver: no leader"],
  notLeader: [status.FAILED_PRECONDITION, "etcdserver: not leader"],
  learner: [status.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"],
  stopped: [status.UNAVAILABLE, "etcdserver: server stopped"],
  timeout: [status.UNAVAILABLE, "etcdserver: request timed out"],
  tooManyRequests: [status.UNKNOWN, "etcdserver: too many requests"],
  invalidClientApiVersion: [status.INVALID_ARGUMENT, "etcdserver: invalid client api version"],
  authNotEnabled: [status.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"],
  userNotFound: [status.FAILED_PRECONDITION, "etcdserver: user name not found"],
  roleNotFound: [status.FAILED_PRECONDITION, "etcdserver: role name not found"],
  unknownHealthService: [status.NOT_FOUND, "unknown service"],
} as const satisfies Record<string, readonly [status, string]>;

export type ErrorName = keyof typeof TABLE;

/** The error of that name. */
export function rpcError(name: ErrorName): RpcError {
  const [code, text] = TABLE[name];
  return new RpcError(code, text);
}

/** The error of the table that has this text; null if none has. */
export function rpcErrorOfText(text: string): RpcError | null {
  const name = (Object.keys(TABLE) as ErrorName[]).find((each) => TABLE[each][1] === text);
  return name === undefined ? null : rpcError(name);
}

/** Any thrown value as an error with a status; what is no RpcError is a bug and says so as Unknown. */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "number" && typeof message === "string") return new RpcError(code, message);
  return new RpcError(status.UNKNOWN, typeof message === "string" ? message : String(error));
}
