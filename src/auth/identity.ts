// Who makes a call, by its metadata, its certificate and its token.

import type { Metadata } from "@grpc/grpc-js";
import { rpcError, toRpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { Caller, NativeAuth, NativeStatus } from "../native/binding.js";
import type { Clock } from "../replica/clock.js";
import type { AuthStore } from "./store.js";
import { refuseToken, type Tokens } from "./tokens.js";

const BEARER = "Bearer ";
/** How the gateway's calls are known; its own certificate is no identity of who calls through it. */
const GATEWAY_FIELD = "grpcgateway-accept";

/** The token of a call: the first value of `token`, else of `authorization`; null: it has neither. */
export function tokenOf(metadata: Metadata): string | null {
  const [first] = [...metadata.get("token"), ...metadata.get("authorization")];
  if (first === undefined) return null;
  const token = first.toString();
  return token.startsWith(BEARER) ? token.slice(BEARER.length) : token;
}

export interface IdentityParts {
  readonly store: AuthStore;
  readonly tokens: Tokens;
  readonly native: Pick<NativeAuth, "identify" | "identified">;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface TokenQuestion {
  readonly ask: number;
  readonly token: string;
}

export class Identities {
  #questions: TokenQuestion[] = [];

  constructor(private readonly parts: IdentityParts) {}

  /** null: nobody, or auth is off. Rejects with an RpcError for a bad token. */
  async ofCall(metadata: Metadata, commonName: string | null): Promise<Caller> {
    const { store, log } = this.parts;
    if (!store.enabled) return null;
    const token = tokenOf(metadata);
    if (token !== null) return this.#ofToken(token);
    if (commonName === null) return null;
    const { revision } = store;
    if (metadata.get(GATEWAY_FIELD).length > 0) {
      log.warn("ignoring common name in gRPC-gateway proxy request", {
        "common-name": commonName,
        "user-name": commonName,
        revision,
      });
      return null;
    }
    return { user: commonName, revision };
  }

  async #ofToken(token: string): Promise<Caller> {
    const { native } = this.parts;
    const known = native.identify(token);
    if (known !== null) return this.#current(known);
    await this.#check(token);
    const found = native.identify(token);
    // It ended between the two.
    if (found === null) throw rpcError("invalidAuthToken");
    return this.#current(found);
  }

  /** The data plane hears of a change a moment later than this side, and no caller is to be refused for that. */
  #current(found: { user: string; revision: number }): Caller {
    const { tokens, store } = this.parts;
    return tokens.carriesRevision ? found : { ...found, revision: store.revision };
  }

  /** Resolves when the data plane knows the token. Rejects with an RpcError. */
  async #check(token: string): Promise<void> {
    const { tokens, log } = this.parts;
    try {
      await tokens.check(token);
    } catch (error) {
      const refusal = toRpcError(error);
      throw refusal.details === rpcError("invalidAuthToken").details ? refuseToken(token, log) : refusal;
    }
  }

  // --- questions of the data plane, as many in a turn as leave room for others ---

  answer(question: TokenQuestion): void {
    if (this.#questions.length >= limits.tokenQuestionsMax) {
      this.#reply(question, rpcError("tooManyRequests"));
      return;
    }
    this.#questions.push(question);
    if (this.#questions.length === 1) this.parts.clock.after(0, () => this.#answerSome());
  }

  #answerSome(): void {
    const now = this.#questions.slice(0, limits.tokensATurnMax);
    this.#questions = this.#questions.slice(now.length);
    if (this.#questions.length > 0) this.parts.clock.after(0, () => this.#answerSome());
    for (const question of now) {
      this.#check(question.token).then(
        () => this.#reply(question, null),
        (error: unknown) => this.#reply(question, toRpcError(error)),
      );
    }
  }

  #reply({ ask }: TokenQuestion, error: { code: number; details: string } | null): void {
    const status: NativeStatus | null = error === null ? null : { code: error.code, message: error.details };
    this.parts.native.identified(ask, status);
  }
}
