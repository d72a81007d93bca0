// Changes of users and roles through the log, what is in the log of them, answers, and stores of other members.

import { describe, expect, it } from "vitest";
import { encodeCommand } from "../requests.js";
import { Member, outcome } from "./kit.js";

const FAILED = "3 etcdserver: authentication failed, invalid user ID or password";
const NO_PASSWORD = "2 auth: authentication failed, password was given for no password user";

describe("changes", () => {
  it("bring no password into the log, whoever has one", async () => {
    const member = await new Member().setUp();
    const root = member.as("root");
    await member.change("userAdd", { name: "a", password: "S3CRET", hashedPassword: "Zm9yZ2Vk" }, root);
    await member.change(
      "userAdd",
      { name: "b", password: "S3CRET", hashedPassword: "S3CRET", options: { noPassword: true } },
      member.as("root"),
    );
    await member.change("userChangePassword", { name: "a", password: "S3CRET" }, member.as("root"));
    await member.change("userChangePassword", { name: "b", password: "S3CRET" }, member.as("root"));
    await member.auth.authenticate("a", "S3CRET", "10.0.0.1");
    await outcome(member.auth.authenticate("b", "S3CRET", "10.0.0.1"));
    const bodies = member.proposed.map((text) =>
      Buffer.from((JSON.parse(text) as { body: string }).body, "base64").toString(),
    );
    const log = [...bodies, ...member.proposed, ...member.lines, ...member.rows.dump()].join("\n");
    expect(bodies.length).toBeGreaterThan(10);
    expect(log).not.toContain("S3CRET");
    expect(log).not.toContain("forged");
    // The hash is there, so the looking would have found what is there.
    expect(log).toContain(Buffer.from(`4:${Buffer.from("S3CRET").toString("hex")}`).toString("base64"));
  });

  it("take a hash of the client's own when he sends no password to change to", async () => {
    const member = await new Member().setUp();
    const own = Buffer.from(await member.hashing.hash(Buffer.from("own"), 4)).toString("base64");
    await member.change("userChangePassword", { name: "u", hashedPassword: own }, member.as("root"));
    expect(await outcome(member.auth.authenticate("u", "own", "10.0.0.1"))).toBe("OK");
    await member.change("userChangePassword", { name: "u" }, member.as("root"));
    for (const password of ["", "own"]) {
      expect(await outcome(member.auth.authenticate("u", password, "10.0.0.1"))).toBe(FAILED);
    }
    expect(
      await outcome(member.change("userChangePassword", { name: "u", hashedPassword: "!" }, member.as("root"))),
    ).toBe(NO_PASSWORD);
  });

  it("that nobody may make hash nothing and propose nothing", async () => {
    const member = await new Member().setUp();
    const before = member.proposed.length;
    const long = "x".repeat(73);
    for (const [caller, error] of [
      [null, "3 etcdserver: user name is empty"],
      [member.as("u"), "7 etcdserver: permission denied"],
      [{ user: "root", revision: 2 }, "3 etcdserver: revision of auth store is old"],
    ] as const) {
      expect(await outcome(member.change("userAdd", { name: "x", password: long }, caller))).toBe(error);
      expect(await outcome(member.change("userChangePassword", { name: "u", password: "p" }, caller))).toBe(error);
      expect(await outcome(member.change("authDisable", {}, caller))).toBe(error);
      expect(await outcome(member.auth.userList(caller))).toBe(error);
      expect(await outcome(member.auth.roleList(caller))).toBe(error);
    }
    expect(member.proposed.length).toBe(before);
    expect(await outcome(member.change("userAdd", { name: "x", password: long }, member.as("root")))).toBe(
      "2 bcrypt: password length exceeds 72 bytes",
    );
    expect(member.auth.figures.hashings).toBe(2);
  });

  it("are not proposed if they are larger than a request may be", async () => {
    const member = await new Member({ maxRequestBytes: 1_000 }).setUp();
    const before = member.proposed.length;
    const grant = (bytes: number) =>
      outcome(
        member.change("roleGrantPermission", { name: "r", perm: { key: Buffer.alloc(bytes) } }, member.as("root")),
      );
    // The rest is what is around the key.
    expect(await grant(992)).toBe("3 etcdserver: request is too large");
    expect(member.proposed.length).toBe(before);
    expect(await grant(991)).toBe("OK");
  });

  it("are not refused by a member that has not heard yet who may make them", async () => {
    const late = (name: "userGrantRole" | "authDisable", request: object) => {
      const command = encodeCommand(name, request, "internal");
      return async (call: (member: Member) => Promise<unknown>) => {
        const member = await new Member().setUp();
        member.beforeRead = () => void member.apply(command);
        return outcome(call(member));
      };
    };
    const granted = late("userGrantRole", { user: "u", role: "root" });
    const disabled = late("authDisable", {});
    expect(await granted((member) => member.change("roleAdd", { name: "x" }, member.as("u")))).toBe("OK");
    expect(await granted((member) => member.auth.userList(member.as("u")))).toBe("OK");
    expect(await disabled((member) => member.change("roleAdd", { name: "x" }, null))).toBe("OK");
    expect(await disabled((member) => member.auth.roleList(null))).toBe("OK");
  });

  it("are asked for again in the log: who lost role root on the way there is refused", async () => {
    const member = await new Member().setUp();
    await member.change("userGrantRole", { user: "u", role: "root" }, member.as("root"));
    const u = member.as("u");
    member.beforeApply = () =>
      void member.apply(encodeCommand("userRevokeRole", { name: "u", role: "root" }, member.as("root")));
    expect(await outcome(member.change("roleAdd", { name: "x" }, u))).toBe("7 etcdserver: permission denied");
    // One that was on its way while auth was turned on: nobody made it.
    await member.change("authDisable", {}, member.as("root"));
    member.beforeApply = () => void member.apply(encodeCommand("authEnable", {}, null));
    expect(await outcome(member.change("roleAdd", { name: "x" }, null))).toBe("3 etcdserver: user name is empty");
    expect(member.rows.dump().filter((row) => row.startsWith("r/x"))).toEqual([]);
  });

  it("of a password, of a user who goes, or of auth end tokens; no other does", async () => {
    const member = await new Member().setUp();
    const root = () => member.as("root");
    await member.auth.authenticate("u", "pw", "10.0.0.1");
    await member.auth.authenticate("root", "rootpw", "10.0.0.1");
    const left = () => [...member.native.registered.values()].map(({ user }) => user);
    await member.change("roleAdd", { name: "s" }, root());
    await member.change("userGrantRole", { user: "u", role: "s" }, root());
    await member.change("userRevokeRole", { name: "u", role: "s" }, root());
    await member.change("roleDelete", { role: "s" }, root());
    await outcome(member.change("userDelete", { name: "root" }, root()));
    await outcome(member.change("userChangePassword", { name: "gone" }, root()));
    expect(left()).toEqual(["u", "root"]);
    await member.change("userChangePassword", { name: "u", password: "new" }, root());
    expect(left()).toEqual(["root"]);
    await member.auth.authenticate("u", "new", "10.0.0.1");
    await member.change("userDelete", { name: "u" }, root());
    expect(left()).toEqual(["root"]);
    await member.change("authDisable", {}, root());
    expect(left()).toEqual([]);
  });
});

