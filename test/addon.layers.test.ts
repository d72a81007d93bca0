// The order of the addon's modules: what is below imports nothing from above, so that no imports form a circle.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const SOURCES = join(import.meta.dirname, "../native/addon/src");

/** From the bottom to the top; what stands in one row does not import each other. */
const ROWS = [
  ["limits", "event", "check", "signals"],
  ["queue", "options", "system", "buffer"],
  ["sink", "backend", "snapshots", "watches"],
  ["links"],
  ["open"],
  ["shared", "found"],
  ["tasks", "events"],
  ["log", "leases", "peers", "transport"],
  ["engine"],
  ["store"],
  ["lib"],
];

const rowOf = (name: string) => ROWS.findIndex((row) => row.includes(name));

const modules = readdirSync(SOURCES).map((file) => file.replace(/\.rs$/, ""));

/** The modules of the crate that one names, in a `use` or by its path. */
function importsOf(source: string): string[] {
  const grouped = [...source.matchAll(/\bcrate::\{([^;]*)\}/g)].flatMap(([, names = ""]) => names.split(","));
  const single = [...source.matchAll(/\b(?:crate|super)::(\w+)/g)].map(([, name = ""]) => name);
  return [...single, ...grouped.map((name) => name.trim().split("::")[0] ?? "")].filter((name) => name !== "");
}

const pairs = modules.flatMap((name) =>
  importsOf(readFileSync(join(SOURCES, `${name}.rs`), "utf8")).map((imported) => [name, imported] as const),
);

test("no module of the addon imports one above it or beside it", () => {
  expect(pairs.length).toBeGreaterThan(50);
  expect(pairs.filter(([name, imported]) => !(rowOf(imported) >= 0 && rowOf(imported) < rowOf(name)))).toEqual([]);
});

test("every module of the addon has its place", () => {
  const places = ROWS.flat();
  expect([...modules].sort()).toEqual([...places].sort());
});

test("imports are found in all their forms", () => {
  const source = "use crate::open::{Found, open};\nuse crate::{event::Event, queue};\nlet x = crate::check::id;";
  expect(importsOf(source)).toEqual(["open", "check", "event", "queue"]);
});
