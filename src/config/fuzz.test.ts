// Config files that nobody would write: each is taken or refused with a reason, and what YAML's writer writes is read.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { fuzzing } from "../../test/depth.js";
import { ConfigError } from "./errors.js";
import { readConfigFile } from "./file.js";
import { FLAGS } from "./flags/index.js";
import { Settings } from "./settings.js";
import { parseYaml } from "./yaml.js";

const folder = mkdtempSync(join(tmpdir(), "netcd-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CORPUS = join(import.meta.dirname, "corpus");
const seeds = readdirSync(CORPUS)
  .sort()
  .map((name) => readFileSync(join(CORPUS, name), "utf8"));

/** What YAML gives a meaning to, and what a config file has. */
const FRAGMENTS = [
  ...[
    "\n",
    "\n  ",
    "\n\t",
    " ",
    ": ",
    ":",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "# ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
  ],
  ...[
    "%YAML 1.2\n",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "!!binary ",
    "!x ",
    '"',
    "'",
    "\\",
    "\\u12",
    '"\\x4"',
    "\0",
    "\ufeff",
  ],
  ...[
    "~",
    "null",
    "yes",
    "0o17",
    "0x1f",
    "1_000",
    "1:30",
    "-.inf",
    ".nan",
    "1e400",
    "9223372036854775808",
    "2001-01-01",
  ],
  ...["true", "__proto__", "constructor", "é", "\u2028", "\ud800", "@", "`"],
  ...[...FLAGS.values()].flatMap((flag) => flag.yaml ?? []),
];

/** A place in a text, of those that it has. */
const cut = (text: string, at: number) => Math.floor(at * (text.length + 1));

/** A file of the corpus, or nothing, with pieces put in, taken out and said twice. */
const text = fc
  .tuple(
    fc.constantFrom("", ...seeds),
    fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.nat({ max: 12 }),
        fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...FRAGMENTS) }, fc.string({ unit: "binary", maxLength: 8 })),
        fc.boolean(),
      ),
      { maxLength: 12 },
    ),
  )
  .map(([start, changes]) =>
    changes.reduce((text, [at, removed, added, twice]) => {
      const from = cut(text, at);
      const piece = text.slice(from, from + removed);
      return text.slice(0, from) + added + (twice ? piece + piece : "") + text.slice(from + removed);
    }, start),
  );

/** The value, or the reason why there is none. Whatever else is thrown is a mistake of the parser's. */
function outcome(text: string): { value: unknown } | { reason: string } {
  try {
    return { value: parseYaml(text) };
  } catch (error) {
    expect((error as Error).constructor).toBe(Error);
    return { reason: (error as Error).message };
  }
}

/** As the parser gives numbers: whole ones exactly. */
function exact(value: unknown): unknown {
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  if (Array.isArray(value)) return value.map(exact);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, exact(each)]));
}

const { timeout, parameters } = fuzzing();

/** What no key of a map may be here: it is no property of an object, or merges another map into this one. */
const NO_KEYS = new Set(["__proto__", "<<"]);

describe("the config file", () => {
  test("any text is YAML or refused with a reason, and the same each time", { timeout }, () => {
    expect(seeds.length).toBeGreaterThan(2);
    const check = (text: string) => {
      const first = outcome(text);
      if ("reason" in first) expect(first.reason.trim()).not.toBe("");
      expect(outcome(text)).toEqual(first);
    };
    seeds.forEach(check);
    fc.assert(fc.property(text, check), parameters);
  });

  test("any file sets what it may or is refused with a reason", { timeout }, () => {
    const path = join(folder, "netcd.yaml");
    const check = (text: string) => {
      writeFileSync(path, text);
      const settings = new Settings();
      try {
        readConfigFile(path, settings);
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
        expect((error as ConfigError).message.trim()).not.toBe("");
      }
      // What was set has the type of its flag, whatever the file said.
      for (const { name, kind } of FLAGS.values()) {
        if (kind === "bool") expect(typeof settings.bool(name)).toBe("boolean");
      }
    };
    seeds.forEach(check);
    fc.assert(fc.property(text, check), parameters);
  });

  test("what is written as YAML or as JSON is read as it was", { timeout }, () => {
    const key = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 6 }).filter((key) => !NO_KEYS.has(key));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ depthSize: "small" }, tie("leaf"), tie("list"), tie("map")),
      leaf: fc.oneof(
        fc.boolean(),
        fc.constant(null),
        fc.maxSafeInteger(),
        fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Number.isInteger(number)),
        // The library writes a text that begins with a byte order mark bare, where that is the file's own.
        fc
          .oneof(
            fc.string({ unit: "grapheme", maxLength: 20 }),
            fc.constantFrom(...FRAGMENTS.filter((fragment) => !/\p{Surrogate}/u.test(fragment))),
          )
          .filter((text) => !text.startsWith("\uFEFF")),
      ),
      list: fc.array(tie("value"), { maxLength: 4 }),
      map: fc.dictionary(key, tie("value"), { maxKeys: 4, noNullPrototype: true }),
    }));
    const check = (value: unknown) => {
      expect(parseYaml(JSON.stringify(value))).toEqual(exact(value));
      expect(parseYaml(stringify(value, { version: "1.1", customTags: (tags) => [...tags, "intOct"] }))).toEqual(
        exact(value),
      );
    };
    fc.assert(fc.property(value, check), parameters);
  });
});
