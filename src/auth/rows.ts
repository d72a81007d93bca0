// The rows of users and roles, byte for byte etcd's, so that members and snapshots have the same of them.

import { Buffer } from "node:buffer";
import type { MetaRow, MetaWrite } from "../native/binding.js";
import { authpb } from "../proto/index.js";

/** The user and the role that may everything. */
export const ROOT = "root";

/** The auth revision of a store in which nothing was ever changed. */
export const FIRST_REVISION = 1;

/** What is a type beyond the enum's comes from clients too, is kept, and grants nothing. */
export const PermissionType = { Read: 0, Write: 1, ReadWrite: 2 } as const;

/** The name of a type as etcd logs it. */
export function permissionTypeName(type: number): string {
  return ["READ", "WRITE", "READWRITE"][type] ?? String(type);
}

export interface User {
  readonly name: string;
  /** The 60 characters of bcrypt; empty: nobody can log in. */
  readonly password: Uint8Array;
  /** Ascending by bytes. */
  readonly roles: readonly string[];
  /** null in rows of old versions only, where it means false. */
  readonly noPassword: boolean | null;
}

export interface Permission {
  readonly type: number;
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

export interface Role {
  readonly name: string;
  /** Ascending by key. */
  readonly permissions: readonly Permission[];
}

const USER = "u/";
const ROLE = "r/";
export const ENABLED_KEY = Buffer.from("a/authEnabled");
export const REVISION_KEY = Buffer.from("a/authRevision");

/** Fields that hold their default are left out of the bytes, save for the options, which etcd writes even when empty. */
export function encodeUser({ name, password, roles, noPassword }: User): Uint8Array {
  return authpb.User.encode({
    ...(name === "" ? {} : { name: Buffer.from(name) }),
    ...(password.length === 0 ? {} : { password }),
    roles: [...roles],
    ...(noPassword === null ? {} : { options: noPassword ? { noPassword } : {} }),
  }).finish();
}

export function decodeUser(bytes: Uint8Array): User {
  const { name, password, roles, options } = authpb.User.decode(bytes);
  return { name: text(name), password, roles, noPassword: options ? (options.noPassword ?? false) : null };
}

export function encodeRole({ name, permissions }: Role): Uint8Array {
  const keyPermission = permissions.map(({ type, key, rangeEnd }) => ({
    ...(type === PermissionType.Read ? {} : { permType: type as authpb.Permission.Type }),
    ...(key.length === 0 ? {} : { key }),
    ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
  }));
  return authpb.Role.encode({ ...(name === "" ? {} : { name: Buffer.from(name) }), keyPermission }).finish();
}

export function decodeRole(bytes: Uint8Array): Role {
  const { name, keyPermission } = authpb.Role.decode(bytes);
  const permissions = keyPermission.map(({ permType, key, rangeEnd }) => ({
    type: permType ?? PermissionType.Read,
    key: key ?? new Uint8Array(),
    rangeEnd: rangeEnd ?? new Uint8Array(),
  }));
  return { name: text(name), permissions };
}

export const userWrite = (name: string, value: Uint8Array | null): MetaWrite => write(`${USER}${name}`, value);
export const roleWrite = (name: string, value: Uint8Array | null): MetaWrite => write(`${ROLE}${name}`, value);

export function enabledWrite(enabled: boolean): MetaWrite {
  return { table: "auth", key: ENABLED_KEY, value: Uint8Array.of(enabled ? 1 : 0) };
}

export function revisionWrite(revision: number): MetaWrite {
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(revision));
  return { table: "auth", key: REVISION_KEY, value };
}

function write(key: string, value: Uint8Array | null): MetaWrite {
  return { table: "auth", key: Buffer.from(key), value };
}

/** All that the rows hold; the encoded values are copies, which nobody else's memory hangs on. */
export interface AuthRows {
  enabled: boolean;
  revision: number;
  readonly users: Map<string, Uint8Array>;
  readonly roles: Map<string, Uint8Array>;
}

/** Reads the rows of users and roles among all. Throws RangeError if one is damaged. */
export function readRows(rows: readonly MetaRow[]): AuthRows {
  const found: AuthRows = { enabled: false, revision: FIRST_REVISION, users: new Map(), roles: new Map() };
  for (const { table, key, value } of rows) {
    if (table !== "auth") continue;
    const name = text(key);
    const row = Buffer.from(value);
    if (name.startsWith(USER)) found.users.set(name.slice(USER.length), row);
    else if (name.startsWith(ROLE)) found.roles.set(name.slice(ROLE.length), row);
    else if (ENABLED_KEY.equals(key)) found.enabled = row.readUInt8() === 1;
    else if (REVISION_KEY.equals(key)) found.revision = Number(row.readBigUInt64BE());
  }
  return found;
}

const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();

/** The order of two texts by their bytes in UTF-8. JavaScript's own is by UTF-16, which puts surrogates elsewhere. */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return byCodePoint(x) - byCodePoint(y);
  }
  return a.length - b.length;
}

/** A unit of UTF-16 in the order of code points: what a surrogate stands for is above all that needs none. */
function byCodePoint(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
