// What each change of users and roles demands and does, in etcd's order of checks. A rule names the error that refuses
// the change, before it has done anything, or makes the change and returns null.

import { Buffer } from "node:buffer";
import type { ErrorName } from "../errors.js";
import { limits } from "../limits.js";
import type { FieldValue, Logger } from "../log/logger.js";
import type { Draft } from "./draft.js";
import { granted, isGrantable, revoked } from "./permissions.js";
import type { Request, RequestName } from "./requests.js";
import { compareTexts, permissionTypeName, ROOT, type User } from "./rows.js";

export type AuthLog = Pick<Logger, "debug" | "info" | "warn" | "error">;

type Rule<K extends RequestName> = (draft: Draft, request: Request<K>, log: AuthLog) => ErrorName | null;

export const RULES: { readonly [K in RequestName]: Rule<K> } = {
  authEnable: (draft, _request, log) => {
    if (draft.enabled) {
      log.info("authentication is already enabled; ignored auth enable request");
      return null;
    }
    const root = draft.user(ROOT);
    if (root === null) return "rootUserNotExist";
    if (!root.roles.includes(ROOT)) return "rootRoleNotExist";
    draft.setEnabled(true);
    log.info("enabled authentication");
    return null;
  },

  authDisable: (draft, _request, log) => {
    if (!draft.enabled) return null;
    draft.setEnabled(false);
    draft.advance();
    draft.tokens = { kind: "forgetAll" };
    log.info("disabled authentication");
    return null;
  },

  authenticate: (draft, { name, simpleToken }) => {
    if (!draft.enabled) return "authNotEnabled";
    const user = draft.user(name);
    if (user === null) return "authFailed";
    if (user.noPassword) return "noPasswordUser";
    draft.tokens = { kind: "login", user: name, prefix: simpleToken, revision: draft.revision };
    return null;
  },

  userAdd: (draft, { name, options, hashedPassword }, log) => {
    if (name === "") return "userEmpty";
    if (isTooLong(name)) return "requestTooLarge";
    if (draft.user(name) !== null) return "userAlreadyExist";
    const noPassword = options?.noPassword ?? false;
    const password = noPassword ? new Uint8Array() : decodeHash(hashedPassword);
    if (password === null) return "noPasswordUser";
    draft.putUser({ name, password, roles: [], noPassword });
    draft.advance();
    log.info("added a user", { "user-name": name });
    return null;
  },

  userDelete: (draft, { name }, log) => {
    if (draft.enabled && name === ROOT) {
      log.error("cannot delete 'root' user", { "user-name": name });
      return "invalidAuthMgmt";
    }
    const user = draft.user(name);
    if (user === null) return "userNotFound";
    draft.deleteUser(name);
    draft.advance();
    draft.tokens = { kind: "forgetUser", user: name };
    log.info("deleted a user", { "user-name": name, "user-roles": user.roles });
    return null;
  },

  userChangePassword: (draft, { name, hashedPassword }, log) => {
    const user = draft.user(name);
    if (user === null) return "userNotFound";
    const password = user.noPassword ? new Uint8Array() : decodeHash(hashedPassword);
    if (password === null) return "noPasswordUser";
    draft.putUser({ ...user, password });
    draft.advance();
    draft.tokens = { kind: "forgetUser", user: name };
    log.info("changed a password of a user", { "user-name": name, "user-roles": user.roles });
    return null;
  },

  userGrantRole: (draft, { user: name, role }, log) => {
    const user = draft.user(name);
    if (user === null) return "userNotFound";
    if (role !== ROOT && draft.role(role) === null) return "roleNotFound";
    if (user.roles.includes(role)) {
      log.warn("ignored grant role request to a user", {
        "user-name": name,
        "user-roles": user.roles,
        "duplicate-role-name": role,
      });
      return null;
    }
    const roles = [...user.roles, role].sort(compareTexts);
    draft.putUser({ ...user, roles });
    draft.advance();
    log.info("granted a role to a user", { "user-name": name, "user-roles": roles, "added-role-name": role });
    return null;
  },

  userRevokeRole: (draft, { name, role }, log) => {
    if (draft.enabled && name === ROOT && role === ROOT) {
      log.error("'root' user cannot revoke 'root' role", { "user-name": name, "role-name": role });
      return "invalidAuthMgmt";
    }
    const user = draft.user(name);
    if (user === null) return "userNotFound";
    if (!user.roles.includes(role)) return "roleNotGranted";
    const without = withoutRole(user, role);
    draft.putUser(without);
    draft.advance();
    log.info("revoked a role from a user", {
      "user-name": name,
      "old-user-roles": user.roles,
      "new-user-roles": without.roles,
      "revoked-role-name": role,
    });
    return null;
  },

  roleAdd: (draft, { name }, log) => {
    if (name === "") return "roleEmpty";
    if (isTooLong(name)) return "requestTooLarge";
    if (draft.role(name) !== null) return "roleAlreadyExist";
    draft.putRole({ name, permissions: [] });
    draft.advance();
    log.info("created a role", { "role-name": name });
    return null;
  },

  roleDelete: (draft, { role: name }, log) => {
    if (draft.enabled && name === ROOT) {
      log.error("cannot delete 'root' role", { "role-name": name });
      return "invalidAuthMgmt";
    }
    if (draft.role(name) === null) return "roleNotFound";
    draft.deleteRole(name);
    for (const user of draft.usersWith(name)) draft.putUser(withoutRole(user, name));
    draft.advance();
    log.info("deleted a role", { "role-name": name });
    return null;
  },

  roleGrantPermission: (draft, { name, perm }, log) => {
    if (!perm) return "permissionNotGiven";
    const permission = { type: perm.permType ?? 0, ...range(perm.key, perm.rangeEnd) };
    if (!isGrantable(permission.key, permission.rangeEnd)) return "invalidAuthMgmt";
    const role = draft.role(name);
    if (role === null) return "roleNotFound";
    draft.putRole({ name, permissions: granted(role.permissions, permission) });
    draft.advance();
    log.info("granted/updated a permission to a user", {
      "user-name": name,
      "permission-name": permissionTypeName(permission.type),
      ...rangeFields(permission),
    });
    return null;
  },

  roleRevokePermission: (draft, { role: name, key, rangeEnd }, log) => {
    const role = draft.role(name);
    if (role === null) return "roleNotFound";
    const permissions = revoked(role.permissions, { key, rangeEnd });
    if (permissions.length === role.permissions.length) return "permissionNotGranted";
    draft.putRole({ name, permissions });
    draft.advance();
    log.info("revoked a permission on range", { "role-name": name, ...rangeFields({ key, rangeEnd }) });
    return null;
  },
};

