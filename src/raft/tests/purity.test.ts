// src/raft is pure: no clock, no randomness of its own, no timers, no I/O, no imports from outside.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const folder = join(import.meta.dirname, "..");
const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));

const banned = [
  /\bDate\b/,
  /\bMath\.random\b/,
  /\bsetTimeout\b/,
  /\bsetInterval\b/,
  /\bsetImmediate\b/,
  /\bqueueMicrotask\b/,
  /\bprocess\./,
  /\bperformance\b/,
  /\bcrypto\b/,
  /\bPromise\b/,
  /\basync\b/,
  /\bawait\b/,
  /node:/,
];

/** The code without its comments. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

describe("src/raft", () => {
  test("has the modules that this test is about", () => {
    expect(files).toEqual(expect.arrayContaining(["node.ts", "log.ts", "election.ts", "quorum.ts"]));
  });

  test.each(files)("%s is pure", (name) => {
    const text = code(readFileSync(join(folder, name), "utf8"));
    for (const pattern of banned) expect(text).not.toMatch(pattern);
    for (const [, from] of text.matchAll(/from\s+"([^"]+)"/g)) expect(from).toMatch(/^\.\/[a-z]+\.js$/);
  });

  test("the patterns find what they ban", () => {
    expect(code("const a = Date.now(); // fine")).toMatch(banned[0] as RegExp);
    expect(code("// Date\n/* setTimeout */")).not.toMatch(/Date|setTimeout/);
  });
});
