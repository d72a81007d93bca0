// Each change of users and roles: its checks in etcd's order, what it does, what it costs in revisions, and its line in
// the log.

import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Caller } from "../../native/binding.js";
import { authpb } from "../../proto/index.js";
import { decodeCommand, type RequestFields, type RequestName } from "../requests.js";
import { AuthStore } from "../store.js";
import { applyTo, Rows, recordingLog } from "./kit.js";

const bytes = (text: string) => Buffer.from(text, "latin1");
const base64 = (text: string) => Buffer.from(text).toString("base64");
const perm = (key: string, rangeEnd = "", permType = 0) => ({ key: bytes(key), rangeEnd: bytes(rangeEnd), permType });
const root = { user: "root", revision: 1 };

let rows: Rows;
let store: AuthStore;
let lines: string[];

beforeEach(() => {
  const { log, lines: written } = recordingLog();
  lines = written;
  rows = new Rows();
  store = new AuthStore([], log);
});

/** Applies; "+n" is what it did to the revision, else the error's name. */
function apply<K extends RequestName>(name: K, request: RequestFields<K>, caller: Caller = root): string {
  const before = store.revision;
  const { error, writes } = applyTo(store, name, request, caller);
  rows.write(writes);
  if (error !== null) expect(writes).toEqual([]);
  return error ?? `+${store.revision - before}`;
}

function rootIsThere(): void {
  expect(apply("userAdd", { name: "root", hashedPassword: base64("h") })).toBe("+1");
  expect(apply("userGrantRole", { user: "root", role: "root" })).toBe("+1");
}

