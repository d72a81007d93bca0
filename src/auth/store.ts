// Users, roles and whether they count: a pure state machine that entries of the log move, the same on every member.
// What it does not decide is who may touch which key: the data plane makes that of the same rows.

import { type ErrorName, rpcError } from "../errors.js";
import type { Caller, MetaRow, MetaWrite } from "../native/binding.js";
import { Draft, type TokenEffect } from "./draft.js";
import type { NamedRequest } from "./requests.js";
import {
  type AuthRows,
  compareTexts,
  decodeRole,
  decodeUser,
  type Permission,
  PermissionType,
  ROOT,
  type Role,
  readRows,
  type User,
} from "./rows.js";
import { type AuthLog, RULES } from "./rules.js";

export interface Applied {
  /** null: it was done. */
  readonly error: ErrorName | null;
  readonly writes: MetaWrite[];
  readonly tokens: TokenEffect;
}

/** Role root's one permission, whatever it was granted: everything. */
const EVERYTHING: Permission = {
  type: PermissionType.ReadWrite,
  key: new Uint8Array(),
  rangeEnd: Uint8Array.of(0),
};

export class AuthStore {
  #rows: AuthRows;

  /** Throws RangeError if a row is damaged. */
  constructor(
    rows: readonly MetaRow[],
    private readonly log: AuthLog,
  ) {
    this.#rows = readRows(rows);
  }

  /** The rows of another store take the place of everything. */
  replace(rows: readonly MetaRow[]): void {
    this.#rows = readRows(rows);
  }

  get enabled(): boolean {
    return this.#rows.enabled;
  }

  get revision(): number {
    return this.#rows.revision;
  }

  user(name: string): User | null {
    const row = this.#rows.users.get(name);
    return row ? decodeUser(row) : null;
  }

  role(name: string): Role | null {
    const row = this.#rows.roles.get(name);
    return row ? decodeRole(row) : null;
  }

  /** Applies a change, or refuses it: by who asks, then by the rules of the change. A login is anybody's. */
  apply({ name, request }: NamedRequest, caller: Caller): Applied {
    const refused = name === "authenticate" ? null : this.adminError(caller);
    if (refused !== null) return { error: refused, writes: [], tokens: { kind: "none" } };
    const draft = new Draft(this.#rows);
    const rule = RULES[name] as (draft: Draft, of: typeof request, log: AuthLog) => ErrorName | null;
    return { error: rule(draft, request, this.log), writes: draft.writes, tokens: draft.tokens };
  }

  /** Why the caller has not role root. Revisions do not count: a change that another one overtook is no less his. */
  adminError(caller: Caller): ErrorName | null {
    if (!this.enabled || caller === "internal") return null;
    if (caller === null || caller.user === "") return "userEmpty";
    const user = this.user(caller.user);
    if (user === null) return "userNotFound";
    return user.roles.includes(ROOT) ? null : "permissionDenied";
  }

  // --- what may be asked of it; throw RpcError ---

  /** The roles of a user, for an admin and the user himself. */
  userRoles(name: string, caller: Caller): string[] {
    const refused = this.adminError(caller);
    if (refused !== null && nameOf(caller) !== name) throw rpcError(refused);
    const user = this.user(name);
    if (user === null) throw rpcError("userNotFound");
    return [...user.roles];
  }

  /** The permissions of a role, for an admin and those who have it. */
  rolePermissions(name: string, caller: Caller): Permission[] {
    const refused = this.adminError(caller);
    if (refused !== null && !this.user(nameOf(caller))?.roles.includes(name)) throw rpcError(refused);
    const role = this.role(name);
    if (role === null) throw rpcError("roleNotFound");
    return name === ROOT ? [EVERYTHING] : [...role.permissions];
  }

  /** Ascending by bytes. */
  userNames(): string[] {
    return [...this.#rows.users.keys()].sort(compareTexts);
  }

  roleNames(): string[] {
    return [...this.#rows.roles.keys()].sort(compareTexts);
  }
}

const nameOf = (caller: Caller) => (caller === null || caller === "internal" ? "" : caller.user);
