// Tokens: what --auth-token may say, simple tokens, and JSON Web Tokens made by one side and checked by another.

import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { simpleTokenIndex } from "../simple.js";
import { createTokens } from "../tokenkinds.js";
import type { Tokens } from "../tokens.js";
import { FakeNative, outcome, recordingLog } from "./kit.js";

let dir = "";
const files: Record<string, string> = {};
const keys: Record<string, { publicKey: KeyObject; privateKey: KeyObject }> = {};

function file(name: string, content: string | Buffer): void {
  files[name] = join(dir, name);
  writeFileSync(files[name], content);
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "netcd-tokens-"));
  keys["rsa"] = generateKeyPairSync("rsa", { modulusLength: 2048 });
  keys["rsa2"] = generateKeyPairSync("rsa", { modulusLength: 2048 });
  keys["short"] = generateKeyPairSync("rsa", { modulusLength: 1024 });
  keys["pss"] = generateKeyPairSync("rsa-pss", { modulusLength: 2048 });
  for (const [name, namedCurve] of [
    ["p256", "P-256"],
    ["p256b", "P-256"],
    ["p384", "P-384"],
    ["p521", "P-521"],
  ] as const) {
    keys[name] = generateKeyPairSync("ec", { namedCurve });
  }
  keys["ed"] = generateKeyPairSync("ed25519");
  keys["ed2"] = generateKeyPairSync("ed25519");
  keys["x"] = generateKeyPairSync("x25519");
  for (const [name, { privateKey, publicKey }] of Object.entries(keys)) {
    file(`${name}.key`, privateKey.export({ type: "pkcs8", format: "pem" }));
    file(`${name}.pub`, publicKey.export({ type: "spki", format: "pem" }));
  }
  file("rsa.pkcs1.key", keys["rsa"].privateKey.export({ type: "pkcs1", format: "pem" }));
  file("rsa.pkcs1.pub", keys["rsa"].publicKey.export({ type: "pkcs1", format: "pem" }));
  file("p256.sec1.key", (keys["p256"] as { privateKey: KeyObject }).privateKey.export({ type: "sec1", format: "pem" }));
  file("hs", "secret\n");
  file("hs2", "secret");
  file("one", "x");
  file("empty", "");
  file("junk", "junk");
  file("badpem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  file("badpub", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
});
afterAll(() => rmSync(dir, { recursive: true }));

interface Side {
  tokens: Tokens;
  native: FakeNative;
  lines: string[];
}

const START_MS = 1_700_000_000_000;
let nowMs = START_MS;

/** Names of files stand for their paths. */
function side(options: string, simpleTtlSeconds = 0): Side {
  const { log, lines } = recordingLog();
  const native = new FakeNative();
  const value = options.replace(
    /((?:pub|priv)-key=)([^,]+)/g,
    (_all, option: string, name: string) => `${option}${files[name] ?? name}`,
  );
  const waiter = (index: number) => Promise.resolve(index <= 10);
  return { tokens: createTokens(value, { native, log, simpleTtlSeconds, waiter, nowMs: () => nowMs }), native, lines };
}

/** "OK", or the error of the start. */
function start(options: string): string {
  try {
    side(options);
    return "OK";
  } catch (error) {
    return (error as Error).message;
  }
}

const login = { kind: "login", user: "u", prefix: "", revision: 7 } as const;
const mark = { index: 9, term: 1 };