describe("users", () => {
  it("are added once, and not without a name", () => {
    expect(apply("userAdd", {})).toBe("userEmpty");
    expect(apply("userAdd", { name: "u", hashedPassword: base64("hash") })).toBe("+1");
    expect(apply("userAdd", { name: "u" })).toBe("userAlreadyExist");
    expect(store.user("u")).toMatchObject({ roles: [], noPassword: false });
    expect(Buffer.from(store.user("u")?.password ?? "").toString()).toBe("hash");
    expect(lines).toEqual(['info added a user {"user-name":"u"}']);
  });

  it("have a name, as roles have, of which the store can make a key", () => {
    const longest = `é${"n".repeat(507)}`;
    expect(apply("userAdd", { name: longest })).toBe("+1");
    expect(apply("roleAdd", { name: longest })).toBe("+1");
    expect(Math.max(...rows.list().map(({ key }) => key.length))).toBe(511);
    expect(apply("userAdd", { name: `é${longest}` })).toBe("requestTooLarge");
    expect(apply("roleAdd", { name: `n${longest}` })).toBe("requestTooLarge");
  });

  it("have no password if they are to have none, whatever came with it", () => {
    const request = { name: "np", password: "x", hashedPassword: base64("h"), options: { noPassword: true } };
    expect(apply("userAdd", request)).toBe("+1");
    expect(rows.dump()).toContain("u/np = 0a026e7022020801");
    expect(apply("userChangePassword", { name: "np", hashedPassword: base64("h") })).toBe("+1");
    expect(rows.dump()).toContain("u/np = 0a026e7022020801");
  });

  it("are not added, and keep their password, if what should be its hash is none", () => {
    const long = "A".repeat(16_000_000);
    for (const bad of ["a", "====", "aGFzaA", "aGFz aA==", "a-b_", "A===", "==", "=AAA", `${long}!AAA`]) {
      expect(apply("userAdd", { name: "u", hashedPassword: bad }), bad.slice(-5)).toBe("noPasswordUser");
    }
    expect(apply("userAdd", { name: "u", hashedPassword: "aGFz\r\naA==" })).toBe("+1");
    expect(apply("userChangePassword", { name: "u", hashedPassword: "a" })).toBe("noPasswordUser");
    expect(Buffer.from(store.user("u")?.password ?? "").toString()).toBe("hash");
    expect(apply("userChangePassword", { name: "u" })).toBe("+1");
    expect(store.user("u")?.password).toHaveLength(0);
  });

  it("change their password and keep the rest", () => {
    expect(apply("userChangePassword", { name: "u" })).toBe("userNotFound");
    rootIsThere();
    lines.length = 0;
    const { tokens } = applyTo(store, "userChangePassword", { name: "root", hashedPassword: base64("new") });
    expect(tokens).toEqual({ kind: "forgetUser", user: "root" });
    expect(store.user("root")).toMatchObject({ roles: ["root"], noPassword: false });
    expect(lines).toEqual(['info changed a password of a user {"user-name":"root","user-roles":["root"]}']);
  });

  it("are deleted, root only while auth is off", () => {
    rootIsThere();
    expect(apply("userDelete", { name: "u" })).toBe("userNotFound");
    expect(apply("userDelete", { name: "root" })).toBe("+1");
    rootIsThere();
    expect(apply("authEnable", {})).toBe("+0");
    lines.length = 0;
    expect(apply("userDelete", { name: "root" })).toBe("invalidAuthMgmt");
    expect(lines).toEqual([`error cannot delete 'root' user {"user-name":"root"}`]);
  });

  it("are granted roles, each once, in order of bytes", () => {
    expect(apply("userGrantRole", { user: "u", role: "r" })).toBe("userNotFound");
    expect(apply("userAdd", { name: "u" })).toBe("+1");
    expect(apply("userGrantRole", { user: "u", role: "r" })).toBe("roleNotFound");
    expect(apply("userGrantRole", { user: "u", role: "root" }), "the role root need not be there").toBe("+1");
    for (const name of ["r", "\u{1f600}", "\ufffd"]) {
      expect(apply("roleAdd", { name })).toBe("+1");
      expect(apply("userGrantRole", { user: "u", role: name })).toBe("+1");
    }
    expect(store.user("u")?.roles).toEqual(["r", "root", "\ufffd", "\u{1f600}"]);
    lines.length = 0;
    expect(apply("userGrantRole", { user: "u", role: "r" })).toBe("+0");
    expect(lines[0]).toMatch(/^warn ignored grant role request to a user .*"duplicate-role-name":"r"\}$/);
  });

  it("lose roles that they have, also such as there are no more", () => {
    rootIsThere();
    expect(apply("userRevokeRole", { name: "u", role: "r" })).toBe("userNotFound");
    expect(apply("userRevokeRole", { name: "root", role: "r" })).toBe("roleNotGranted");
    expect(apply("authEnable", {})).toBe("+0");
    lines.length = 0;
    expect(apply("userRevokeRole", { name: "root", role: "root" })).toBe("invalidAuthMgmt");
    expect(lines).toEqual([`error 'root' user cannot revoke 'root' role {"user-name":"root","role-name":"root"}`]);
    expect(apply("authDisable", {})).toBe("+1");
    lines.length = 0;
    expect(apply("userRevokeRole", { name: "root", role: "root" })).toBe("+1");
    expect(lines).toEqual([
      'info revoked a role from a user {"user-name":"root","old-user-roles":["root"],"new-user-roles":[],"revoked-role-name":"root"}',
    ]);
  });
});

