// Authenticate: a password is compared on the member that was asked, outside of the log; the log then says on every
// member that a token of this user counts, if users are still as they were when the password was compared.

import { Buffer } from "node:buffer";
import { type ErrorName, rpcError } from "../errors.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { Replica } from "../replica/replica.js";
import { type Attempts, networkOf } from "./attempts.js";
import type { Passwords } from "./passwords.js";
import { encodeCommand } from "./requests.js";
import type { AuthStore } from "./store.js";
import { fingerprint, type Login, type Tokens } from "./tokens.js";

/** What the log made of a login. */
export interface LoginResult {
  readonly error: ErrorName | null;
  /** null with an error, and if users were changed since the password was compared. */
  readonly login: Login | null;
  readonly index: number;
  readonly term: number;
}

export interface LoginParts {
  readonly store: AuthStore;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  readonly tokens: Tokens;
  readonly log: Logger;
  readonly replica: () => Pick<Replica, "readIndex" | "proposeControl">;
}

export class Logins {
  constructor(private readonly parts: LoginParts) {}

  /** Resolves with a token. Rejects with an RpcError. */
  async login(name: string, password: string, address: string): Promise<string> {
    const { store, attempts, tokens, log, replica } = this.parts;
    // A user who was just made on another member can log in here.
    await replica().readIndex();
    if (!store.enabled) throw rpcError("authNotEnabled");
    // No user can be called so, and nothing is to keep such names.
    if (Buffer.byteLength(name) > limits.authNameBytesMax) throw rpcError("authFailed");
    await attempts.admit(name, address);
    for (let tries = 0; tries < limits.loginTriesMax; tries += 1) {
      const revision = await this.#checkPassword(name, password, address);
      const request = { name, simpleToken: tokens.prefix() };
      const command = encodeCommand("authenticate", request, { user: name, revision });
      const result = (await replica().proposeControl(command)) as LoginResult;
      if (result.error !== null) throw rpcError(result.error);
      if (result.login !== null) {
        const token = await tokens.issue(result.login, result);
        log.debug("authenticated a user", { "user-name": name, "token-fingerprint": fingerprint(token) });
        return token;
      }
      log.info("revision when password checked became stale; retrying", {
        "revision-password-checked": revision,
        "revision-stored": store.revision,
      });
    }
    throw rpcError("authOldRevision");
  }

  /** Resolves with the revision at which the password was the user's. */
  async #checkPassword(name: string, password: string, address: string): Promise<number> {
    const { store, passwords, attempts, log } = this.parts;
    if (!store.enabled) throw rpcError("authNotEnabled");
    const { revision } = store;
    const user = store.user(name);
    if (await passwords.verify(user, name, password, networkOf(address))) {
      attempts.succeeded(name, address);
      return revision;
    }
    attempts.failed(name, address);
    if (user !== null && !user.noPassword) log.info("invalid password", { "user-name": name });
    const error = user?.noPassword ? "noPasswordUser" : "authFailed";
    log.warn("invalid authentication was requested", { user: name, error: logText(error) });
    throw rpcError(error);
  }
}

/** The server's own words for what clients are told; they differ in who speaks. */
const logText = (name: ErrorName) => rpcError(name).details.replace(/^etcdserver: /, "auth: ");
