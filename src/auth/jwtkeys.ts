// The options of --auth-token=jwt, and the keys that they name, read once at the start.

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseDuration } from "../config/duration.js";
import { reasonOf } from "../gofiles.js";
import type { Logger } from "../log/logger.js";
import { AuthOptionsError, invalidOptions } from "./tokenoptions.js";

type Family = "hmac" | "rsa" | "ec" | "ed25519";

const METHODS: Readonly<Record<string, Family>> = {
  ...{ HS256: "hmac", HS384: "hmac", HS512: "hmac" },
  ...{ RS256: "rsa", RS384: "rsa", RS512: "rsa", PS256: "rsa", PS384: "rsa", PS512: "rsa" },
  ...{ ES256: "ec", ES384: "ec", ES512: "ec", EdDSA: "ed25519" },
};

const KNOWN = ["sign-method", "pub-key", "priv-key", "ttl"];
const DEFAULT_TTL_MS = 5 * 60_000;

/** jose signs and checks with none that are shorter, and neither should anybody. */
const RSA_BITS_MIN = 2_048;

export interface JwtSettings {
  readonly method: string;
  readonly ttlMs: number;
  /** null: tokens are checked here and made elsewhere. */
  readonly signKey: KeyObject | Uint8Array | null;
  readonly checkKey: KeyObject | Uint8Array;
}

/** Throws AuthOptionsError. */
export function jwtSettings(values: ReadonlyMap<string, string>, log: Logger): JwtSettings {
  const { method, ttlMs, pub, priv } = readOptions(values, log);
  const unknown = [...values.keys()].filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) log.warn("unknown JWT options", { keys: unknown });
  const family = METHODS[method];
  if (family === undefined) throw new AuthOptionsError("unsupported signing method: *jwt.signingMethodNone");
  if (family === "hmac") {
    if (priv === null) throw new AuthOptionsError("auth: missing key data");
    return { method, ttlMs, signKey: priv, checkKey: priv };
  }
  return { method, ttlMs, ...keyPair(family, priv, pub) };
}

interface Options {
  readonly method: string;
  readonly ttlMs: number;
  /** null: not given, or empty. */
  readonly pub: Buffer | null;
  readonly priv: Buffer | null;
}

function readOptions(values: ReadonlyMap<string, string>, log: Logger): Options {
  const refuse = (error: string) => {
    log.error("problem loading JWT options", { error });
    return invalidOptions();
  };
  const file = (name: string) => {
    const path = values.get(name);
    if (path === undefined) return null;
    try {
      const data = readFileSync(path);
      return data.length === 0 ? null : data;
    } catch (error) {
      throw refuse(`open ${path}: ${reasonOf(error as NodeJS.ErrnoException)}`);
    }
  };
  const ttl = values.get("ttl");
  const ttlNs = ttl === undefined ? null : parseDuration(ttl);
  if (ttl !== undefined && ttlNs === null) throw refuse(`time: invalid duration ${JSON.stringify(ttl)}`);
  const [pub, priv] = [file("pub-key"), file("priv-key")];
  const method = values.get("sign-method") ?? "";
  if (method !== "none" && !Object.hasOwn(METHODS, method)) throw refuse("auth: invalid auth signature method");
  return { method, ttlMs: ttlNs === null ? DEFAULT_TTL_MS : Number(ttlNs / 1_000_000n), pub, priv };
}

const NAMES: Readonly<Record<Exclude<Family, "hmac">, string>> = { rsa: "RSA", ec: "ECDSA", ed25519: "Ed25519" };

function keyPair(
  family: Exclude<Family, "hmac">,
  priv: Buffer | null,
  pub: Buffer | null,
): Pick<JwtSettings, "signKey" | "checkKey"> {
  const signKey = priv === null ? null : privateKey(family, priv);
  const given = pub === null ? null : publicKey(family, pub);
  const checkKey = signKey === null ? given : createPublicKey(signKey);
  if (checkKey === null) throw new AuthOptionsError("auth: missing key data");
  if (given !== null && !given.equals(checkKey)) {
    throw new AuthOptionsError("auth: public and private keys don't match");
  }
  const bits = checkKey.asymmetricKeyDetails?.modulusLength ?? RSA_BITS_MIN;
  if (bits < RSA_BITS_MIN) {
    throw new AuthOptionsError(`auth: an RSA key has at least ${RSA_BITS_MIN} bits, this one has ${bits}`);
  }
  return { signKey, checkKey };
}

function privateKey(family: Exclude<Family, "hmac">, pem: Buffer): KeyObject {
  const label = labelOf(pem);
  if (!label.endsWith("PRIVATE KEY")) throw new AuthOptionsError(`key is not a valid ${NAMES[family]} private key`);
  return parsed(() => createPrivateKey(pem), family, "private");
}

/** Node would also take the public half of a private key; who gives that as the public one has mixed something up. */
function publicKey(family: Exclude<Family, "hmac">, pem: Buffer): KeyObject {
  const label = labelOf(pem);
  const isTaken = label.endsWith("PUBLIC KEY") || (label === "CERTIFICATE" && family !== "ed25519");
  if (!isTaken) throw new AuthOptionsError(`key is not a valid ${NAMES[family]} public key`);
  return parsed(() => createPublicKey(pem), family, "public");
}

function labelOf(pem: Buffer): string {
  const label = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem.toString("latin1"))?.[1];
  if (label === undefined) throw new AuthOptionsError("invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key");
  return label;
}

function parsed(read: () => KeyObject, family: Exclude<Family, "hmac">, half: string): KeyObject {
  const invalid = () => new AuthOptionsError(`key is not a valid ${NAMES[family]} ${half} key`);
  try {
    const key = read();
    if (key.asymmetricKeyType !== family) throw invalid();
    return key;
  } catch (error) {
    // OpenSSL's words tell of the key's inside and mean nothing to an operator.
    throw error instanceof AuthOptionsError ? error : invalid();
  }
}
