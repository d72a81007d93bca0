// Logins on a replica whose log is applied at once.

import { describe, expect, it } from "vitest";
import { limits } from "../../limits.js";
import { encodeCommand } from "../requests.js";
import { Member, metadata, outcome, settle } from "./kit.js";

const BAD_TOKEN = "16 etcdserver: invalid auth token";
const FAILED = "3 etcdserver: authentication failed, invalid user ID or password";
const NO_PASSWORD = "2 auth: authentication failed, password was given for no password user";

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

  it("have no name that no user can have, and none such is compared or kept", async () => {
    const member = await new Member().setUp();
    const login = (name: string) => outcome(member.auth.authenticate(name, "pw", "10.0.0.1"));
    const { hashings } = member.auth.figures;
    expect(await login(`é${"n".repeat(508)}`)).toBe(FAILED);
    expect(member.auth.figures).toMatchObject({ failedLogins: 0, hashings });
    expect(member.lines.join("")).not.toContain("nnnn");
    expect(await login(`é${"n".repeat(507)}`)).toBe(FAILED);
    expect(member.auth.figures).toMatchObject({ failedLogins: 1, hashings: hashings + 1 });
  });

  it("are none with no kind of tokens", async () => {
    const member = await new Member({ authToken: "" }).setUp();
    expect(await outcome(member.auth.authenticate("u", "pw", "10.0.0.1"))).toBe(FAILED);
    expect(await outcome(member.auth.identify(metadata({ token: "x.1" })))).toBe(BAD_TOKEN);
  });
});
