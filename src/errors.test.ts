// The table of errors that both languages share: nothing in it is unused, and no code has such a text of its own.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { rpcError, rpcErrorOfText } from "./errors.js";
import { ERRORS } from "./proto/errors.js";

const ROOT = join(import.meta.dirname, "..");

interface TableLine {
  name: keyof typeof ERRORS;
  code: string;
  text: string;
}

const table = JSON.parse(readFileSync(join(ROOT, "proto/errors.json"), "utf8")) as TableLine[];

const isTest = (path: string) => /\.test\.ts$|_test\.rs$|(^|\/)tests?(\.rs$|\/)|^proto\//.test(path);

/** The sources below a folder by their paths, without tests. */
function sources(folder: string, suffix: string): [string, string][] {
  const paths = readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" });
  return paths
    .filter((path) => path.endsWith(suffix) && !isTest(path))
    .map((path) => [
      join(folder, path),
      readFileSync(join(ROOT, folder, path), "utf8").split("#[cfg(test)]\nmod tests {")[0] ?? "",
    ]);
}

const typescript = sources("src", ".ts");
const rust = sources("native", ".rs");

const constantOf = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** Whether one of the sources speaks of an error, by the name that it has there. */
function isUsed(name: string): boolean {
  const inTypescript = new RegExp(`ERRORS\\.${name}\\b|(named|rpcError)\\("${name}"\\)`);
  // What returns names of errors says so by their type.
  const asName = (text: string) => /\bErrorName\b/.test(text) && text.includes(`"${name}"`);
  const inRust = new RegExp(`\\b${constantOf(name)}\\b`);
  return (
    typescript.some(([, text]) => inTypescript.test(text) || asName(text)) || rust.some(([, text]) => inRust.test(text))
  );
}

/** Literals that should be in the table. */
function textsIn(source: string): string[] {
  return source.match(/"etcdserver: [^"]+"/g) ?? [];
}

describe("the table of errors", () => {
  test("both languages have every line of it", () => {
    expect(table.length).toBeGreaterThan(40);
    expect(table.map(({ name }) => name)).toEqual(Object.keys(ERRORS));
    for (const { name, text } of table) {
      expect(rpcError(name)).toMatchObject({ details: text });
      expect(rpcErrorOfText(text)).toEqual(rpcError(name));
    }
    expect(rpcErrorOfText("etcdserver: nothing of the kind")).toBeNull();
  });

  test("every name is used", () => {
    expect(table.map(({ name }) => name).filter((name) => !isUsed(name))).toEqual([]);
    expect(isUsed("nobodyNeedsThis")).toBe(false);
  });

  test("no source has such a text of its own", () => {
    expect(typescript.length).toBeGreaterThan(100);
    expect(rust.length).toBeGreaterThan(100);
    const own = [...typescript, ...rust].flatMap(([path, text]) => textsIn(text).map((found) => `${path}: ${found}`));
    expect(own).toEqual([]);
    expect(textsIn('new Error("etcdserver: no leader")')).toEqual(['"etcdserver: no leader"']);
  });
});
