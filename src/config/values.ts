// Reading the text of one flag, with the texts that Go's flag package and etcd's own flag types give.

import { parseBool } from "./bool.js";
import { parseDuration } from "./duration.js";
import type { FlagSpec } from "./flags/index.js";
import { parseGates } from "./gates.js";
import { type ListenUrl, parseUrls } from "./urls.js";

export type FlagValue =
  | string
  | boolean
  /** A whole number, or nanoseconds. */
  | bigint
  | readonly string[]
  | readonly ListenUrl[]
  | ReadonlyMap<string, boolean>;

const UINT64_MAX = 2n ** 64n - 1n;
const INT64_MAX = 2n ** 63n - 1n;

/** Reads an integer of Go's syntax between the bounds. Throws "parse error" or "value out of range". */
function parseInteger(text: string, least: bigint, most: bigint): bigint {
  const unsigned = least === 0n;
  const digits = unsigned ? text : text.replace(/^[+-]/, "");
  if (!/^(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)$/.test(digits)) throw new Error("parse error");
  const octal = digits.replace(/^0([0-7]+)$/, "0o$1");
  const value = text.startsWith("-") ? -BigInt(octal) : BigInt(octal);
  if (value < least || value > most) throw new Error("value out of range");
  return value;
}

function parseUint32(text: string): bigint {
  const quoted = JSON.stringify(text);
  if (!/^[0-9]+$/.test(text)) throw new Error(`strconv.ParseUint: parsing ${quoted}: invalid syntax`);
  if (BigInt(text) > 4294967295n) throw new Error(`strconv.ParseUint: parsing ${quoted}: value out of range`);
  return BigInt(text);
}

/** Comma-separated texts as etcd reads a set: empty for no text, each once, sorted. */
function parseSet(text: string): string[] {
  return [...new Set(text.split(",").filter((item) => item !== ""))].sort();
}

function parseChoice(flag: FlagSpec, text: string): string {
  if (text === "" && flag.default === "") return "";
  if (flag.choices.includes(text)) return text;
  // etcd has two types for a choice, and their texts differ.
  throw new Error(flag.name === "v2-deprecation" ? `invalid value ${JSON.stringify(text)}` : "invalid value");
}

/** The value that a text gives to a flag. Throws Error with the reason alone ("parse error"). */
export function parseValue(flag: FlagSpec, text: string): FlagValue {
  switch (flag.kind) {
    case "string":
    case "ignored":
      return text;
    case "bool": {
      const value = parseBool(text);
      if (value === null) throw new Error("parse error");
      return value;
    }
    case "uint":
      return parseInteger(text, 0n, UINT64_MAX);
    case "int":
      return parseInteger(text, -INT64_MAX - 1n, INT64_MAX);
    case "uint32":
      return parseUint32(text);
    case "duration": {
      const nanoseconds = parseDuration(text);
      if (nanoseconds === null) throw new Error("parse error");
      return nanoseconds;
    }
    case "urls":
      return text === flag.exception ? [] : parseUrls(text);
    case "strings":
      return text === "" ? [] : text.split(",");
    case "set":
      return parseSet(text);
    case "choice":
      return parseChoice(flag, text);
    case "gates":
      return parseGates(text);
  }
}
