// JSON Web Tokens made by one side and checked by another, and all that is to be refused.

import { createHmac, type KeyObject, sign } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { outcome } from "./kit.js";
import { keys, login, makeKeys, mark, removeKeys, START_MS, side, time } from "./tokenkit.js";

beforeAll(makeKeys);
afterAll(removeKeys);

const METHODS: [method: string, key: string, hash: string][] = [
  ["RS256", "rsa", "sha256"],
  ["RS384", "rsa", "sha384"],
  ["RS512", "rsa", "sha512"],
  ["PS256", "rsa", "sha256"],
  ["PS384", "rsa", "sha384"],
  ["PS512", "rsa", "sha512"],
  ["ES256", "p256", "sha256"],
  ["ES384", "p384", "sha384"],
  ["ES512", "p521", "sha512"],
  ["EdDSA", "ed", ""],
];

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const decode = (part: string | undefined) =>
  JSON.parse(Buffer.from(part ?? "", "base64url").toString()) as Record<string, unknown>;

/** A token made by hand, of a secret. */
function forged(header: unknown, claims: unknown, secret: string | Buffer = "secret\n", hash = "sha256"): string {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac(hash, secret).update(text).digest("base64url")}`;
}

describe("JSON Web Tokens", () => {
  it.each<[method: string, key: string, hash: string]>([
    ...METHODS,
    ["HS256", "", ""],
    ["HS384", "", ""],
    ["HS512", "", ""],
  ])("of %s are made by one member and known by another, as etcd makes them", async (method, key, _hash) => {
    const own = key === "" ? "priv-key=hs" : `priv-key=${key}.key`;
    const maker = side(`jwt,sign-method=${method},${own}`);
    const token = await maker.tokens.issue(login, mark);
    expect(maker.tokens.prefix()).toBe("");
    const [header, claims] = token.split(".");
    expect(decode(header)).toEqual({ alg: method, typ: "JWT" });
    expect(decode(claims)).toEqual({ username: "u", revision: 7, exp: START_MS / 1_000 + 300 });
    const checker = side(
      key === "" ? `jwt,sign-method=${method},${own}` : `jwt,sign-method=${method},pub-key=${key}.pub`,
    );
    await checker.tokens.check(token);
    expect([...checker.native.registered]).toEqual([[token, { user: "u", revision: 7, ttlMs: 300_000 }]]);
    // One letter of the signature or of the claims is another.
    for (const at of [token.length - 10, token.indexOf(".") + 5]) {
      const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
      expect(await outcome(checker.tokens.check(changed)), method).toBe("16 etcdserver: invalid auth token");
    }
    expect(checker.native.registered.size).toBe(1);
  });

  it.each(METHODS)("of %s made by another library's means are known", async (method, key, hash) => {
    const text = `${encode({ alg: method })}.${encode({ username: "u", revision: 7 })}`;
    const options = {
      key: (keys[key] as { privateKey: KeyObject }).privateKey,
      dsaEncoding: "ieee-p1363" as const,
      ...(method.startsWith("PS") ? { padding: 6, saltLength: -1 } : {}),
    };
    const token = `${text}.${sign(hash === "" ? null : hash, Buffer.from(text), options).toString("base64url")}`;
    const { tokens, native } = side(`jwt,sign-method=${method},pub-key=${key}.pub`);
    await tokens.check(token);
    // It names no end.
    expect(native.registered.get(token)).toEqual({ user: "u", revision: 7, ttlMs: Number.MAX_SAFE_INTEGER });
  });

  it("of another key, another method or none at all are refused", async () => {
    const claims = { username: "root", revision: 7 };
    const made = async (options: string) => side(`jwt,${options}`).tokens.issue(login, mark);
    const publicPem = (keys["rsa"] as { publicKey: KeyObject }).publicKey.export({ type: "spki", format: "pem" });
    const publicDer = (keys["rsa"] as { publicKey: KeyObject }).publicKey.export({ type: "spki", format: "der" });
    const rsa = side("jwt,sign-method=RS256,priv-key=rsa.key");
    const wrong = [
      await made("sign-method=RS256,priv-key=rsa2.key"),
      await made("sign-method=RS384,priv-key=rsa.key"),
      await made("sign-method=PS256,priv-key=rsa.key"),
      await made("sign-method=HS256,priv-key=rsa.pub"),
      // The public key, which everybody may have, as the secret of a method that has one.
      forged({ alg: "HS256", typ: "JWT" }, claims, publicPem),
      forged({ alg: "HS256", typ: "JWT" }, claims, publicDer),
      forged({ alg: "RS256", typ: "JWT" }, claims, publicPem),
      ...["none", "None", "NONE", "nOnE", ""].map((alg) => `${encode({ alg, typ: "JWT" })}.${encode(claims)}.`),
      `${encode({ typ: "JWT" })}.${encode(claims)}.`,
    ];
    for (const token of wrong) expect(await outcome(rsa.tokens.check(token)), token).toMatch(/^16 /);
    expect(rsa.native.registered.size).toBe(0);
    const secret = side("jwt,sign-method=HS256,priv-key=hs");
    // A file is a secret with its last line feed; etcd's is too.
    expect(await outcome(secret.tokens.check(await made("sign-method=HS256,priv-key=hs2")))).toMatch(/^16 /);
    expect(await outcome(secret.tokens.check(forged({ alg: "HS512" }, claims, "secret\n", "sha512")))).toMatch(/^16 /);
    expect(await outcome(secret.tokens.check(`${encode({ alg: "none" })}.${encode(claims)}.`))).toMatch(/^16 /);
    expect(secret.lines[1]).toBe(
      'warn failed to parse a JWT token {"error":"token is unverifiable: error while executing keyfunc: invalid signing method"}',
    );
  });

  it("without a user or a revision are refused, and harm nobody (etcd's 15676)", async () => {
    const { tokens, native, lines } = side("jwt,sign-method=HS256,priv-key=hs");
    const HS = { alg: "HS256", typ: "JWT" };
    for (const [claims, message] of [
      [{}, "failed to obtain user claims from jwt token"],
      [{ revision: 1 }, "failed to obtain user claims from jwt token"],
      [{ username: 1, revision: 1 }, "failed to obtain user claims from jwt token"],
      [{ username: null, revision: 1 }, "failed to obtain user claims from jwt token"],
      [{ username: "u" }, "failed to obtain revision claims from jwt token"],
      [{ username: "u", revision: "1" }, "failed to obtain revision claims from jwt token"],
      [{ username: "u", revision: null }, "failed to obtain revision claims from jwt token"],
      [{ username: "u", revision: -1 }, "failed to obtain revision claims from jwt token"],
      [{ username: "u", revision: 1e300 }, "failed to obtain revision claims from jwt token"],
      ["[]", "failed to parse a JWT token"],
      ["null", "failed to parse a JWT token"],
      ["{", "failed to parse a JWT token"],
    ] as const) {
      lines.length = 0;
      expect(await outcome(tokens.check(forged(HS, claims))), JSON.stringify(claims)).toMatch(/^16 /);
      expect(lines[0], JSON.stringify(claims)).toContain(`warn ${message} `);
    }
    for (const token of [
      "",
      ".",
      "..",
      "a.b",
      "a.b.c",
      "a.b.c.d",
      `${forged(HS, { username: "u", revision: 1 })}=`,
      ` ${forged(HS, { username: "u", revision: 1 })}`,
    ]) {
      expect(await outcome(tokens.check(token)), token).toMatch(/^16 /);
    }
    expect(native.registered.size).toBe(0);
    await tokens.check(forged(HS, { username: "u", revision: 4.5, iat: START_MS }));
    expect([...native.registered.values()]).toEqual([{ user: "u", revision: 4, ttlMs: Number.MAX_SAFE_INTEGER }]);
  });

  it("count from nbf to exp, if they say so with numbers", async () => {
    const { tokens, native, lines } = side("jwt,sign-method=HS256,priv-key=hs");
    const now = START_MS / 1_000;
    const check = (times: object) =>
      outcome(tokens.check(forged({ alg: "HS256" }, { username: "u", revision: 1, ...times })));
    for (const [times, reason] of [
      [{ exp: now }, "token has invalid claims: token is expired"],
      [{ exp: now - 1_000_000 }, "token has invalid claims: token is expired"],
      [{ exp: -1 }, "token has invalid claims: token is expired"],
      [{ nbf: now + 1 }, "token has invalid claims: token is not valid yet"],
      [{ exp: "9999999999" }, "token has invalid claims: invalid type for claim: exp is invalid"],
      [{ exp: null }, "token has invalid claims: invalid type for claim: exp is invalid"],
      [{ nbf: "1" }, "token has invalid claims: invalid type for claim: nbf is invalid"],
    ] as const) {
      lines.length = 0;
      expect(await check(times), JSON.stringify(times)).toMatch(/^16 /);
      expect(lines).toEqual([`warn failed to parse a JWT token {"error":"${reason}"}`]);
    }
    expect(await check({ exp: now + 2.5, nbf: now })).toBe("OK");
    expect(await check({ exp: 1e18 })).toBe("OK");
    expect([...native.registered.values()].map(({ ttlMs }) => ttlMs)).toEqual([2_500, Number.MAX_SAFE_INTEGER]);
    // A negative time to live starts, and no token that is made counts.
    const dead = side("jwt,sign-method=HS256,priv-key=hs,ttl=-5m");
    expect(await outcome(dead.tokens.check(await dead.tokens.issue(login, mark)))).toMatch(/^16 /);
    const short = side("jwt,sign-method=HS256,priv-key=one,ttl=1m30s");
    const token = await short.tokens.issue(login, mark);
    expect(await outcome(short.tokens.check(token))).toBe("OK");
    time.nowMs = START_MS + 90_000;
    expect(await outcome(short.tokens.check(token))).toMatch(/^16 /);
    time.nowMs = START_MS;
  });

  it("cannot be made with a key that only checks, nor with one of another size", async () => {
    const checking = side("jwt,sign-method=ES256,pub-key=p256.pub");
    expect(await outcome(checking.tokens.issue(login, mark))).toBe(
      "2 auth: token signing attempted with verify-only key",
    );
    const other = side("jwt,sign-method=ES256,priv-key=p384.key");
    expect(await outcome(other.tokens.issue(login, mark))).toBe("2 key is invalid");
    expect(
      await outcome(
        other.tokens.check(await side("jwt,sign-method=ES384,priv-key=p384.key").tokens.issue(login, mark)),
      ),
    ).toMatch(/^16 /);
  });

  it("never stand in the log", async () => {
    const { tokens, lines } = side("jwt,sign-method=HS256,priv-key=hs");
    const bad = [forged({ alg: "HS256" }, { username: "secretuser", exp: 1 }), "secret.secret.secret", "secrettoken"];
    for (const token of bad) await outcome(tokens.check(token));
    expect(lines).toHaveLength(3);
    for (const token of bad) for (const part of token.split(".")) expect(lines.join("\n")).not.toContain(part);
  });
});
