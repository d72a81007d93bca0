// Auth as a whole, on a replica whose log is applied at once: who calls, logins, changes, and what is in the log of it.

import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { limits } from "../../limits.js";
import { encodeCommand } from "../requests.js";
import { Member, outcome, settle } from "./kit.js";

function metadata(fields: Record<string, string | string[]>): Metadata {
  const made = new Metadata();
  for (const [name, value] of Object.entries(fields)) for (const each of [value].flat()) made.add(name, each);
  return made;
}

const BAD_TOKEN = "16 etcdserver: invalid auth token";
const FAILED = "3 etcdserver: authentication failed, invalid user ID or password";
const NO_PASSWORD = "2 auth: authentication failed, password was given for no password user";

describe("who calls", () => {
  it("is not looked at while auth is off", async () => {
    const { auth, native } = new Member();
    for (const fields of [{}, { token: "junk" }, { authorization: "Bearer junk" }]) {
      expect(await auth.identify(metadata(fields), "cn")).toBeNull();
    }
    expect(() => auth.checkAdmin(null)).not.toThrow();
    expect(() => auth.checkKnown(null)).not.toThrow();
    expect(native.registered.size).toBe(0);
  });

  it("is said by the token, else by authorization; the first value, without one Bearer", async () => {
    const member = await new Member().setUp();
    const { auth, native } = member;
    native.register("good.1", "u", null, null, true);
    native.register("Bearer good.1", "x", null, null, true);
    const u = member.as("u");
    for (const [fields, caller] of [
      [{ token: "good.1" }, u],
      [{ token: "Bearer good.1" }, u],
      [{ authorization: "good.1" }, u],
      [{ authorization: "Bearer good.1" }, u],
      [{ authorization: "Bearer Bearer good.1" }, member.as("x")],
      [{ authorization: "bearer good.1" }, BAD_TOKEN],
      [{ authorization: "Bearer  good.1" }, BAD_TOKEN],
      [{ token: ["good.1", "bad"] }, u],
      [{ token: ["bad", "good.1"] }, BAD_TOKEN],
      [{ token: "bad", authorization: "good.1" }, BAD_TOKEN],
      [{ token: "", authorization: "good.1" }, BAD_TOKEN],
      [{ token: "good.1", authorization: "bad" }, u],
      [{}, null],
      [{ tokens: "good.1" }, null],
    ] as const) {
      const said = auth.identify(metadata(fields as Record<string, string>));
      if (caller === BAD_TOKEN) expect(await outcome(said), JSON.stringify(fields)).toBe(BAD_TOKEN);
      else expect(await said, JSON.stringify(fields)).toEqual(caller);
    }
  });

  it("is said by the certificate if there is no token, but not for a call of the gateway", async () => {
    const member = await new Member().setUp();
    member.native.register("good.1", "u", null, null, true);
    expect(await member.auth.identify(metadata({}), "cn")).toEqual(member.as("cn"));
    expect(await member.auth.identify(metadata({ token: "good.1" }), "cn")).toEqual(member.as("u"));
    expect(await outcome(member.auth.identify(metadata({ token: "bad" }), "cn"))).toBe(BAD_TOKEN);
    member.lines.length = 0;
    expect(await member.auth.identify(metadata({ "grpcgateway-accept": "x" }), "root")).toBeNull();
    expect(member.lines[0]).toMatch(/^warn ignoring common name in gRPC-gateway proxy request .*"common-name":"root"/);
  });

  it("is known by an index that is applied soon, and refused after as long as elections take", async () => {
    const member = await new Member({ electionTimeoutMs: 500 }).setUp();
    const soon = member.auth.identify(metadata({ token: "P.30" }));
    const late = outcome(member.auth.identify(metadata({ token: "Q.40" })));
    await member.clock.pass(1_000);
    member.applied = 30;
    member.native.register("P.30", "u", null, null, true);
    await member.clock.pass(499);
    await settle();
    expect(member.lines.filter((line) => line.includes("invalid auth token"))).toEqual([]);
    await member.clock.pass(1);
    expect(await soon).toEqual(member.as("u"));
    expect(await late).toBe(BAD_TOKEN);
    expect(limits.tokenWaitElections).toBe(3);
    expect(member.lines.at(-1)).toMatch(/^warn invalid auth token \{"token-fingerprint":"[0-9a-f]{12}"\}$/);
  });

  it("waits for no index if too many do", async () => {
    const member = await new Member().setUp();
    const waiting = Array.from({ length: limits.waitingTokensMax }, (_, of) =>
      outcome(member.auth.identify(metadata({ token: `P.${1_000 + of}` }))),
    );
    await settle();
    // Without a move of the clock.
    expect(await outcome(member.auth.identify(metadata({ token: "P.99999" })))).toBe(BAD_TOKEN);
    await member.clock.pass(3_000);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([BAD_TOKEN]));
    const again = outcome(member.auth.identify(metadata({ token: "P.99999" })));
    await member.clock.pass(2_999);
    member.applied = 99_999;
    member.native.register("P.99999", "u", null, null, true);
    await member.clock.pass(1);
    expect(await again).toBe("OK");
  });

  it("has the newest revision with a simple token, whatever the data plane knows", async () => {
    const member = await new Member().setUp();
    member.native.register("good.1", "root", null, null, true);
    const { revision } = member.auth;
    member.native.revision = revision - 1;
    const caller = await member.auth.identify(metadata({ token: "good.1" }));
    expect(caller).toEqual({ user: "root", revision });
    expect(() => member.auth.checkAdmin(caller)).not.toThrow();
  });

  it("may administer with role root, and with a token that is of now", async () => {
    const { auth } = await new Member().setUp();
    const { revision } = auth;
    const errors: [Parameters<typeof auth.checkAdmin>[0], string | null, string | null][] = [
      [null, "user name is empty", "user name is empty"],
      [{ user: "", revision }, "user name is empty", "user name is empty"],
      [{ user: "gone", revision }, "user name not found", "permission denied"],
      [{ user: "u", revision }, "permission denied", null],
      [{ user: "root", revision: 0 }, "user name is empty", null],
      [{ user: "root", revision: revision - 1 }, "revision of auth store is old", null],
      [{ user: "root", revision }, null, null],
      [{ user: "root", revision: revision + 1 }, null, null],
      ["internal", null, null],
    ];
    for (const [caller, admin, known] of errors) {
      const say = JSON.stringify(caller);
      if (admin === null) expect(() => auth.checkAdmin(caller), say).not.toThrow();
      else expect(() => auth.checkAdmin(caller), say).toThrow(admin);
      if (known === null) expect(() => auth.checkKnown(caller), say).not.toThrow();
      else expect(() => auth.checkKnown(caller), say).toThrow(known);
    }
  });
});

