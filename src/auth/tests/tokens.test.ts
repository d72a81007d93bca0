// What --auth-token may say, and simple tokens.

import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { simpleTokenIndex } from "../simple.js";
import { createTokens } from "../tokenkinds.js";
import { FakeNative, outcome, recordingLog } from "./kit.js";
import { login, makeKeys, mark, removeKeys, side, start } from "./tokenkit.js";

beforeAll(makeKeys);
afterAll(removeKeys);

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
      const prefix = "Pppppppppppppppp";
      tokens.applied({ ...login, prefix }, mark);
      expect(await tokens.issue({ ...login, prefix }, mark)).toBe(`${prefix}.9`);
      expect([...native.registered]).toEqual([[`${prefix}.9`, { user: "u", revision: null, ttlMs }]]);
    }
  });

  it("come of no login that was for another kind of token: nobody guesses the index alone", () => {
    const { tokens, native } = side("simple");
    const others = [
      side("jwt,sign-method=HS256,priv-key=hs").tokens.prefix(),
      "",
      "P",
      "Ppppppppppppppp1",
      "P".repeat(17),
    ];
    for (const prefix of others) tokens.applied({ ...login, prefix }, mark);
    expect(native.registered.size).toBe(0);
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
