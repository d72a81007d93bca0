// The store of users and roles against a slow twin: lists that are searched from end to end, and rows that are written
// byte by byte without the code of the wire. Whatever happens, both refuse the same, count the same and hold the same
// rows; and a store that is restored from its rows goes on as if nothing had been.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Caller } from "../../native/binding.js";
import type { RequestFields, RequestName } from "../requests.js";
import { AuthStore } from "../store.js";
import { applyTo, Rows, recordingLog } from "./kit.js";

interface TwinUser {
  name: string;
  password: string;
  roles: string[];
  noPassword: boolean;
}
type TwinPermission = [type: number, key: string, end: string];

/** One step: a request, and who asks. */
interface Step {
  name: RequestName;
  request: Record<string, unknown>;
  caller: string | null;
}

class Twin {
  enabled: boolean | null = null;
  revision: number | null = null;
  users: TwinUser[] = [];
  roles: { name: string; permissions: TwinPermission[] }[] = [];

  /** The error's name, or "+n". */
  apply({ name, request, caller }: Step): string {
    if (name !== "authenticate" && this.enabled) {
      if (caller === null || caller === "") return "userEmpty";
      const asking = this.users.filter((user) => user.name === caller);
      if (asking.length === 0) return "userNotFound";
      if (!asking.some((user) => user.roles.includes("root"))) return "permissionDenied";
    }
    const before = this.revision ?? 1;
    const error = this.#change(name, request as never);
    return error ?? `+${(this.revision ?? 1) - before}`;
  }