/** The store could not write its row, and a member whose store cannot write what the log says does not run. */
const isTooLong = (name: string) => Buffer.byteLength(name) > limits.authNameBytesMax;

const withoutRole = (user: User, role: string): User => ({
  ...user,
  roles: user.roles.filter((other) => other !== role),
});

const range = (key: Uint8Array | null | undefined, rangeEnd: Uint8Array | null | undefined) => ({
  key: key ?? new Uint8Array(),
  rangeEnd: rangeEnd ?? new Uint8Array(),
});

function rangeFields({ key, rangeEnd }: { key: Uint8Array; rangeEnd: Uint8Array }): Record<string, FieldValue> {
  return { key: Buffer.from(key).toString(), "range-end": Buffer.from(rangeEnd).toString() };
}

/** The base64 of the log's hash; null: it is none. Line breaks do not count, as in Go's decoder. */
function decodeHash(text: string): Uint8Array | null {
  const whole = text.replace(/[\r\n]/g, "");
  const digits = whole.endsWith("==") ? whole.slice(0, -2) : whole.replace(/=$/, "");
  // Looked at for what is wrong: a pattern of the whole text throws if that has some ten million characters.
  const isBase64 = whole.length % 4 === 0 && !/[^A-Za-z0-9+/]/.test(digits);
  return isBase64 ? Buffer.from(whole, "base64") : null;
}
