// Who calls: by token, by certificate or not at all; and the questions about tokens that the data plane has.

import { describe, expect, it } from "vitest";
import { limits } from "../../limits.js";
import { Member, metadata, outcome, settle } from "./kit.js";

const BAD_TOKEN = "16 etcdserver: invalid auth token";

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
