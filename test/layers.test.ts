// The order of the folders below src, as docs/architecture.md has it: imports point down only, and programs that talk to
// a server over the wire hold none of its code.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const SOURCES = join(import.meta.dirname, "../src");

/**
 * The server's folders and the modules beside them, from the bottom to the top; what stands in one row does not import
 * each other. A row names folders that are still to come, too: where they lie is decided.
 */
const SERVER = [
  ["version", "limits", "gofiles", "wire", "proto"],
  ["errors"],
  ["config", "log"],
  ["raft", "native", "discovery"],
  ["tls"],
  ["replica"],
  ["cluster"],
  ["lease", "auth", "v2"],
  ["services"],
  ["maintenance", "http", "gateway"],
  ["member"],
  ["embedded", "process"],
  ["main", "index"],
];

/** What talks to a server from outside: none of these imports the server, and the server imports none of them. */
const CLIENTS = [["client"], ["ctl", "proxy", "console"]];

/** Offline tools: the boundary to Rust and what is below it, no server. */
const OFFLINE = ["utl"];

/** What both sides may import: the wire, and facts that need nothing. `embedded` joins a server with a client. */
const SHARED = ["version", "errors", "limits", "wire", "proto"];
const BELOW_OFFLINE = [...SHARED, "config", "log", "native"];

const rowOf = (rows: readonly string[][], part: string) => rows.findIndex((row) => row.includes(part));

/** The folder below src that a module is in; of a module beside them, its own name. */
const partOf = (path: string) => (path.split("/")[0] ?? "").replace(/\.[jt]s$/, "");

/** Whether a module of one part may import one of the other. */
function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  if (OFFLINE.includes(from)) return BELOW_OFFLINE.includes(to);
  const client = rowOf(CLIENTS, from);
  if (client >= 0) return SHARED.includes(to) || (rowOf(CLIENTS, to) >= 0 && rowOf(CLIENTS, to) < client);
  if (from === "embedded" && to === "client") return true;
  const [own, other] = [rowOf(SERVER, from), rowOf(SERVER, to)];
  return own >= 0 && other >= 0 && own > other;
}

const modules = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter(
  (path) => path.endsWith(".ts") && !/\.test\.ts$|\/tests\//.test(path) && !path.startsWith("proto/"),
);

/** What a module imports of this project, from src on. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(SOURCES, path), "utf8");
  const targets = [...text.matchAll(/(?:from|import\(|import)\s*"(\.[^"]+)"/g)].map(([, target = ""]) => target);
  return targets.map((target) => relative(SOURCES, join(SOURCES, dirname(path), target)));
}

const pairs = modules.flatMap((path) => importsOf(path).map((imported) => [path, imported] as const));

test("no module imports one above it", () => {
  expect(pairs.length).toBeGreaterThan(500);
  expect(pairs.filter(([path, imported]) => !mayImport(partOf(path), partOf(imported)))).toEqual([]);
});

test("every folder and every module beside them has its place", () => {
  const places = [...SERVER.flat(), ...CLIENTS.flat(), ...OFFLINE];
  expect(modules.map(partOf).filter((part) => !places.includes(part))).toEqual([]);
  expect(new Set(places).size).toBe(places.length);
});

/** The modules of a circle of imports through this one, itself first; null if there is none. */
function circleThrough(start: string, imports: ReadonlyMap<string, readonly string[]>): string[] | null {
  const seen = new Set<string>();
  const walk = (module: string, way: string[]): string[] | null => {
    for (const next of imports.get(module) ?? []) {
      if (next === start) return way;
      if (seen.has(next)) continue;
      seen.add(next);
      const found = walk(next, [...way, next]);
      if (found) return found;
    }
    return null;
  };
  return walk(start, [start]);
}

test("no imports form a circle", () => {
  const imports = new Map(
    modules.map((path) => [path, importsOf(path).map((target) => target.replace(/\.js$/, ".ts"))]),
  );
  const missing = [...imports.values()].flat().filter((path) => !existsSync(join(SOURCES, path)));
  // What is generated has no source beside it, and imports nothing of this project.
  expect(missing.filter((path) => !path.startsWith("proto/"))).toEqual([]);
  expect(modules.map((path) => circleThrough(path, imports)).filter((circle) => circle !== null)).toEqual([]);
  const closed = new Map([
    ["a", ["b"]],
    ["b", ["c", "d"]],
    ["c", []],
    ["d", ["a"]],
  ]);
  expect(circleThrough("a", closed)).toEqual(["a", "b", "d"]);
  expect(circleThrough("c", closed)).toBeNull();
});

test("the rule allows and refuses what it should", () => {
  expect(modules.length).toBeGreaterThan(100);
  expect(partOf("native/load.ts")).toBe("native");
  expect(partOf("errors.js")).toBe("errors");
  for (const [from, to] of [
    ["lease", "cluster"],
    ["member", "http"],
    ["raft", "raft"],
    ["main", "member"],
    ["embedded", "client"],
    ["ctl", "client"],
    ["ctl", "version"],
    ["utl", "native"],
  ] as const) {
    expect(mayImport(from, to), `${from} ${to}`).toBe(true);
  }
  for (const [from, to] of [
    ["cluster", "lease"],
    ["native", "raft"],
    ["http", "member"],
    ["log", "config"],
    ["client", "replica"],
    ["ctl", "config"],
    ["proxy", "ctl"],
    ["member", "client"],
    ["utl", "member"],
    ["member", "utl"],
    ["unknown", "errors"],
    ["main", "unknown"],
  ] as const) {
    expect(mayImport(from, to), `${from} ${to}`).toBe(false);
  }
});
