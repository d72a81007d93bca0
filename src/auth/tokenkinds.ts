// Kinds of tokens: what --auth-token names, in etcd's words where that is wrong.

import { rpcError } from "../errors.js";
import type { Logger } from "../log/logger.js";
import { JwtTokens } from "./jwt.js";
import { jwtSettings } from "./jwtkeys.js";
import { type IndexWaiter, SimpleTokens } from "./simple.js";
import { AuthOptionsError, decomposeOptions, invalidOptions } from "./tokenoptions.js";
import type { Tokens, TokenTable } from "./tokens.js";

export interface TokenParts {
  readonly native: TokenTable;
  readonly log: Logger;
  /** Seconds; 0 = etcd's default. */
  readonly simpleTtlSeconds: number;
  readonly waiter: IndexWaiter;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
}

/** Throws AuthOptionsError. */
export function createTokens(options: string, parts: TokenParts): Tokens {
  try {
    return tokensOf(options, parts);
  } catch (error) {
    if (error instanceof AuthOptionsError) parts.log.warn("failed to create token provider", { error });
    throw error;
  }
}

function tokensOf(options: string, parts: TokenParts): Tokens {
  const { log, native } = parts;
  const { type, values } = decomposeOptions(options, log);
  switch (type) {
    case "simple":
      log.warn("simple token is not cryptographically signed");
      return new SimpleTokens(native, parts.simpleTtlSeconds, parts.waiter);
    case "jwt":
      return new JwtTokens(jwtSettings(values, log), native, log, parts.nowMs);
    case "":
      return noTokens;
    default: {
      const error = invalidOptions();
      log.warn("unknown token type", { type, error });
      throw error;
    }
  }
}

/** Etcd starts with an empty type, and then nobody can log in. */
const noTokens: Tokens = {
  carriesRevision: false,
  prefix: () => {
    throw rpcError("authFailed");
  },
  applied: () => {},
  issue: () => Promise.reject(rpcError("authFailed")),
  check: () => Promise.reject(rpcError("invalidAuthToken")),
};