describe("--auth-token", () => {
  it("starts and refuses as etcd does", () => {
    // Each line was tried on etcd 3.7.3.
    const starts: [string, string][] = [
      ["", "OK"],
      ["simple", "OK"],
      ["simple,a=b", "OK"],
      ["jwt,sign-method=HS256,priv-key=hs", "OK"],
      ["jwt,sign-method=HS256,priv-key=hs,ttl=-5m", "OK"],
      ["jwt,sign-method=HS256,priv-key=hs,foo=1,bar=2", "OK"],
      ["jwt,=x,sign-method=HS256,priv-key=hs", "OK"],
      ["jwt,sign-method=RS256,pub-key=rsa.pkcs1.pub", "OK"],
      ["jwt,sign-method=RS256,priv-key=rsa.pkcs1.key", "OK"],
      ["jwt,sign-method=PS256,priv-key=rsa.key,pub-key=rsa.pub", "OK"],
      ["jwt,sign-method=ES256,priv-key=p256.sec1.key", "OK"],
      ["jwt,sign-method=ES256,priv-key=p384.key", "OK"],
      ["jwt,sign-method=EdDSA,pub-key=ed.pub", "OK"],
      ["jwt", "auth: invalid auth options"],
      ["foo", "auth: invalid auth options"],
      ["Simple", "auth: invalid auth options"],
      ["simple,a", "auth: invalid auth options"],
      ["simple,a=b=c", "auth: invalid auth options"],
      ["simple,a=b,a=c", "auth: invalid auth options"],
      ["jwt,sign-method=hs256,priv-key=hs", "auth: invalid auth options"],
      ["jwt,sign-method=toString,priv-key=hs", "auth: invalid auth options"],
      ["jwt,sign-method=HS256,priv-key=hs,priv-key=hs", "auth: invalid auth options"],
      ["jwt,sign-method=HS256,priv-key=hs,ttl=abc", "auth: invalid auth options"],
      ["jwt,sign-method=HS256,pub-key=nosuch,priv-key=hs", "auth: invalid auth options"],
      ["jwt,sign-method=RS256,priv-key=nosuch", "auth: invalid auth options"],
      ["jwt,sign-method=none", "unsupported signing method: *jwt.signingMethodNone"],
      ["jwt,sign-method=HS256", "auth: missing key data"],
      ["jwt,sign-method=HS256,priv-key=empty", "auth: missing key data"],
      ["jwt,sign-method=HS256,pub-key=rsa.pub", "auth: missing key data"],
      ["jwt,sign-method=RS256", "auth: missing key data"],
      ["jwt,sign-method=EdDSA", "auth: missing key data"],
      ["jwt,sign-method=RS256,priv-key=junk", "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key"],
      ["jwt,sign-method=RS256,pub-key=junk", "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key"],
      ["jwt,sign-method=RS256,priv-key=p256.key", "key is not a valid RSA private key"],
      ["jwt,sign-method=RS256,pub-key=p256.pub", "key is not a valid RSA public key"],
      ["jwt,sign-method=RS256,priv-key=rsa.key,pub-key=rsa2.pub", "auth: public and private keys don't match"],
      ["jwt,sign-method=ES256,priv-key=p256.key,pub-key=p256b.pub", "auth: public and private keys don't match"],
      ["jwt,sign-method=ES256,priv-key=rsa.key", "key is not a valid ECDSA private key"],
      ["jwt,sign-method=ES256,pub-key=rsa.pub", "key is not a valid ECDSA public key"],
      ["jwt,sign-method=EdDSA,priv-key=ed.key,pub-key=ed2.pub", "auth: public and private keys don't match"],
      ["jwt,sign-method=EdDSA,priv-key=x.key", "key is not a valid Ed25519 private key"],
      ["jwt,sign-method=EdDSA,pub-key=rsa.pub", "key is not a valid Ed25519 public key"],
    ];
    for (const [options, answer] of starts) expect(start(options), options).toBe(answer);
  });

  it("refuses with words of its own where etcd has those of its parser, or takes what jose does not", () => {
    const starts: [string, string][] = [
      ["jwt,sign-method=RS256,priv-key=badpem", "key is not a valid RSA private key"],
      ["jwt,sign-method=RS256,pub-key=badpub", "key is not a valid RSA public key"],
      ["jwt,sign-method=RS256,priv-key=rsa.pub", "key is not a valid RSA private key"],
      ["jwt,sign-method=RS256,pub-key=rsa.key", "key is not a valid RSA public key"],
      ["jwt,sign-method=RS256,priv-key=p256.sec1.key", "key is not a valid RSA private key"],
      ["jwt,sign-method=PS256,priv-key=pss.key", "key is not a valid RSA private key"],
      ["jwt,sign-method=RS256,priv-key=short.key", "auth: an RSA key has at least 2048 bits, this one has 1024"],
      ["jwt,sign-method=PS512,pub-key=short.pub", "auth: an RSA key has at least 2048 bits, this one has 1024"],
    ];
    for (const [options, answer] of starts) expect(start(options), options).toBe(answer);
  });

  it("says in the log what is wrong, or what it does not know", () => {
    const { lines: simple } = side("simple");
    expect(simple).toEqual(["warn simple token is not cryptographically signed {}"]);
    expect(side("jwt,sign-method=HS256,priv-key=hs,foo=1,bar=2").lines).toEqual([
      'warn unknown JWT options {"keys":["foo","bar"]}',
    ]);
    const refused = (options: string) => {
      const { log, lines } = recordingLog();
      const parts = {
        native: new FakeNative(),
        log,
        simpleTtlSeconds: 0,
        waiter: () => Promise.resolve(true),
        nowMs: () => 0,
      };
      expect(() => createTokens(options, parts)).toThrow();
      return lines;
    };
    const failed = 'warn failed to create token provider {"error":"auth: invalid auth options"}';
    expect(refused("foo")).toEqual([
      'warn unknown token type {"type":"foo","error":"auth: invalid auth options"}',
      failed,
    ]);
    expect(refused("simple,a")).toEqual(['error invalid token option {"option":"simple,a"}', failed]);
    expect(refused("simple,a=b,a=c")).toEqual([
      'error invalid token option {"option":"simple,a=b,a=c","duplicate-parameter":"a"}',
      failed,
    ]);
    for (const [options, error] of [
      ["jwt", "auth: invalid auth signature method"],
      ["jwt,sign-method=HS256,ttl=abc", 'time: invalid duration \\"abc\\"'],
      ["jwt,sign-method=HS256,priv-key=/no/such", "open /no/such: no such file or directory"],
    ]) {
      expect(refused(options ?? "")).toEqual([`error problem loading JWT options {"error":"${error}"}`, failed]);
    }
  });
});

