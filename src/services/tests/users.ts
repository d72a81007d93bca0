// Users for tests of handlers: the real state of users and roles behind tokens that are the users' names.

import type { Metadata } from "@grpc/grpc-js";
import type { AuthChanges } from "../../auth/auth.js";
import { decodeCommand, encodeCommand } from "../../auth/requests.js";
import { AuthStore } from "../../auth/store.js";
import { rpcError } from "../../errors.js";
import type { Caller } from "../../native/binding.js";
import type { Permissions, ServiceContext } from "../context.js";

const ignore = () => {};

/**
 * Users root and plain, who has no role; and user own with the role own, which holds the keys from "own" to "owo". Keys
 * and leases are permitted by name only: root may everything, and own what begins with his name.
 */
export class Users {
  readonly #store = new AuthStore([], { debug: ignore, info: ignore, warn: ignore, error: ignore });
  /** What has asked for an identity: that tokens are not looked at can be seen here. */
  identified = 0;

  constructor({ enabled } = { enabled: true }) {
    this.#do("userAdd", { name: "root" });
    this.#do("userAdd", { name: "plain" });
    this.#do("userAdd", { name: "own" });
    this.#do("roleAdd", { name: "root" });
    this.#do("roleAdd", { name: "own" });
    this.#do("roleGrantPermission", { name: "own", perm: { key: Buffer.from("own"), rangeEnd: Buffer.from("owo") } });
    this.#do("userGrantRole", { user: "root", role: "root" });
    this.#do("userGrantRole", { user: "own", role: "own" });
    if (enabled) this.#do("authEnable", {});
  }

  #do<K extends keyof AuthChanges>(name: K, request: AuthChanges[K], caller: Caller = "internal"): void {
    const { error } = this.#store.apply(decodeCommand(encodeCommand(name, request, caller)), caller);
    if (error !== null) throw rpcError(error);
  }

  /** Throws as apply does for who may not touch the key. */
  check(caller: Caller, key: Uint8Array): void {
    if (!this.#store.enabled || caller === "internal") return;
    if (caller === null) throw rpcError("userEmpty");
    if (caller.user === "root" || Buffer.from(key).toString().startsWith(caller.user)) return;
    throw rpcError("permissionDenied");
  }

  /** `leases`: the keys that are attached to each. */
  permissions(leases: ReadonlyMap<bigint, readonly string[]>): Permissions {
    return {
      read: (caller, key) => this.check(caller, key),
      readLease: (caller, id) => {
        for (const key of leases.get(id) ?? []) this.check(caller, Buffer.from(key));
      },
    };
  }

  get auth(): ServiceContext["auth"] {
    const store = this.#store;
    const demandAdmin = <T>(caller: Caller, answer: () => T): T => {
      const error = store.adminError(caller);
      if (error !== null) throw rpcError(error);
      return answer();
    };
    return {
      get enabled() {
        return store.enabled;
      },
      identify: async (metadata) => this.#identify(metadata),
      checkAdmin: (caller) => demandAdmin(caller, () => {}),
      checkKnown: (caller) => {
        if (store.enabled && caller === null) throw rpcError("userEmpty");
      },
      authenticate: async (name) => name,
      change: async (name, request, caller) => this.#do(name, request, caller),
      status: async () => ({ enabled: store.enabled, revision: store.revision }),
      userGet: async (name, caller) => store.userRoles(name, caller),
      userList: async (caller) => demandAdmin(caller, () => store.userNames()),
      roleGet: async (name, caller) =>
        store.rolePermissions(name, caller).map(({ key, rangeEnd }) => ({ key: Buffer.from(key), rangeEnd })),
      roleList: async (caller) => demandAdmin(caller, () => store.roleNames()),
    };
  }

  #identify(metadata: Metadata): Caller {
    if (!this.#store.enabled) return null;
    this.identified += 1;
    const token = metadata.get("token")[0]?.toString();
    if (token === undefined) return null;
    if (this.#store.user(token) === null) throw rpcError("invalidAuthToken");
    return { user: token, revision: this.#store.revision };
  }
}
