// Simple tokens: sixteen letters by chance, and the index of the entry that made the token known to every member.

import { randomInt } from "node:crypto";
import { rpcError } from "../errors.js";
import type { ApplyMark } from "../replica/commands.js";
import type { Login, Tokens, TokenTable } from "./tokens.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LETTERS = 16;
const PREFIX = new RegExp(`^[A-Za-z]{${PREFIX_LETTERS}}$`);
const DEFAULT_TTL_SECONDS = 300;

/** Resolves with whether that index is applied here; false after a bounded time. */
export type IndexWaiter = (index: number) => Promise<boolean>;

export class SimpleTokens implements Tokens {
  readonly carriesRevision = false;
  readonly #ttlMs: number;

  constructor(
    private readonly native: TokenTable,
    ttlSeconds: number,
    private readonly isApplied: IndexWaiter,
  ) {
    const seconds = ttlSeconds === 0 ? DEFAULT_TTL_SECONDS : ttlSeconds;
    this.#ttlMs = Math.min(seconds * 1_000, Number.MAX_SAFE_INTEGER);
  }

  prefix(): string {
    return Array.from({ length: PREFIX_LETTERS }, () => LETTERS[randomInt(LETTERS.length)]).join("");
  }

  applied(login: Login, mark: ApplyMark): void {
    // A member with tokens of another kind proposed it, or this one when it had those: the rest could be guessed.
    if (!PREFIX.test(login.prefix)) return;
    this.native.register(nameOf(login, mark), login.user, null, this.#ttlMs, true);
  }

  issue(login: Login, mark: ApplyMark): Promise<string> {
    return Promise.resolve(nameOf(login, mark));
  }

  /** A member that lags does not know yet what another one has handed out. */
  async check(token: string): Promise<void> {
    const index = simpleTokenIndex(token);
    if (index === null || !(await this.isApplied(index))) throw rpcError("invalidAuthToken");
    if (this.native.identify(token) === null) throw rpcError("invalidAuthToken");
  }
}

const nameOf = ({ prefix }: Login, { index }: ApplyMark) => `${prefix}.${index}`;

/** The index that a token names; null: it is no simple token, or names one that no log ever reaches. */
export function simpleTokenIndex(token: string): number | null {
  const digits = /^[^.]*\.(\d+)$/s.exec(token)?.[1];
  if (digits === undefined) return null;
  const index = Number(digits);
  return Number.isSafeInteger(index) ? index : null;
}
