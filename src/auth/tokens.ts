// What a token is to the rest of auth, whatever its kind.

import { createHash } from "node:crypto";
import { type RpcError, rpcError } from "../errors.js";
import type { Logger } from "../log/logger.js";
import type { NativeAuth } from "../native/binding.js";
import type { ApplyMark } from "../replica/commands.js";
import type { TokenEffect } from "./draft.js";

export type Login = Extract<TokenEffect, { kind: "login" }>;

/** What is asked of the data plane, which has the table of all tokens. */
export type TokenTable = Pick<NativeAuth, "identify" | "register">;

/** How tokens are made and known. */
export interface Tokens {
  /** Whether it says itself which revision counts; else it is always the current one. */
  readonly carriesRevision: boolean;
  /** What a login brings into the log for its token. Throws RpcError if there can be no token. */
  prefix(): string;
  /** Every member applies a login. */
  applied(login: Login, mark: ApplyMark): void;
  /** The token of a login, on the member that it came to. Rejects with an RpcError. */
  issue(login: Login, mark: ApplyMark): Promise<string>;
  /** Resolves when the token stands in the data plane's table; rejects with an RpcError if it never will. */
  check(token: string): Promise<void>;
}

/** What a log line may tell of a token: enough to see that two are the same. */
export function fingerprint(token: string): string {
  return createHash("sha256").update(token).digest("hex").slice(0, 12);
}

/** The error of a token that is no good, with etcd's line about it. */
export function refuseToken(token: string, log: Logger): RpcError {
  log.warn("invalid auth token", { "token-fingerprint": fingerprint(token) });
  return rpcError("invalidAuthToken");
}