  #advance(): null {
    this.revision = (this.revision ?? 1) + 1;
    return null;
  }

  #change(
    name: RequestName,
    q: Record<string, string> & { perm?: TwinPermission; noPassword?: boolean },
  ): string | null {
    const subject = q["user"] ?? q["name"] ?? "";
    const user = this.users.find((other) => other.name === subject);
    const role = this.roles.find(
      (other) => other.name === (name.startsWith("user") ? q["role"] : (q["role"] ?? subject)),
    );
    switch (name) {
      case "authEnable":
        if (this.enabled) return null;
        if (!this.users.some((other) => other.name === "root")) return "rootUserNotExist";
        if (!this.users.some((other) => other.name === "root" && other.roles.includes("root")))
          return "rootRoleNotExist";
        this.enabled = true;
        this.revision ??= 1;
        return null;
      case "authDisable":
        if (!this.enabled) return null;
        this.enabled = false;
        return this.#advance();
      case "authenticate":
        if (!this.enabled) return "authNotEnabled";
        if (!user) return "authFailed";
        return user.noPassword ? "noPasswordUser" : null;
      case "userAdd":
        if (subject === "") return "userEmpty";
        if (user) return "userAlreadyExist";
        this.users.push({
          name: subject,
          password: q.noPassword ? "" : (q["password"] ?? ""),
          roles: [],
          noPassword: q.noPassword ?? false,
        });
        return this.#advance();
      case "userDelete":
        if (this.enabled && subject === "root") return "invalidAuthMgmt";
        if (!user) return "userNotFound";
        this.users = this.users.filter((other) => other !== user);
        return this.#advance();
      case "userChangePassword":
        if (!user) return "userNotFound";
        user.password = user.noPassword ? "" : (q["password"] ?? "");
        return this.#advance();
      case "userGrantRole":
        if (!user) return "userNotFound";
        if (q["role"] !== "root" && !role) return "roleNotFound";
        if (user.roles.includes(q["role"] ?? "")) return null;
        user.roles = [...user.roles, q["role"] ?? ""].sort(byBytes);
        return this.#advance();
      case "userRevokeRole":
        if (this.enabled && subject === "root" && q["role"] === "root") return "invalidAuthMgmt";
        if (!user) return "userNotFound";
        if (!user.roles.includes(q["role"] ?? "")) return "roleNotGranted";
        user.roles = user.roles.filter((other) => other !== q["role"]);
        return this.#advance();
      case "roleAdd":
        if (subject === "") return "roleEmpty";
        if (role) return "roleAlreadyExist";
        this.roles.push({ name: subject, permissions: [] });
        return this.#advance();
      case "roleDelete":
        if (this.enabled && q["role"] === "root") return "invalidAuthMgmt";
        if (!role) return "roleNotFound";
        this.roles = this.roles.filter((other) => other !== role);
        for (const other of this.users) other.roles = other.roles.filter((of) => of !== role.name);
        return this.#advance();
      case "roleGrantPermission": {
        const [, key, end] = q.perm ?? [0, "", ""];
        if (!q.perm) return "permissionNotGiven";
        if (key === "" || (end !== "" && end !== "\0" && byBytes(key, end) >= 0)) return "invalidAuthMgmt";
        if (!role) return "roleNotFound";
        const known = role.permissions.findIndex((other) => other[1] === key && other[2] === end);
        if (known >= 0) role.permissions[known] = q.perm;
        else role.permissions.push(q.perm);
        // The sort is stable: those of one key stay as they came.
        role.permissions.sort((a, b) => byBytes(a[1], b[1]));
        return this.#advance();
      }
      case "roleRevokePermission": {
        if (!role) return "roleNotFound";
        const left = role.permissions.filter((other) => other[1] !== q["key"] || other[2] !== q["end"]);
        if (left.length === role.permissions.length) return "permissionNotGranted";
        role.permissions = left;
        return this.#advance();
      }
    }
  }

  dump(): string[] {
    const rows: [string, string][] = [];
    if (this.enabled !== null) rows.push(["a/authEnabled", this.enabled ? "01" : "00"]);
    if (this.revision !== null) rows.push(["a/authRevision", this.revision.toString(16).padStart(16, "0")]);
    for (const { name, password, roles, noPassword } of this.users) {
      const options = noPassword ? "22020801" : "2200";
      const fields = [
        field(1, name),
        ...(password === "" ? [] : [field(2, password)]),
        ...roles.map((role) => field(3, role)),
      ];
      rows.push([`u/${name}`, `${fields.join("")}${options}`]);
    }
    for (const { name, permissions } of this.roles) {
      const list = permissions.map(([type, key, end]) => {
        const parts = [
          type === 0 ? "" : `080${type}`,
          key === "" ? "" : field(2, key),
          end === "" ? "" : field(3, end),
        ];
        return field(2, Buffer.from(parts.join(""), "hex").toString("latin1"), "latin1");
      });
      rows.push([`r/${name}`, `${field(1, name)}${list.join("")}`]);
    }
    return rows.map(([key, value]) => `${key} = ${value}`).sort();
  }
}

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** A field with a length, which is below 128 here. */
function field(number: number, text: string, encoding: BufferEncoding = "utf8"): string {
  const bytes = Buffer.from(text, encoding);
  return Buffer.concat([Buffer.of(number * 8 + 2, bytes.length), bytes]).toString("hex");
}

/** The request as the store gets it. */
function sent({ name, request }: Step): RequestFields<RequestName> {
  const { perm, noPassword, password, key, end, ...rest } = request as Record<string, string> & {
    perm?: TwinPermission;
  };
  return {
    ...rest,
    ...(name === "authenticate" ? { simpleToken: "T" } : {}),
    ...(password === undefined ? {} : { hashedPassword: Buffer.from(password).toString("base64") }),
    ...(noPassword === undefined ? {} : { options: { noPassword } }),
    ...(key === undefined ? {} : { key: Buffer.from(key), rangeEnd: Buffer.from(end ?? "") }),
    ...(perm === undefined
      ? {}
      : { perm: { permType: perm[0], key: Buffer.from(perm[1]), rangeEnd: Buffer.from(perm[2]) } }),
  } as RequestFields<RequestName>;
}