describe("questions of the data plane", () => {
  it("are answered: look again, or the error", async () => {
    const member = await new Member().setUp();
    member.native.register("P.5", "u", null, null, true);
    member.auth.answer({ ask: 1, token: "P.5" });
    member.auth.answer({ ask: 2, token: "P.6" });
    member.auth.answer({ ask: 3, token: "" });
    await member.clock.pass(0);
    await settle();
    expect(member.native.answers.sort()).toEqual(["1 look again", `2 ${BAD_TOKEN}`, `3 ${BAD_TOKEN}`]);
  });

  it("are answered so many in a turn, and refused beyond the limit", async () => {
    const member = await new Member().setUp();
    for (let ask = 0; ask < limits.tokenQuestionsMax + 1; ask += 1) member.auth.answer({ ask, token: "P.1" });
    expect(member.native.answers).toEqual([`${limits.tokenQuestionsMax} 2 etcdserver: too many requests`]);
    const turns: number[] = [];
    const { after } = member.clock;
    member.clock.after = (ms, call) =>
      after.call(member.clock, ms, () => {
        turns.push(member.native.answers.length);
        call();
      });
    await member.clock.pass(0);
    await settle();
    expect(member.native.answers).toHaveLength(limits.tokenQuestionsMax + 1);
    expect(turns.length).toBeGreaterThanOrEqual(Math.ceil(limits.tokenQuestionsMax / limits.tokensATurnMax) - 1);
    expect(Math.max(...turns.map((count, at) => count - (turns[at - 1] ?? 0)))).toBeLessThanOrEqual(
      limits.tokensATurnMax + 1,
    );
  });
});

