// Users, roles and tokens as the services and the member see them: who calls, what he may administer, logins, and the
// changes that go through the log. What a call may do with keys is decided in the data plane.

import { Buffer } from "node:buffer";
import type { Metadata } from "@grpc/grpc-js";
import type { Config } from "../config/config.js";
import { type ErrorName, rpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { Caller, MetaRow, NativeAuth } from "../native/binding.js";
import type { authpb } from "../proto/index.js";
import type { Clock } from "../replica/clock.js";
import type { ApplyMark, ControlHandlers, ControlOutcome } from "../replica/commands.js";
import type { Replica } from "../replica/replica.js";
import { Attempts } from "./attempts.js";
import type { TokenEffect } from "./draft.js";
import { type Hashing, HashingThreads } from "./hashing.js";
import { Identities, type TokenQuestion } from "./identity.js";
import { type LoginResult, Logins } from "./login.js";
import { bcryptCost, bcryptCosts, Passwords } from "./passwords.js";
import { type AuthCommand, decodeCommand, encodeCommand, type RequestFields, type RequestName } from "./requests.js";
import { AuthStore } from "./store.js";
import { createTokens } from "./tokenkinds.js";
import type { Tokens } from "./tokens.js";

export { AuthOptionsError } from "./tokenoptions.js";

/** The changes that go through the log, with their requests as clients send them. */
export type AuthChanges = { [K in Exclude<RequestName, "authenticate">]: RequestFields<K> };

export interface AuthOptions {
  readonly config: Pick<
    Config,
    "authToken" | "bcryptCost" | "authTokenTtlSeconds" | "electionTimeoutMs" | "maxRequestBytes"
  >;
  /** The store's rows, of all tables. */
  readonly rows: readonly MetaRow[];
  readonly native: Pick<NativeAuth, "identify" | "register" | "forgetUser" | "forgetAll" | "identified">;
  readonly log: Logger;
  readonly clock: Clock;
  /** Not asked for before it was built: the replica is given this object's handler. */
  readonly replica: () => Pick<Replica, "readIndex" | "proposeControl" | "appliedWithin">;
  /** bcrypt; threads of its own unless a test gives another. */
  readonly hashing?: Hashing;
}

/** What /metrics shows. */
export interface AuthFigures {
  readonly failedLogins: number;
  readonly delayedLogins: number;
  readonly refusedLogins: number;
  /** Passwords that were compared or hashed by bcrypt. */
  readonly hashings: number;
  /** Logins that the cache of verified passwords answered. */
  readonly cachedLogins: number;
}

export class Auth {
  readonly #options: AuthOptions;
  readonly #store: AuthStore;
  readonly #tokens: Tokens;
  readonly #passwords: Passwords;
  readonly #attempts: Attempts;
  readonly #identities: Identities;
  readonly #logins: Logins;
  #waitingTokens = 0;

  /** Throws AuthOptionsError if --auth-token cannot be used, RangeError if a row is damaged. */
  constructor(options: AuthOptions) {
    const { config, rows, native, log, clock, replica } = options;
    const failed = (error: Error) => log.warn("a thread for passwords failed", { error });
    const hashing = options.hashing ?? new HashingThreads(failed);
    this.#options = options;
    this.#store = new AuthStore(rows, log);
    this.#tokens = createTokens(config.authToken, {
      native,
      log,
      simpleTtlSeconds: config.authTokenTtlSeconds,
      waiter: (index) => this.#appliedSoon(index),
      nowMs: () => Date.now(),
    });
    this.#passwords = new Passwords(hashing, costOf(config.bcryptCost, log));
    this.#attempts = new Attempts(clock);
    const parts = { store: this.#store, tokens: this.#tokens, log };
    this.#identities = new Identities({ ...parts, native, clock });
    this.#logins = new Logins({ ...parts, passwords: this.#passwords, attempts: this.#attempts, replica });
  }

  get enabled(): boolean {
    return this.#store.enabled;
  }

  get revision(): number {
    return this.#store.revision;
  }

  get figures(): AuthFigures {
    return {
      failedLogins: this.#attempts.failedTotal,
      delayedLogins: this.#attempts.delayedTotal,
      refusedLogins: this.#attempts.refusedTotal,
      hashings: this.#passwords.hashings,
      cachedLogins: this.#passwords.remembered,
    };
  }

  /** Ends the threads for passwords. */
  stop(): Promise<void> {
    return this.#passwords.stop();
  }

  // --- who calls ---

  /**
   * Who makes a call: its token, else the common name of its verified client certificate (null: none, or
   * --client-cert-auth is not set). null while auth is off, and for who says nothing. Rejects with an RpcError for a bad
   * token; waits, bounded, for one whose index is not applied here yet.
   */
  identify(metadata: Metadata, commonName: string | null = null): Promise<Caller> {
    return this.#identities.ofCall(metadata, commonName);
  }

  /** Answers an `identify` event of the data plane. */
  answer(question: TokenQuestion): void {
    this.#identities.answer(question);
  }

  /**
   * Throws RpcError unless the caller has role root (or auth is off). Unlike in etcd a token that carries an older
   * revision does not do: it may be from before its user's password was changed.
   */
  checkAdmin(caller: Caller): void {
    this.#checkRevision(caller);
    throwIf(this.#store.adminError(caller));
  }

  #checkRevision(caller: Caller): void {
    if (!this.enabled || caller === null || caller === "internal" || caller.user === "") return;
    if (caller.revision === 0) throw rpcError("userEmpty");
    if (caller.revision < this.revision) throw rpcError("authOldRevision");
  }

  /** Throws RpcError unless the caller is a user that there is (or auth is off). */
  checkKnown(caller: Caller): void {
    if (!this.enabled || caller === "internal") return;
    if (caller === null || caller.user === "") throw rpcError("userEmpty");
    if (this.#store.user(caller.user) === null) throw rpcError("permissionDenied");
  }

  /** Whether the index that a token names is applied soon: within what an election may take. */
  async #appliedSoon(index: number): Promise<boolean> {
    if (this.#waitingTokens >= limits.waitingTokensMax) return false;
    const { replica, config } = this.#options;
    this.#waitingTokens += 1;
    try {
      return await replica().appliedWithin(index, limits.tokenWaitElections * config.electionTimeoutMs);
    } finally {
      this.#waitingTokens -= 1;
    }
  }

  // --- the log ---

  /** Applies `auth` commands of the log. */
  readonly handler: ControlHandlers["auth"] = (command, mark) => this.#apply(command, mark);

  #apply(command: AuthCommand, mark: ApplyMark): ControlOutcome {
    const { error, writes, tokens } = this.#store.apply(decodeCommand(command), command.caller);
    if (command.request !== "authenticate") {
      this.#take(tokens);
      return { result: error, writes };
    }
    const isCurrent = tokens.kind === "login" && revisionOf(command.caller) === tokens.revision;
    const login = isCurrent ? tokens : null;
    if (login !== null) this.#tokens.applied(login, mark);
    const result: LoginResult = { error, login, ...mark };
    return { result, writes };
  }

  /** What a change does to what was known of its users. */
  #take(effect: TokenEffect): void {
    const { native } = this.#options;
    if (effect.kind === "forgetAll") native.forgetAll();
    if (effect.kind !== "forgetUser") return;
    native.forgetUser(effect.user);
    this.#passwords.forget(effect.user);
  }

  /**
   * The rows of an installed snapshot take the place of everything. The entries in between were not seen here, and any
   * of them may have ended a token: then all end, and clients log in anew.
   */
  replace(rows: readonly MetaRow[]): void {
    const { enabled, revision } = this.#store;
    this.#store.replace(rows);
    this.#passwords.forgetAll();
    if (enabled !== this.enabled || revision !== this.revision) this.#options.native.forgetAll();
  }

  // --- the calls of the Auth service; they reject with an RpcError or a ReplicaError ---

  /** Resolves with a token. `address`: the peer's, with or without port. */
  authenticate(name: string, password: string, address: string): Promise<string> {
    return this.#logins.login(name, password, address);
  }

  /** Resolves when the change is applied here. */
  async change<K extends keyof AuthChanges>(name: K, request: AuthChanges[K], caller: Caller): Promise<void> {
    // Applying checks it again, but nobody else is to keep the threads for passwords busy.
    await this.#demandAdmin(caller);
    const command = encodeCommand(name, await this.#withoutPassword(name, request), caller);
    const { config, replica } = this.#options;
    if (Buffer.byteLength(command.body, "base64") > config.maxRequestBytes) throw rpcError("requestTooLarge");
    throwIf((await replica().proposeControl(command)) as ErrorName | null);
  }

  /** As `checkAdmin`, but a member that lags behind refuses nobody who is an admin by what others have acknowledged. */
  async #demandAdmin(caller: Caller): Promise<void> {
    this.#checkRevision(caller);
    if (this.#store.adminError(caller) === null) return;
    await this.#linearizable();
    throwIf(this.#store.adminError(caller));
  }

  /** The request as the log may have it: with the hash of the password in its place. */
  async #withoutPassword<K extends keyof AuthChanges>(name: K, request: AuthChanges[K]): Promise<AuthChanges[K]> {
    if (name === "userAdd") {
      const user = request as AuthChanges["userAdd"];
      const hashedPassword = user.options?.noPassword ? "" : await this.#hash(user.password ?? "");
      return { ...user, password: "", hashedPassword } as AuthChanges[K];
    }
    if (name === "userChangePassword") {
      const user = request as AuthChanges["userChangePassword"];
      // Who sends no password may send a hash of his own making.
      const hashedPassword = user.password ? await this.#hash(user.password) : (user.hashedPassword ?? "");
      return { ...user, password: "", hashedPassword } as AuthChanges[K];
    }
    return request;
  }

  async #hash(password: string): Promise<string> {
    return Buffer.from(await this.#passwords.hash(password)).toString("base64");
  }

  async status(): Promise<{ enabled: boolean; revision: number }> {
    await this.#linearizable();
    return { enabled: this.enabled, revision: this.revision };
  }

  /** The roles of a user, ascending by bytes. */
  async userGet(name: string, caller: Caller): Promise<string[]> {
    await this.#linearizableFor(caller);
    return this.#store.userRoles(name, caller);
  }

  async userList(caller: Caller): Promise<string[]> {
    await this.#linearizableForAdmin(caller);
    return this.#store.userNames();
  }

  async roleGet(name: string, caller: Caller): Promise<authpb.Permission.$Properties[]> {
    await this.#linearizableFor(caller);
    return this.#store.rolePermissions(name, caller).map(({ type, key, rangeEnd }) => ({
      permType: type as authpb.Permission.Type,
      key,
      rangeEnd,
    }));
  }

  async roleList(caller: Caller): Promise<string[]> {
    await this.#linearizableForAdmin(caller);
    return this.#store.roleNames();
  }

  /** The caller's revision counts for the moment at which he asked, what he may see for that of the answer. */
  async #linearizableFor(caller: Caller): Promise<void> {
    this.#checkRevision(caller);
    await this.#linearizable();
  }

  async #linearizableForAdmin(caller: Caller): Promise<void> {
    await this.#linearizableFor(caller);
    throwIf(this.#store.adminError(caller));
  }

  #linearizable(): Promise<void> {
    return this.#options.replica().readIndex();
  }
}

function throwIf(error: ErrorName | null): void {
  if (error !== null) throw rpcError(error);
}

const revisionOf = (caller: Caller) => (caller === null || caller === "internal" ? null : caller.revision);

function costOf(given: number, log: Logger): number {
  const { cost, isGiven } = bcryptCost(given);
  if (!isGiven) {
    log.warn("use default bcrypt cost instead of the invalid given cost", {
      "min-cost": bcryptCosts.min,
      "max-cost": bcryptCosts.max,
      "default-cost": bcryptCosts.default,
      "given-cost": given,
    });
  }
  return cost;
}
