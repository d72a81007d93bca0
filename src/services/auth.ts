// etcdserverpb.Auth, as far as it is true while there are neither users nor roles: authentication is off, clients that
// come with a user name are told so and go on, and lists are empty. What would change any of it is in missing.ts.

import { rpcError } from "../errors.js";
import { toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { authService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

type Handlers = Pick<
  HandlersOf<typeof authService>,
  "authStatus" | "authDisable" | "authenticate" | "userGet" | "userList" | "roleGet" | "roleList"
>;

/** The auth revision of a store in which nothing was ever changed. */
const FIRST_AUTH_REVISION = 1n;

export function authHandlers(context: ServiceContext): Handlers {
  const header = () => responseHeader(context, context.store().revision);
  return {
    authStatus: unary(context, () => ({ header: header(), authRevision: toUint64(FIRST_AUTH_REVISION) })),
    // It is off: disabling it again changes nothing.
    authDisable: unary(context, () => ({ header: header() })),
    authenticate: unary(context, () => {
      throw rpcError("authNotEnabled");
    }),
    userGet: unary(context, () => {
      throw rpcError("userNotFound");
    }),
    userList: unary(context, () => ({ header: header() })),
    roleGet: unary(context, () => {
      throw rpcError("roleNotFound");
    }),
    roleList: unary(context, () => ({ header: header() })),
  };
}