describe("logins", () => {
  it("give a token that every member registers, and that names its entry", async () => {
    const member = await new Member().setUp();
    const token = await member.auth.authenticate("u", "pw", "10.0.0.1:5");
    expect(token).toMatch(new RegExp(`^[A-Za-z]{16}\\.${member.applied}$`));
    expect(await member.auth.identify(metadata({ token }))).toEqual(member.as("u"));
    const other = await new Member({}, member.rows.list());
    other.applied = member.applied - 1;
    other.apply(JSON.parse(member.proposed.at(-1) ?? ""));
    expect([...other.native.registered.keys()]).toEqual([token]);
    expect(member.lines.at(-1)).toMatch(
      /^debug authenticated a user \{"user-name":"u","token-fingerprint":"\w{12}"\}$/,
    );
    expect(member.lines.join("\n")).not.toContain(token);
  });

  it("are refused in etcd's order and words", async () => {
    const member = new Member();
    const login = (name: string, password: string) => outcome(member.auth.authenticate(name, password, "10.0.0.1"));
    const OFF = "9 etcdserver: authentication is not enabled";
    expect(await login("u", "pw")).toBe(OFF);
    await member.setUp();
    await member.change("userAdd", { name: "np", password: "pw", options: { noPassword: true } }, member.as("root"));
    await member.change("userAdd", { name: "e", password: "" }, member.as("root"));
    member.lines.length = 0;
    expect(await login("u", "no")).toBe(FAILED);
    expect(await login("gone", "pw")).toBe(FAILED);
    expect(await login("", "")).toBe(FAILED);
    expect(await login("np", "pw")).toBe(NO_PASSWORD);
    expect(await login("np", "")).toBe(NO_PASSWORD);
    expect(await login("e", "")).toBe("OK");
    expect(member.lines.slice(0, 3)).toEqual([
      'info invalid password {"user-name":"u"}',
      'warn invalid authentication was requested {"user":"u","error":"auth: authentication failed, invalid user ID or password"}',
      'warn invalid authentication was requested {"user":"gone","error":"auth: authentication failed, invalid user ID or password"}',
    ]);
    expect(member.auth.figures).toMatchObject({ failedLogins: 5, hashings: 9, cachedLogins: 0 });
    await member.change("authDisable", {}, member.as("root"));
    expect(await login("u", "pw")).toBe(OFF);
  });

  it("are refused in the log too, if users are others by then", async () => {
    const member = await new Member().setUp();
    const login = () => outcome(member.auth.authenticate("u", "pw", "10.0.0.1"));
    const root = member.as("root");
    member.beforeApply = () => void member.apply(encodeCommand("userDelete", { name: "u" }, root));
    expect(await login()).toBe(FAILED);
    await member.change("userAdd", { name: "u", password: "pw" }, member.as("root"));
    member.beforeApply = () => void member.apply(encodeCommand("authDisable", {}, root));
    expect(await login()).toBe("9 etcdserver: authentication is not enabled");
    expect(member.native.registered.size).toBe(0);
  });

  it("compare the password again if anything was changed meanwhile, and register no token before", async () => {
    const member = await new Member().setUp();
    const root = member.as("root");
    member.beforeApply = () => void member.apply(encodeCommand("roleAdd", { name: "new" }, root));
    const token = await member.auth.authenticate("u", "pw", "10.0.0.1");
    expect([...member.native.registered.keys()]).toEqual([token]);
    expect(member.lines.filter((line) => line.includes("became stale; retrying"))).toHaveLength(1);
    // It is the password that was changed: the old one is not good any more.
    const hashedPassword = Buffer.from(await member.hashing.hash(Buffer.from("new"), 4)).toString("base64");
    member.beforeApply = () =>
      void member.apply(encodeCommand("userChangePassword", { name: "u", hashedPassword }, root));
    expect(await outcome(member.auth.authenticate("u", "pw", "10.0.0.1"))).toBe(FAILED);
    expect(member.native.registered.size).toBe(0);
    expect(await outcome(member.auth.authenticate("u", "new", "10.0.0.1"))).toBe("OK");
  });

  it("end at some time also where users are changed all the time", async () => {
    const member = await new Member().setUp();
    const root = member.as("root");
    let changes = 0;
    const again = () => {
      changes += 1;
      member.apply(encodeCommand("roleAdd", { name: `r${changes}` }, root));
      member.beforeApply = again;
    };
    member.beforeApply = again;
    expect(await outcome(member.auth.authenticate("u", "pw", "10.0.0.1"))).toBe(
      "3 etcdserver: revision of auth store is old",
    );
    expect(changes).toBe(limits.loginTriesMax);
    expect(member.native.registered.size).toBe(0);
    expect(member.hashing.compared).toHaveLength(1);
  });

  it("wait after failures, and a success makes good", async () => {
    const member = await new Member().setUp();
    const login = (password: string) => outcome(member.auth.authenticate("u", password, "10.0.0.1:99"));
    const wrong = await Promise.all(Array.from({ length: 7 }, (_, of) => login(`no${of}`)));
    expect(new Set(wrong)).toEqual(new Set([FAILED]));
    let said = "nothing";
    const right = login("pw").then((answer) => {
      said = answer;
    });
    await member.clock.pass(199);
    await settle();
    expect(said).toBe("nothing");
    await member.clock.pass(1);
    await right;
    expect(said).toBe("OK");
    expect(member.auth.figures).toMatchObject({ failedLogins: 7, delayedLogins: 1, refusedLogins: 0 });
    expect(await login("pw"), "at once").toBe("OK");
  });

  it("are none with no kind of tokens", async () => {
    const member = await new Member({ authToken: "" }).setUp();
    expect(await outcome(member.auth.authenticate("u", "pw", "10.0.0.1"))).toBe(FAILED);
    expect(await outcome(member.auth.identify(metadata({ token: "x.1" })))).toBe(BAD_TOKEN);
  });
});

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