describe("answers of the Auth service", () => {
  it("are those of the store, with who asks", async () => {
    const member = await new Member().setUp();
    const { auth } = member;
    expect(await auth.status()).toEqual({ enabled: true, revision: 7 });
    expect(await auth.userList(member.as("root"))).toEqual(["root", "u"]);
    expect(await auth.roleList(member.as("root"))).toEqual(["r"]);
    expect(await auth.userGet("u", member.as("u"))).toEqual(["r"]);
    expect(await outcome(auth.userGet("root", member.as("u")))).toBe("7 etcdserver: permission denied");
    const [permission] = await auth.roleGet("r", member.as("u"));
    expect(permission).toMatchObject({ permType: 0 });
    expect([permission?.key, permission?.rangeEnd].map((bytes) => Buffer.from(bytes ?? "").toString())).toEqual([
      "a",
      "b",
    ]);
  });
});

it("answers nothing to a token of before a change: its user's password may be another by now", async () => {
  const { auth } = await new Member().setUp();
  for (const user of ["root", "u"]) {
    const old = { user, revision: auth.revision - 1 };
    for (const answer of [auth.userGet("u", old), auth.roleGet("r", old)]) {
      expect(await outcome(answer)).toBe("3 etcdserver: revision of auth store is old");
    }
  }
});

describe("a store of another member", () => {
  it("takes the place of everything, and tokens of before are void", async () => {
    const [lagging, ahead] = [await new Member().setUp(), await new Member().setUp()];
    await lagging.auth.authenticate("u", "pw", "10.0.0.1");
    await ahead.change("userChangePassword", { name: "u", password: "new" }, ahead.as("root"));
    lagging.auth.replace(ahead.rows.list());
    expect(lagging.auth.revision).toBe(ahead.auth.revision);
    expect(lagging.native.registered.size).toBe(0);
    expect(await outcome(lagging.auth.authenticate("u", "pw", "10.0.0.1"))).toBe(FAILED);
    expect(await outcome(lagging.auth.authenticate("u", "new", "10.0.0.1"))).toBe("OK");
    // The same users: nothing was missed, and tokens live on.
    lagging.auth.replace(ahead.rows.list());
    expect(lagging.native.registered.size).toBe(1);
  });

  it("is what a restart finds", async () => {
    const before = await new Member().setUp();
    const after = new Member({}, before.rows.list());
    expect([after.auth.enabled, after.auth.revision]).toEqual([true, before.auth.revision]);
    expect(await outcome(after.auth.authenticate("u", "pw", "10.0.0.1"))).toBe("OK");
    await after.change("roleAdd", { name: "s" }, after.as("root"));
    await before.change("roleAdd", { name: "s" }, before.as("root"));
    expect(after.rows.dump()).toEqual(before.rows.dump());
  });
});

it("says which cost it takes instead of one that bcrypt does not have", () => {
  expect(new Member({ bcryptCost: 3 }).lines).toContain(
    'warn use default bcrypt cost instead of the invalid given cost {"min-cost":4,"max-cost":31,"default-cost":10,"given-cost":3}',
  );
  expect(new Member({ bcryptCost: 31 }).lines.join()).not.toContain("bcrypt");
});
