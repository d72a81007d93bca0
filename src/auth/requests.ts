// Changes of users and roles on their way through the log: what they are called, and how they are encoded.

import { Buffer } from "node:buffer";
import type { Caller } from "../native/binding.js";
import { etcdserverpb } from "../proto/index.js";
import type { ControlCommand } from "../replica/commands.js";

const pb = etcdserverpb;

/** The requests that are applied, by the names of their calls. A login has the request that etcd has in its log. */
const CODECS = {
  authEnable: pb.AuthEnableRequest,
  authDisable: pb.AuthDisableRequest,
  authenticate: pb.InternalAuthenticateRequest,
  userAdd: pb.AuthUserAddRequest,
  userDelete: pb.AuthUserDeleteRequest,
  userChangePassword: pb.AuthUserChangePasswordRequest,
  userGrantRole: pb.AuthUserGrantRoleRequest,
  userRevokeRole: pb.AuthUserRevokeRoleRequest,
  roleAdd: pb.AuthRoleAddRequest,
  roleDelete: pb.AuthRoleDeleteRequest,
  roleGrantPermission: pb.AuthRoleGrantPermissionRequest,
  roleRevokePermission: pb.AuthRoleRevokePermissionRequest,
} as const;

type Codecs = typeof CODECS;
export type RequestName = keyof Codecs;

/** A request as it is given: fields may be missing. */
export type RequestFields<K extends RequestName> = Parameters<Codecs[K]["encode"]>[0];
/** A request as it was decoded. */
export type Request<K extends RequestName> = ReturnType<Codecs[K]["decode"]>;
/** One request of any name, with its name. */
export type NamedRequest = { [K in RequestName]: { readonly name: K; readonly request: Request<K> } }[RequestName];

export type AuthCommand = Extract<ControlCommand, { type: "auth" }>;

export function encodeCommand<K extends RequestName>(name: K, request: RequestFields<K>, caller: Caller): AuthCommand {
  const encode = CODECS[name].encode as (request: RequestFields<K>) => { finish(): Uint8Array };
  return { type: "auth", request: name, body: Buffer.from(encode(request).finish()).toString("base64"), caller };
}

/** Throws if the log was written by a version that knows more requests. */
export function decodeCommand({ request, body }: AuthCommand): NamedRequest {
  if (!Object.hasOwn(CODECS, request)) {
    throw new Error(`the log holds the auth request ${request}, which this version of netcd cannot apply`);
  }
  const name = request as RequestName;
  return { name, request: CODECS[name].decode(Buffer.from(body, "base64")) } as NamedRequest;
}
