// Tokens that carry who they are for, signed: JSON Web Tokens as etcd makes and checks them, by jose.

import { errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import { rpcError } from "../errors.js";
import type { Logger } from "../log/logger.js";
import type { JwtSettings } from "./jwtkeys.js";
import type { Login, Tokens, TokenTable } from "./tokens.js";

const MALFORMED = "token is malformed";

/** Strictly, as jose overlooks padding: one token would be as many as anybody likes, each with a place in the table. */
const FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Whom a good token is for. */
interface Claims {
  readonly user: string;
  /** The auth revision at which it was made: what was changed later makes it old. */
  readonly revision: number;
  /** Seconds since 1970; without end if the token names none. */
  readonly expires: number;
}

export class JwtTokens implements Tokens {
  readonly carriesRevision = true;

  constructor(
    private readonly settings: JwtSettings,
    private readonly native: TokenTable,
    private readonly log: Logger,
    /** Milliseconds since 1970. */
    private readonly nowMs: () => number,
  ) {}

  /** The token is made by the member that was asked, of what the log says; the others check it when they see it. */
  prefix(): string {
    return "";
  }

  applied(): void {}

  async issue({ user, revision }: Login): Promise<string> {
    const { method, ttlMs, signKey } = this.settings;
    if (signKey === null) throw rpcError("verifyOnly");
    const expires = Math.floor((this.nowMs() + ttlMs) / 1_000);
    try {
      return await new SignJWT({ username: user, revision })
        .setProtectedHeader({ alg: method, typ: "JWT" })
        .setExpirationTime(expires)
        .sign(signKey);
    } catch (error) {
      // A key of the method's kind, but not of its size: etcd notices here, too.
      this.log.error("a JWT could not be signed", { error: (error as Error).message });
      throw rpcError("signingKeyInvalid");
    }
  }

  async check(token: string): Promise<void> {
    const claims = await this.#claimsOf(token);
    if (claims === null) throw rpcError("invalidAuthToken");
    const ttlMs = Math.floor(Math.min(claims.expires * 1_000 - this.nowMs(), Number.MAX_SAFE_INTEGER));
    if (ttlMs <= 0) throw rpcError("invalidAuthToken");
    this.native.register(token, claims.user, claims.revision, ttlMs, false);
  }

  /** null: it is no good, and the log says why, without a word of it. */
  async #claimsOf(token: string): Promise<Claims | null> {
    const { method, checkKey } = this.settings;
    let payload: JWTPayload;
    if (!FORM.test(token)) {
      this.log.warn("failed to parse a JWT token", { error: MALFORMED });
      return null;
    }
    try {
      const currentDate = new Date(this.nowMs());
      ({ payload } = await jwtVerify(token, checkKey, { algorithms: [method], currentDate }));
    } catch (error) {
      this.log.warn("failed to parse a JWT token", { error: reasonOf(error) });
      return null;
    }
    const { username: user, revision, exp: expires = Number.POSITIVE_INFINITY } = payload;
    if (typeof user !== "string") {
      this.log.warn("failed to obtain user claims from jwt token");
      return null;
    }
    if (typeof revision !== "number" || revision < 0 || revision > Number.MAX_SAFE_INTEGER) {
      this.log.warn("failed to obtain revision claims from jwt token");
      return null;
    }
    return { user, revision: Math.trunc(revision), expires };
  }
}

/** In the words of etcd's library. */
function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "token has invalid claims: token is expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "nbf" && error.reason === "check_failed") {
      return "token has invalid claims: token is not valid yet";
    }
    return `token has invalid claims: invalid type for claim: ${error.claim} is invalid`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return "token is unverifiable: error while executing keyfunc: invalid signing method";
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) return "token signature is invalid: signature is invalid";
  return MALFORMED;
}
