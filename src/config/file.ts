// Reading the config file: YAML or JSON (which is YAML too), its keys and types as etcd has them.

import { readFile } from "../gofiles.js";
import { ConfigError } from "./errors.js";
import { type FlagSpec, SETTINGS } from "./flags/index.js";
import type { Settings } from "./settings.js";
import { parseYaml } from "./yaml.js";

/** Flags whose value is a YAML list; all other lists are one comma-separated text. */
const YAML_LISTS = new Set([
  "log-outputs",
  "cipher-suites",
  "discovery-endpoints",
  "client-cert-allowed-hostname",
  "client-transport-security.allowed-cn",
  "peer-cert-allowed-cn",
  "peer-cert-allowed-hostname",
]);

/** Flags that etcd keeps in another structure than the rest, which its errors name. */
const TEXTS_OF_LISTS = new Set([
  "listen-peer-urls",
  "listen-client-urls",
  "listen-client-http-urls",
  "listen-metrics-urls",
  "initial-advertise-peer-urls",
  "advertise-client-urls",
  "cors",
  "host-whitelist",
  "feature-gates",
]);

const UNMARSHAL = "error unmarshaling JSON: while decoding JSON:";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** What Go may hold in the type of a whole number, and the names of those types for the texts of errors. */
const INTEGERS: Readonly<Record<string, { least: bigint; most: bigint }>> = {
  int: { least: INT64_MIN, most: INT64_MAX },
  int64: { least: INT64_MIN, most: INT64_MAX },
  uint: { least: 0n, most: UINT64_MAX },
  uint64: { least: 0n, most: UINT64_MAX },
  uint32: { least: 0n, most: 2n ** 32n - 1n },
  "time.Duration": { least: INT64_MIN, most: INT64_MAX },
};

/** Flags whose type in Go is not the one that their kind is named after. */
const GO_TYPES: Readonly<Record<string, string>> = {
  "quota-backend-bytes": "int64",
  "snapshot-count": "uint64",
  "snapshot-catchup-entries": "uint64",
};

/** Sets what the file names. Throws ConfigError with etcd's text where it has one. */
export function readConfigFile(path: string, settings: Settings): void {
  const document = parseDocument(readText(path));
  for (const flag of SETTINGS.values()) {
    if (!flag.yaml) continue;
    const found = lookUp(document, flag.yaml);
    if (found === undefined || found === null) continue;
    setFromFile(flag, found, settings);
  }
}

function readText(path: string): string {
  try {
    return readFile(path).toString();
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
}

function parseDocument(text: string): unknown {
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    throw new ConfigError(`error converting YAML to JSON: yaml: ${(error as Error).message}`);
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== "object" || Array.isArray(document)) {
    throw new ConfigError(
      `${UNMARSHAL} json: cannot unmarshal ${jsonType(document)} into Go value of type embed.configYAML`,
    );
  }
  return document;
}

/** What the document has at this path of keys; undefined if nothing. Throws ConfigError if a map on it is none. */
function lookUp(document: unknown, path: readonly string[]): unknown {
  let place: unknown = document;
  for (const [depth, key] of path.entries()) {
    if (place === undefined || place === null) return undefined;
    if (typeof place !== "object" || Array.isArray(place)) {
      throw new ConfigError(
        `${UNMARSHAL} json: cannot unmarshal ${jsonType(place)} into Go struct field configYAML.configJSON.${path.slice(0, depth).join(".")} of type embed.securityConfig`,
      );
    }
    place = lastOf(place as Record<string, unknown>, key);
  }
  return place;
}

/** Keys count whatever their case; of several the last in byte order, as the exact one is. */
function lastOf(map: Readonly<Record<string, unknown>>, key: string): unknown {
  const last = Object.keys(map)
    .filter((each) => each.toLowerCase() === key)
    .sort()
    .at(-1);
  return last === undefined ? undefined : map[last];
}

function setFromFile(flag: FlagSpec, found: unknown, settings: Settings): void {
  const key = (flag.yaml ?? []).join(".");
  const text = textOf(flag, found, key);
  if (flag.name === "initial-cluster-state" && text === "") return;
  try {
    settings.set(flag.name, text, "file");
  } catch (error) {
    if (flag.name === "initial-cluster-state") throw new ConfigError(`unexpected clusterState ${JSON.stringify(text)}`);
    if (flag.name === "feature-gates") throw new ConfigError((error as Error).message);
    throw new ConfigError(`unexpected error setting up ${key}: ${(error as Error).message}`);
  }
}

/** The text by which a flag would set the same value. Throws ConfigError if the type is not the flag's. */
function textOf(flag: FlagSpec, found: unknown, key: string): string {
  const wrong = (type: string, what = jsonType(found)) =>
    new ConfigError(
      `${UNMARSHAL} json: cannot unmarshal ${what} into Go struct field ${structureOf(flag)}.${key} of type ${type}`,
    );
  if (YAML_LISTS.has(flag.name)) {
    if (!Array.isArray(found)) throw wrong("[]string");
    const other = found.find((item) => typeof item !== "string");
    if (other !== undefined) throw wrong("string", jsonType(other));
    return found.join(",");
  }
  switch (flag.kind) {
    case "bool":
      if (typeof found !== "boolean") throw wrong("bool");
      return String(found);
    case "uint":
    case "uint32":
    case "int":
    case "duration": {
      const type = GO_TYPES[flag.name] ?? (flag.kind === "duration" ? "time.Duration" : flag.kind);
      if (typeof found !== "bigint" && typeof found !== "number") throw wrong(type);
      const whole = wholeNumber(found, type);
      if (whole === null) throw wrong(type, `number ${jsonNumber(found)}`);
      return flag.kind === "duration" ? `${whole}ns` : String(whole);
    }
    default:
      if (typeof found !== "string") throw wrong("string");
      return found;
  }
}

/** Go's names of the structures on the way to the field. */
function structureOf(flag: FlagSpec): string {
  if ((flag.yaml?.length ?? 0) > 1) return "securityConfig.configJSON";
  return TEXTS_OF_LISTS.has(flag.name) ? "configYAML.configJSON" : "configYAML.Config";
}

/** Null if it is not whole or not in the type's range. */
function wholeNumber(found: bigint | number, type: string): bigint | null {
  const range = INTEGERS[type];
  if (!range || !/^-?\d+$/.test(jsonNumber(found))) return null;
  const whole = BigInt(found);
  return whole >= range.least && whole <= range.most ? whole : null;
}

/** How etcd's conversion to JSON writes it: whole numbers beyond 64 bits are floating-point numbers. */
function jsonNumber(found: bigint | number): string {
  const exact = typeof found === "bigint" && found >= INT64_MIN && found <= UINT64_MAX;
  return exact ? String(found) : String(Number(found));
}

function jsonType(found: unknown): string {
  if (Array.isArray(found)) return "array";
  switch (typeof found) {
    case "bigint":
    case "number":
      return "number";
    case "boolean":
      return "bool";
    case "string":
      return "string";
    default:
      return "object";
  }
}