const userNames = fc.constantFrom("root", "root", "u", "\u{1f600}", "\ufffd", "");
const roleNames = fc.constantFrom("root", "r", "s", "\u{1f600}", "");
const keys = fc.constantFrom("", "a", "b", "c", "\0", "a\0");
const ends = fc.constantFrom("", "a", "b", "c", "\0");
const passwords = fc.constantFrom("", "p", "q");
const permissions = fc.option(fc.tuple(fc.integer({ min: 0, max: 3 }), keys, ends), { nil: undefined, freq: 20 });

const requests: Record<RequestName, fc.Arbitrary<Record<string, unknown>>> = {
  authEnable: fc.constant({}),
  authDisable: fc.constant({}),
  authenticate: fc.record({ name: userNames }),
  userAdd: fc.record({ name: userNames, password: passwords, noPassword: fc.boolean() }),
  userDelete: fc.record({ name: userNames }),
  userChangePassword: fc.record({ name: userNames, password: passwords }),
  userGrantRole: fc.record({ user: userNames, role: roleNames }),
  userRevokeRole: fc.record({ name: userNames, role: roleNames }),
  roleAdd: fc.record({ name: roleNames }),
  roleDelete: fc.record({ role: roleNames }),
  roleGrantPermission: fc.record({ name: roleNames, perm: permissions }),
  roleRevokePermission: fc.record({ role: roleNames, key: keys, end: ends }),
};

/** Those that build something up come more often than those that tear it down. */
const weights: Partial<Record<RequestName, number>> = {
  userAdd: 4,
  userGrantRole: 6,
  roleAdd: 4,
  roleGrantPermission: 8,
  authEnable: 3,
};

const steps = fc.oneof(
  ...(Object.keys(requests) as RequestName[]).map((name) => ({
    weight: weights[name] ?? 1,
    arbitrary: fc.record({
      name: fc.constant(name),
      request: requests[name],
      caller: fc.constantFrom("root", "root", "root", "u", "gone", "", null),
    }),
  })),
);

/** What turns auth on: else few histories would come to that. */
const protection: Step[] = [
  { name: "userAdd", request: { name: "root", password: "p", noPassword: false }, caller: null },
  { name: "userGrantRole", request: { user: "root", role: "root" }, caller: null },
  { name: "authEnable", request: {}, caller: null },
];

const histories = fc
  .tuple(fc.boolean(), fc.array(steps, { minLength: 20, maxLength: 120 }))
  .map(([isProtected, rest]) => (isProtected ? [...protection, ...rest] : rest));

const callerOf = (name: string | null): Caller => (name === null ? null : { user: name, revision: 1 });

test("the store is its slow twin, and what its rows restore is the store", () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(histories, (history) => {
      const { log } = recordingLog();
      const [twin, rows] = [new Twin(), new Rows()];
      let store = new AuthStore([], log);
      history.forEach((step, at) => {
        const before = store.revision;
        const { error, writes, tokens } = applyTo(store, step.name, sent(step), callerOf(step.caller));
        rows.write(writes);
        const said = error ?? `+${store.revision - before}`;
        expect(said, JSON.stringify(step)).toBe(twin.apply(step));
        if (error !== null) expect([writes.length, tokens.kind]).toEqual([0, "none"]);
        expect(rows.dump()).toEqual(twin.dump());
        seen.set(`${step.name} ${said}`, (seen.get(`${step.name} ${said}`) ?? 0) + 1);
        // A restart in the middle.
        if (at % 7 === 3) store = new AuthStore(rows.list(), log);
      });
      const restored = new AuthStore(rows.list(), log);
      expect([restored.enabled, restored.revision]).toEqual([store.enabled, store.revision]);
      expect([restored.userNames(), restored.roleNames()]).toEqual([store.userNames(), store.roleNames()]);
      expect(restored.userNames()).toEqual(twin.users.map(({ name }) => name).sort(byBytes));
    }),
    { numRuns: 150 },
  );
  // Every change was made and refused: histories in which nothing happens would prove nothing.
  for (const name of Object.keys(requests)) {
    expect([...seen.keys()].filter((key) => key.startsWith(`${name} `)).length, name).toBeGreaterThan(1);
  }
});
