// Users, roles and tokens as the services and the member see them. The interface first; what it does follows.
//
// Wiring (src/member): `new Auth(options)` when the parts are built, throws AuthOptionsError with etcd's text;
// `handlers: { ...controlHandlers(state), auth: auth.handler }` for the replica; `auth.replace(rows)` where a snapshot
// is installed; events `identify` of the data plane go to `auth.answer(event)`; `auth.stop()` at the end.

import type { Metadata } from "@grpc/grpc-js";
import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import type { Caller, MetaRow, NativeAuth } from "../native/binding.js";
import type { authpb, etcdserverpb } from "../proto/index.js";
import type { Clock } from "../replica/clock.js";
import type { ControlHandlers } from "../replica/commands.js";
import type { Replica } from "../replica/replica.js";

/** The changes that go through the log, with their requests as clients send them. */
export interface AuthChanges {
  authEnable: etcdserverpb.AuthEnableRequest.$Properties;
  authDisable: etcdserverpb.AuthDisableRequest.$Properties;
  userAdd: etcdserverpb.AuthUserAddRequest.$Properties;
  userDelete: etcdserverpb.AuthUserDeleteRequest.$Properties;
  userChangePassword: etcdserverpb.AuthUserChangePasswordRequest.$Properties;
  userGrantRole: etcdserverpb.AuthUserGrantRoleRequest.$Properties;
  userRevokeRole: etcdserverpb.AuthUserRevokeRoleRequest.$Properties;
  roleAdd: etcdserverpb.AuthRoleAddRequest.$Properties;
  roleDelete: etcdserverpb.AuthRoleDeleteRequest.$Properties;
  roleGrantPermission: etcdserverpb.AuthRoleGrantPermissionRequest.$Properties;
  roleRevokePermission: etcdserverpb.AuthRoleRevokePermissionRequest.$Properties;
}

export interface AuthOptions {
  readonly config: Pick<Config, "authToken" | "bcryptCost" | "authTokenTtlSeconds" | "electionTimeoutMs">;
  /** The store's rows, of all tables. */
  readonly rows: readonly MetaRow[];
  readonly native: NativeAuth;
  readonly log: Logger;
  readonly clock: Clock;
  /** Not asked for before it was built: the replica is given this object's handler. */
  readonly replica: () => Pick<Replica, "readIndex" | "proposeControl" | "appliedWithin">;
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

export declare class Auth {
  constructor(options: AuthOptions);

  readonly enabled: boolean;
  readonly revision: number;
  readonly figures: AuthFigures;

  /** Applies `auth` commands of the log. */
  readonly handler: ControlHandlers["auth"];
  /** The rows of an installed snapshot take the place of everything. */
  replace(rows: readonly MetaRow[]): void;
  /** Answers an `identify` event of the data plane. */
  answer(event: { readonly ask: number; readonly token: string }): void;
  stop(): Promise<void>;

  /**
   * Who makes a call: its token, else the common name of its verified client certificate (null: none, or
   * --client-cert-auth is not set). null while auth is off, and for who says nothing. Rejects with an RpcError for a bad
   * token; waits, bounded, for one whose index is not applied here yet.
   */
  identify(metadata: Metadata, commonName?: string | null): Promise<Caller>;
  /** Throws RpcError unless the caller has role root (or auth is off). */
  checkAdmin(caller: Caller): void;
  /** Throws RpcError unless there is an identity (or auth is off). */
  checkKnown(caller: Caller): void;

  /** Resolves with a token. `address`: the peer's, with or without port. Rejects with an RpcError. */
  authenticate(name: string, password: string, address: string): Promise<string>;
  /** Resolves when the change is applied here. Rejects with an RpcError. The request's password is not kept. */
  change<K extends keyof AuthChanges>(name: K, request: AuthChanges[K], caller: Caller): Promise<void>;
  /** Linearizable, as the calls below: resolve with the answer, reject with an RpcError. */
  status(): Promise<{ enabled: boolean; revision: number }>;
  userGet(name: string, caller: Caller): Promise<string[]>;
  userList(caller: Caller): Promise<string[]>;
  roleGet(name: string, caller: Caller): Promise<authpb.Permission.$Properties[]>;
  roleList(caller: Caller): Promise<string[]>;
}
