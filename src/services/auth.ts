// etcdserverpb.Auth. What may be done, and what it changes, is decided in src/auth where the entry is applied: a call
// only brings who asks. So nothing but a bad token is refused before.

import type { AuthRequest } from "../auth/auth.js";
import { toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { authService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

export function authHandlers(context: ServiceContext): HandlersOf<typeof authService> {
}