describe("roles", () => {
  it("are added once, and not without a name", () => {
    expect(apply("roleAdd", {})).toBe("roleEmpty");
    expect(apply("roleAdd", { name: "r" })).toBe("+1");
    expect(apply("roleAdd", { name: "r" })).toBe("roleAlreadyExist");
    expect(apply("roleAdd", { name: "root" })).toBe("+1");
    expect(lines[0]).toBe('info created a role {"role-name":"r"}');
  });

  it("go from all who have them, in one revision; root's only while auth is off", () => {
    rootIsThere();
    expect(apply("roleDelete", { role: "r" })).toBe("roleNotFound");
    apply("roleAdd", { name: "r" });
    for (const name of ["a", "b", "c"]) apply("userAdd", { name });
    for (const user of ["a", "c", "root"]) apply("userGrantRole", { user, role: "r" });
    const { writes } = applyTo(store, "roleDelete", { role: "r" }, root);
    expect(writes.map(({ key }) => Buffer.from(key).toString())).toEqual([
      "r/r",
      "u/root",
      "u/a",
      "u/c",
      "a/authRevision",
    ]);
    expect(["a", "b", "c", "root"].map((name) => store.user(name)?.roles)).toEqual([[], [], [], ["root"]]);
    apply("roleAdd", { name: "root" });
    apply("authEnable", {});
    lines.length = 0;
    expect(apply("roleDelete", { role: "root" })).toBe("invalidAuthMgmt");
    expect(lines).toEqual([`error cannot delete 'root' role {"role-name":"root"}`]);
    apply("authDisable", {});
    expect(apply("roleDelete", { role: "root" })).toBe("+1");
    expect(store.user("root")?.roles).toEqual([]);
  });

  it("go without a look at those who have other ones", () => {
    for (const name of ["team", "guest"]) apply("roleAdd", { name });
    for (const name of ["a", "b"]) apply("userAdd", { name });
    apply("userGrantRole", { user: "a", role: "guest" });
    apply("userGrantRole", { user: "b", role: "team" });
    const decode = vi.spyOn(authpb.User, "decode");
    expect(apply("roleDelete", { role: "team" })).toBe("+1");
    expect(decode).toHaveBeenCalledTimes(1);
    decode.mockRestore();
    expect(["a", "b"].map((name) => store.user(name)?.roles)).toEqual([["guest"], []]);
  });

  it("are granted ranges that are some: checked before the role is looked for", () => {
    expect(apply("roleGrantPermission", { name: "r" })).toBe("permissionNotGiven");
    for (const [key, end] of [
      ["", ""],
      ["", "\0"],
      ["b", "a"],
      ["a", "a"],
      ["ab", "a"],
      ["", "b"],
    ] as const) {
      expect(apply("roleGrantPermission", { name: "r", perm: perm(key, end) }), `${key} ${end}`).toBe(
        "invalidAuthMgmt",
      );
    }
    expect(apply("roleGrantPermission", { name: "r", perm: perm("a", "b") })).toBe("roleNotFound");
    apply("roleAdd", { name: "r" });
    for (const [key, end] of [
      ["a", "b"],
      ["a", ""],
      ["a", "\0"],
      ["\0", "\0"],
      ["a", "a\0"],
      ["\xff", "\xff\x01"],
    ] as const) {
      expect(apply("roleGrantPermission", { name: "r", perm: perm(key, end) }), `${key} ${end}`).toBe("+1");
    }
    expect(store.role("r")?.permissions).toHaveLength(6);
  });

  it("count a grant that changes nothing, and log it as etcd does", () => {
    apply("roleAdd", { name: "r" });
    lines.length = 0;
    for (const type of [0, 1, 2, 7]) {
      expect(apply("roleGrantPermission", { name: "r", perm: perm("a", "b", type) })).toBe("+1");
    }
    expect(apply("roleGrantPermission", { name: "r", perm: perm("a", "b", 7) })).toBe("+1");
    expect(lines.map((line) => /"permission-name":"(\w+)"/.exec(line)?.[1])).toEqual([
      "READ",
      "WRITE",
      "READWRITE",
      "7",
      "7",
    ]);
    expect(lines[0]).toContain('info granted/updated a permission to a user {"user-name":"r"');
    expect(lines[0]).toContain('"key":"a","range-end":"b"');
  });

  it("have the permission on exactly the same range replaced, wherever it stands among those of its key", () => {
    apply("roleAdd", { name: "r" });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "b", 2) });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "c", 2) });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "c", 0) });
    const list = store.role("r")?.permissions.map(({ type, rangeEnd }) => `${type} ${Buffer.from(rangeEnd)}`);
    // Etcd would have a second permission on [a, c), and writing would still be allowed.
    expect(list).toEqual(["2 b", "0 c"]);
  });

  it("lose the permission on exactly that range", () => {
    expect(apply("roleRevokePermission", { role: "r" })).toBe("roleNotFound");
    apply("roleAdd", { name: "r" });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "c", 2) });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "", 2) });
    for (const [key, rangeEnd] of [
      ["a", "b"],
      ["b", "c"],
      ["", ""],
    ] as const) {
      const request = { role: "r", key: bytes(key), rangeEnd: bytes(rangeEnd) };
      expect(apply("roleRevokePermission", request)).toBe("permissionNotGranted");
    }
    lines.length = 0;
    expect(apply("roleRevokePermission", { role: "r", key: bytes("a"), rangeEnd: bytes("c") })).toBe("+1");
    expect(lines).toEqual(['info revoked a permission on range {"role-name":"r","key":"a","range-end":"c"}']);
    expect(store.role("r")?.permissions).toHaveLength(1);
  });

  it("lose all entries of that range, of which a store that etcd wrote may have several", () => {
    // [a, c) twice, as etcd's re-grant leaves it.
    const value = Buffer.from("0a01721208080212016" + "11a01631206" + "1201611a0163", "hex");
    store.replace([{ table: "auth", key: Buffer.from("r/r"), value }]);
    expect(store.role("r")?.permissions.map(({ type }) => type)).toEqual([2, 0]);
    expect(apply("roleGrantPermission", { name: "r", perm: perm("a", "c", 1) })).toBe("+1");
    expect(store.role("r")?.permissions.map(({ type }) => type)).toEqual([1, 1]);
    expect(apply("roleRevokePermission", { role: "r", key: bytes("a"), rangeEnd: bytes("c") })).toBe("+1");
    expect(store.role("r")?.permissions).toEqual([]);
  });
});

