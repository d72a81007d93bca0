// What tests of tokens are made of: keys of every kind as files, and a member's side of them.

import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTokens } from "../tokenkinds.js";
import type { Tokens } from "../tokens.js";
import { FakeNative, recordingLog } from "./kit.js";

let dir = "";
const files: Record<string, string> = {};
export const keys: Record<string, { publicKey: KeyObject; privateKey: KeyObject }> = {};

function file(name: string, content: string | Buffer): void {
  files[name] = join(dir, name);
  writeFileSync(files[name], content);
}

/** Keys of every kind as files, until `removeKeys`. */
export function makeKeys(): void {
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
}

export function removeKeys(): void {
  rmSync(dir, { recursive: true });
}

export interface Side {
  tokens: Tokens;
  native: FakeNative;
  lines: string[];
}

export const START_MS = 1_700_000_000_000;
/** The time of day in the tests. */
export const time = { nowMs: START_MS };

/** Names of files stand for their paths. */
export function side(options: string, simpleTtlSeconds = 0): Side {
  const { log, lines } = recordingLog();
  const native = new FakeNative();
  const value = options.replace(
    /((?:pub|priv)-key=)([^,]+)/g,
    (_all, option: string, name: string) => `${option}${files[name] ?? name}`,
  );
  const waiter = (index: number) => Promise.resolve(index <= 10);
  return {
    tokens: createTokens(value, { native, log, simpleTtlSeconds, waiter, nowMs: () => time.nowMs }),
    native,
    lines,
  };
}

/** "OK", or the error of the start. */
export function start(options: string): string {
  try {
    side(options);
    return "OK";
  } catch (error) {
    return (error as Error).message;
  }
}

export const login = { kind: "login", user: "u", prefix: "", revision: 7 } as const;
export const mark = { index: 9, term: 1 };
