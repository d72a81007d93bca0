// Reading the config file: YAML or JSON (which is YAML too), its keys and types as etcd has them.

import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { ConfigError } from "./errors.js";
import { FLAGS, type FlagSpec } from "./flags/index.js";
import type { Settings } from "./settings.js";

/** Flags whose value is a YAML list; all other lists are one comma-separated text. */
const YAML_LISTS = new Set([
  "log-outputs",
  "cipher-suites",
  "discovery-endpoints",
  "client-cert-allowed-hostname",
  "peer-cert-allowed-cn",
  "peer-cert-allowed-hostname",
]);

/** Go's names of the types, for the texts of errors. */
const GO_TYPES: Readonly<Partial<Record<FlagSpec["kind"], string>>> = {
  bool: "bool",
  uint: "uint",
  uint32: "uint32",
  int: "int",
  duration: "time.Duration",
};

/** Sets what the file names. Throws ConfigError with etcd's text where it has one. */
export function readConfigFile(path: string, settings: Settings): void {
  const document = parseDocument(readText(path));
  for (const flag of FLAGS.values()) {
    if (!flag.yaml) continue;
    const found = lookUp(document, flag.yaml);
    if (found === undefined || found === null) continue;
    setFromFile(flag, found, settings);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: "no such file or directory",
      EACCES: "permission denied",
      EISDIR: "is a directory",
    };
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = reasons[code ?? ""] ?? message;
    throw new ConfigError(code === "EISDIR" ? `read ${path}: ${reason}` : `open ${path}: ${reason}`);
  }
}

function parseDocument(text: string): unknown {
  let document: unknown;
  try {
    // Big numbers stay exact: durations are nanoseconds, and a quota may be any 64-bit number.
    document = parse(text, { intAsBigInt: true });
  } catch (error) {
    throw new ConfigError(`error converting YAML to JSON: yaml: ${(error as Error).message}`);
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== "object" || Array.isArray(document)) {
    throw new ConfigError("error unmarshaling JSON: the config file must hold a map");
  }
  return document;
}

function lookUp(document: unknown, path: readonly string[]): unknown {
  let place: unknown = document;
  for (const key of path) {
    if (typeof place !== "object" || place === null || Array.isArray(place)) return undefined;
    place = (place as Record<string, unknown>)[key];
  }
  return place;
}

function setFromFile(flag: FlagSpec, found: unknown, settings: Settings): void {
  const key = (flag.yaml ?? []).join(".");
  const text = textOf(flag, found, key);
  if (flag.name === "initial-cluster-state" && text === "") return;
  try {
    settings.set(flag.name, text, "file");
  } catch (error) {
    if (flag.name === "initial-cluster-state") throw new ConfigError(`unexpected clusterState ${JSON.stringify(text)}`);
    throw new ConfigError(`unexpected error setting up ${key}: ${(error as Error).message}`);
  }
}

/** The text by which a flag would set the same value. Throws ConfigError if the type is not the flag's. */
function textOf(flag: FlagSpec, found: unknown, key: string): string {
  const wrong = (type: string) =>
    new ConfigError(
      `error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${jsonType(found)} into Go struct field configYAML.${key} of type ${type}`,
    );
  if (YAML_LISTS.has(flag.name)) {
    if (!Array.isArray(found) || !found.every((item) => typeof item === "string")) throw wrong("[]string");
    return found.join(",");
  }
  switch (flag.kind) {
    case "bool":
      if (typeof found !== "boolean") throw wrong("bool");
      return String(found);
    case "uint":
    case "uint32":
    case "int":
      if (typeof found !== "bigint") throw wrong(GO_TYPES[flag.kind] ?? "int");
      return String(found);
    case "duration":
      if (typeof found !== "bigint") throw wrong("time.Duration");
      return `${found}ns`;
    default:
      if (typeof found !== "string") throw wrong("string");
      return found;
  }
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