describe("auth", () => {
  it("is enabled when root is there and has its role, and once", () => {
    expect(apply("authEnable", {}, null)).toBe("rootUserNotExist");
    apply("userAdd", { name: "root" });
    expect(apply("authEnable", {}, null)).toBe("rootRoleNotExist");
    apply("userGrantRole", { user: "root", role: "root" });
    lines.length = 0;
    expect(apply("authEnable", {}, null)).toBe("+0");
    expect(rows.dump()).toEqual(expect.arrayContaining(["a/authEnabled = 01", "a/authRevision = 0000000000000003"]));
    expect(apply("authEnable", {})).toBe("+0");
    expect(lines).toEqual([
      "info enabled authentication {}",
      "info authentication is already enabled; ignored auth enable request {}",
    ]);
    expect(apply("authEnable", {}, null), "anybody while it is on").toBe("userEmpty");
  });

  it("is disabled with all tokens, and not twice", () => {
    rootIsThere();
    expect(apply("authDisable", {}, null)).toBe("+0");
    apply("authEnable", {});
    lines.length = 0;
    const { tokens } = applyTo(store, "authDisable", {}, root);
    expect(tokens).toEqual({ kind: "forgetAll" });
    expect(store.enabled).toBe(false);
    expect(applyTo(store, "authDisable", {}, root).tokens).toEqual({ kind: "none" });
    expect(lines).toEqual(["info disabled authentication {}"]);
    expect(store.revision).toBe(4);
  });

  it("asks who changes anything, by name alone and before all else", () => {
    rootIsThere();
    apply("userAdd", { name: "u" });
    apply("authEnable", {});
    const changes: [RequestName, object][] = [
      ["authEnable", {}],
      ["userAdd", {}],
      ["userDelete", { name: "root" }],
      ["userChangePassword", { name: "u" }],
      ["userGrantRole", {}],
      ["userRevokeRole", {}],
      ["roleAdd", {}],
      ["roleDelete", {}],
      ["roleGrantPermission", {}],
      ["roleRevokePermission", {}],
      ["authDisable", {}],
    ];
    for (const [name, request] of changes) {
      for (const [caller, error] of [
        [null, "userEmpty"],
        [{ user: "", revision: 9 }, "userEmpty"],
        [{ user: "gone", revision: 9 }, "userNotFound"],
        [{ user: "u", revision: 9 }, "permissionDenied"],
      ] as const) {
        expect(apply(name, request as never, caller), `${name} ${error}`).toBe(error);
      }
    }
    // A change that another one overtook in the log counts: for the revision the edge asks.
    expect(apply("authDisable", {}, { user: "root", revision: 1 })).toBe("+1");
    expect(store.enabled).toBe(false);
    expect(apply("roleAdd", { name: "r" }, null), "while it is off anybody may").toBe("+1");
  });

  it("takes a login of who has a password, and no other", () => {
    const login = (name: string) =>
      applyTo(store, "authenticate", { name, simpleToken: "T" }, { user: name, revision: 3 });
    rootIsThere();
    expect(login("root").error).toBe("authNotEnabled");
    apply("userAdd", { name: "np", options: { noPassword: true } });
    apply("authEnable", {});
    expect(login("np").error).toBe("noPasswordUser");
    expect(login("gone").error).toBe("authFailed");
    expect(login("").error).toBe("authFailed");
    expect(login("root")).toEqual({
      error: null,
      writes: [],
      tokens: { kind: "login", user: "root", prefix: "T", revision: 4 },
    });
    expect(store.revision).toBe(4);
  });
});

