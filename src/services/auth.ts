// etcdserverpb.Auth. What may be done, and what it changes, is decided in src/auth where the entry is applied: a call
// only brings who asks, so nothing but a bad token is refused before.

import type { AuthChanges } from "../auth/auth.js";
import type { Caller } from "../native/binding.js";
import { toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { authService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

const RESOLVED = { auth: "resolved" } as const;

export function authHandlers(context: ServiceContext): HandlersOf<typeof authService> {
  const { auth } = context;
  const header = () => responseHeader(context, context.store().revision);
  /** A call that goes through the log, and whose answer is only that it did. */
  const change = <K extends keyof AuthChanges>(name: K) =>
    unary(context, RESOLVED, async (request: AuthChanges[K], caller: Caller) => {
      await auth.change(name, request, caller);
      return { header: header() };
    });
  return {
    authEnable: change("authEnable"),
    authDisable: change("authDisable"),
    authStatus: unary(context, RESOLVED, async () => {
      const { enabled, revision } = await auth.status();
      return { header: header(), enabled, authRevision: toUint64(revision) };
    }),
    // Clients renew an expired token with it in their metadata still.
    authenticate: unary(context, { auth: "ignored" }, async ({ name, password }, _caller, call) => {
      const token = await auth.authenticate(name, password, call.getPeer());
      return { header: header(), token };
    }),
    userAdd: change("userAdd"),
    userGet: unary(context, RESOLVED, async ({ name }, caller) => {
      const roles = await auth.userGet(name, caller);
      return { header: header(), roles };
    }),
    userList: unary(context, RESOLVED, async (_request, caller) => {
      const users = await auth.userList(caller);
      return { header: header(), users };
    }),
    userDelete: change("userDelete"),
    userChangePassword: change("userChangePassword"),
    userGrantRole: change("userGrantRole"),
    userRevokeRole: change("userRevokeRole"),
    roleAdd: change("roleAdd"),
    roleGet: unary(context, RESOLVED, async ({ role }, caller) => {
      const perm = await auth.roleGet(role, caller);
      return { header: header(), perm };
    }),
    roleList: unary(context, RESOLVED, async (_request, caller) => {
      const roles = await auth.roleList(caller);
      return { header: header(), roles };
    }),
    roleDelete: change("roleDelete"),
    roleGrantPermission: change("roleGrantPermission"),
    roleRevokePermission: change("roleRevokePermission"),
  };
}
