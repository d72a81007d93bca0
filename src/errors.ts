// Errors that clients see: gRPC codes and etcd's exact texts, from the table of proto/errors.json that Rust has too.

import { status } from "@grpc/grpc-js";
import { ERRORS } from "./proto/errors.js";

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

export type ErrorName = keyof typeof ERRORS;

/** The error of that name. */
export function rpcError(name: ErrorName): RpcError {
  const [code, text] = ERRORS[name];
  return new RpcError(code, text);
}

/** The error of the table that has this text; null if none has. */
export function rpcErrorOfText(text: string): RpcError | null {
  const name = (Object.keys(ERRORS) as ErrorName[]).find((each) => ERRORS[each][1] === text);
  return name === undefined ? null : rpcError(name);
}

/** Any thrown value as an error with a status; what is no RpcError is a bug and says so as Unknown. */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "number" && typeof message === "string") return new RpcError(code, message);
  return new RpcError(status.UNKNOWN, typeof message === "string" ? message : String(error));
}