describe("simple tokens", () => {
  it("are sixteen letters and the index of their entry, live 300 s unless told, and are renewed by use", async () => {
    for (const [given, ttlMs] of [
      [0, 300_000],
      [7, 7_000],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ] as const) {
      const { tokens, native } = side("simple", given);
      const prefixes = new Set(Array.from({ length: 50 }, () => tokens.prefix()));
      expect(prefixes.size).toBe(50);
      for (const prefix of prefixes) expect(prefix).toMatch(/^[A-Za-z]{16}$/);
      tokens.applied({ ...login, prefix: "P" }, mark);
      expect(await tokens.issue({ ...login, prefix: "P" }, mark)).toBe("P.9");
      expect([...native.registered]).toEqual([["P.9", { user: "u", revision: null, ttlMs }]]);
    }
  });

  it("name an index, or are none", () => {
    const indices: [string, number | null][] = [
      ["abc.17", 17],
      [".5", 5],
      ["x.007", 7],
      ["x.9007199254740991", 9_007_199_254_740_991],
      ["x.9007199254740992", null],
      ["x.18446744073709551616", null],
      ["a\nb.3", 3],
      ...["", "x", "x.", ".", "x.y", "x.1.2", "x.-1", "x.+1", "x.1 ", "x.0x1", "x.1\n"].map((token): [string, null] => [
        token,
        null,
      ]),
    ];
    for (const [token, index] of indices) expect(simpleTokenIndex(token), token).toBe(index);
  });

  it("are known once their index is applied, and not if it is not in time", async () => {
    const { tokens, native } = side("simple");
    expect(await outcome(tokens.check("P.9"))).toBe("16 etcdserver: invalid auth token");
    native.register("P.9", "u", null, null, true);
    expect(await outcome(tokens.check("P.9"))).toBe("OK");
    native.register("P.11", "u", null, null, true);
    expect(await outcome(tokens.check("P.11"))).toBe("16 etcdserver: invalid auth token");
    expect(await outcome(tokens.check("nonsense"))).toBe("16 etcdserver: invalid auth token");
  });
});

test("with no kind of tokens nobody logs in and every token is bad", async () => {
  const { tokens } = side("");
  expect(() => tokens.prefix()).toThrow("authentication failed, invalid user ID or password");
  expect(await outcome(tokens.issue(login, mark))).toMatch(/^3 .*invalid user ID or password$/);
  expect(await outcome(tokens.check("P.9"))).toBe("16 etcdserver: invalid auth token");
});

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
    nowMs = START_MS + 90_000;
    expect(await outcome(short.tokens.check(token))).toMatch(/^16 /);
    nowMs = START_MS;
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
