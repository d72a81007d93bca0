// The order of the folders below src, as ARCHITECTURE.md has it: imports point down only.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const SOURCES = join(import.meta.dirname, "../src");

/** From the bottom to the top; what stands in one row does not import each other. The files beside them are on top. */
const ORDER = [
  ["config", "log", "errors", "limits", "wire", "proto"],
  ["raft", "native"],
  ["replica"],
  ["cluster"],
  ["lease"],
  ["services"],
  ["maintenance", "http"],
];

const levelOf = (part: string) => {
  const found = ORDER.findIndex((row) => row.includes(part));
  return found < 0 ? ORDER.length : found;
};

/** The folder below src that a module is in; of a module beside them, its own name. */
const partOf = (path: string) => (path.split("/")[0] ?? "").replace(/\.[jt]s$/, "");

/** Whether a module of one part may import one of the other. */
function mayImport(from: string, to: string): boolean {
  const top = ORDER.length;
  return from === to || levelOf(from) > levelOf(to) || (levelOf(from) === top && levelOf(to) === top);
}

const modules = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter(
  (path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && !path.startsWith("proto/"),
);

/** What a module imports of this project, from src on. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(SOURCES, path), "utf8");
  const targets = [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map(([, target = ""]) => target);
  return targets.map((target) => relative(SOURCES, join(SOURCES, dirname(path), target)));
}

test("no module imports one above it", () => {
  const pairs = modules.flatMap((path) => importsOf(path).map((imported) => [path, imported] as const));
  expect(pairs.length).toBeGreaterThan(500);
  expect(pairs.filter(([path, imported]) => !mayImport(partOf(path), partOf(imported)))).toEqual([]);
});

test("the rule allows and refuses what it should", () => {
  expect(modules.length).toBeGreaterThan(100);
  expect(partOf("native/load.ts")).toBe("native");
  expect(partOf("errors.js")).toBe("errors");
  for (const [from, to] of [
    ["lease", "cluster"],
    ["member", "http"],
    ["raft", "raft"],
    ["member", "parts"],
  ] as const) {
    expect(mayImport(from, to), `${from} ${to}`).toBe(true);
  }
  for (const [from, to] of [
    ["cluster", "lease"],
    ["native", "raft"],
    ["http", "member"],
    ["log", "config"],
  ] as const) {
    expect(mayImport(from, to), `${from} ${to}`).toBe(false);
  }
});