describe("answers", () => {
  beforeEach(() => {
    rootIsThere();
    for (const name of ["u", "v"]) apply("userAdd", { name });
    for (const name of ["r", "s"]) apply("roleAdd", { name });
    apply("userGrantRole", { user: "u", role: "r" });
    apply("roleGrantPermission", { name: "r", perm: perm("a", "b", 1) });
  });

  it("are given about oneself and one's own roles", () => {
    apply("authEnable", {});
    const u = { user: "u", revision: 1 };
    expect(store.userRoles("u", u)).toEqual(["r"]);
    expect(() => store.userRoles("v", u)).toThrow("permission denied");
    expect(() => store.userRoles("v", null)).toThrow("user name is empty");
    expect(() => store.userRoles("v", { user: "gone", revision: 1 })).toThrow("user name not found");
    expect(() => store.userRoles("gone", root)).toThrow("user name not found");
    expect(store.userRoles("v", root)).toEqual([]);
    expect(store.rolePermissions("r", u).map(({ type, key }) => `${type} ${Buffer.from(key)}`)).toEqual(["1 a"]);
    expect(() => store.rolePermissions("s", u)).toThrow("permission denied");
    expect(() => store.rolePermissions("s", null)).toThrow("user name is empty");
    expect(() => store.rolePermissions("root", root)).toThrow("role name not found");
    expect(store.userNames()).toEqual(["root", "u", "v"]);
    expect(store.roleNames()).toEqual(["r", "s"]);
  });

  it("say of role root that it has everything, whatever it was granted", () => {
    expect(() => store.rolePermissions("root", null)).toThrow("role name not found");
    apply("roleAdd", { name: "root" });
    apply("roleGrantPermission", { name: "root", perm: perm("k") });
    expect(store.rolePermissions("root", null)).toEqual([
      { type: 2, key: new Uint8Array(), rangeEnd: Uint8Array.of(0) },
    ]);
  });
});

it("a request of a later version stops the member rather than be skipped", () => {
  for (const request of ["userRename", "toString"]) {
    expect(() => decodeCommand({ type: "auth", request, body: "", caller: null })).toThrow(
      `the auth request ${request}`,
    );
  }
});
