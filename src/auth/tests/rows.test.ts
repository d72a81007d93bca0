// The bytes were read out of the database of an etcd 3.7.3 that had been given the same users and roles.

import { expect, test } from "vitest";
import { granted } from "../permissions.js";
import { compareTexts, decodeRole, decodeUser, encodeRole, encodeUser, readRows, revisionWrite } from "../rows.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => Buffer.from(text, "latin1");
const HASH = Buffer.from(`$2a$10$${"x".repeat(53)}`);

test("a user is etcd's bytes, the options also when they are empty", () => {
  const plain = { name: "root", password: HASH, roles: ["root"], noPassword: false };
  expect(hex(encodeUser(plain))).toBe(`0a04726f6f74123c${hex(HASH)}1a04726f6f742200`);
  const withoutPassword = { name: "np", password: Buffer.alloc(0), roles: [], noPassword: true };
  expect(hex(encodeUser(withoutPassword))).toBe("0a026e7022020801");
  const old = { name: "old", password: HASH, roles: ["a", "b"], noPassword: null };
  expect(hex(encodeUser(old))).toBe(`0a036f6c64123c${hex(HASH)}1a01611a0162`);
  for (const user of [plain, withoutPassword, old]) {
    const read = decodeUser(encodeUser(user));
    expect({ ...read, password: hex(read.password) }).toEqual({ ...user, password: hex(user.password) });
  }
});

test("a role is etcd's bytes, in the order in which etcd keeps permissions that were granted one by one", () => {
  const grants: [number, string, string][] = [
    [0, "b", "c"],
    [1, "a", "b"],
    [0, "a", ""],
    [2, "a", "c"],
    [0, "\0", "\0"],
  ];
  const permissions = grants
    .map(([type, key, end]) => ({ type, key: bytes(key), rangeEnd: bytes(end) }))
    .reduce(granted, [] as { type: number; key: Uint8Array; rangeEnd: Uint8Array }[]);
  const row = encodeRole({ name: "rr", permissions });
  expect(hex(row)).toBe("0a02727212061201001a0100120808011201611a01621203120161120808021201611a016312061201621a0163");
  expect(hex(encodeRole(decodeRole(row)))).toBe(hex(row));
});

test("a type that is none is kept as it came", () => {
  const role = { name: "r", permissions: [{ type: 7, key: bytes("k"), rangeEnd: bytes("") }] };
  expect(hex(encodeRole(role))).toBe("0a01721205080712016b");
  expect(decodeRole(encodeRole(role)).permissions[0]?.type).toBe(7);
});

test("rows of other tables do not count, and a damaged one is an error", () => {
  const row = (key: string, value: string) => ({ table: "auth" as const, key: bytes(key), value: bytes(value) });
  expect(readRows([])).toMatchObject({ enabled: false, revision: 1 });
  expect(readRows([{ ...row("a/authEnabled", "\x01"), table: "meta" }]).enabled).toBe(false);
  const { value } = revisionWrite(2 ** 40 + 3);
  const rows = readRows([row("a/authEnabled", "\x01"), { ...row("a/authRevision", ""), value: value ?? bytes("") }]);
  expect(rows).toMatchObject({ enabled: true, revision: 2 ** 40 + 3 });
  expect(() => readRows([row("a/authRevision", "\x01")])).toThrow(RangeError);
  expect([...readRows([row("u/u/x", "1"), row("r/u/x", "2")]).users.keys()]).toEqual(["u/x"]);
});

test("texts are ordered by their bytes", () => {
  const texts = [
    "",
    "B",
    "a",
    "a\0",
    "aa",
    "ab",
    "b",
    "\u00e4",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\u{10000}",
    "\u{1f600}",
  ];
  const byBytes = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect(byBytes).toEqual(texts);
  expect([...texts].reverse().sort(compareTexts)).toEqual(texts);
  // JavaScript's own order has the emoji before what etcd lists before it.
  expect([...texts].sort()).not.toEqual(texts);
});
