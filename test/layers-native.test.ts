// The order of the Rust crates, and of the files in each: imports point down only, as in src (layers.test.ts).

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { circlesOf, importsOf, tokensOf, useTree, withoutLiterals } from "./rustmodules.js";

const NATIVE = join(import.meta.dirname, "../native");

/** The crates from the bottom to the top; those of one row know nothing of each other. */
const ORDER = [["fuzz"], ["engine", "http2"], ["front"], ["addon"]];
const CRATES = ORDER.flat();

/**
 * Groups of files that still import each other in circles. This list only becomes shorter: a circle that was opened is
 * taken off it, and no new one is put on it.
 */
const CIRCLES: Record<string, string[][]> = {};

/** Crates whose folders are layers too. In front they are subjects, of which each has files of several heights. */
const LAYERED = CRATES.filter((crate) => crate !== "front");

/** The folder of a file, or the file itself where it is in none. */
const folderOf = (path: string) => (path.split("/")[0] ?? path).replace(/\.rs$/, "");

/** What the folders of a crate import of each other. */
function foldersOf(imports: ReadonlyMap<string, readonly string[]>): Map<string, string[]> {
  const folders = new Map<string, Set<string>>([...imports.keys()].map((path) => [folderOf(path), new Set()]));
  for (const [path, targets] of imports) {
    for (const target of targets)
      if (folderOf(target) !== folderOf(path)) folders.get(folderOf(path))?.add(folderOf(target));
  }
  return new Map([...folders].map(([folder, targets]) => [folder, [...targets]]));
}

/** The crates of this workspace that one depends on, whatever for. */
function dependenciesOf(manifest: string): string[] {
  return [...manifest.matchAll(/^netcd-(\w+)(?:\.\w+)?\s*=/gm)].map(([, name = ""]) => name);
}

const rowOf = (crate: string) => ORDER.findIndex((row) => row.includes(crate));

/** The sources of a crate: paths below src, and their texts. */
function sourcesOf(crate: string): Map<string, string> {
  const root = join(NATIVE, crate, "src");
  const paths = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".rs"));
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

const IS_TEST = /(^|\/)(tests|testing)(\/|\.rs$)|_test\.rs$/;

describe("the crates", () => {
  test("each has its place", () => {
    const there = readdirSync(NATIVE, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect([...CRATES].sort()).toEqual(there.map(({ name }) => name).sort());
  });

  test("none depends on one of its row or above it", () => {
    const pairs = CRATES.flatMap((crate) =>
      dependenciesOf(readFileSync(join(NATIVE, crate, "Cargo.toml"), "utf8")).map((other) => [crate, other] as const),
    );
    expect(pairs).toContainEqual(["front", "http2"]);
    expect(pairs.filter(([crate, other]) => rowOf(other) < 0 || rowOf(other) >= rowOf(crate))).toEqual([]);
  });

  test.each(CRATES)("the files of %s import downwards, but for the circles that are known", (crate) => {
    const sources = sourcesOf(crate);
    const imports = importsOf(sources);
    // All that is not for tests alone is looked at, and something is found in it.
    expect([...sources.keys()].filter((path) => !imports.has(path) && !IS_TEST.test(path))).toEqual([]);
    expect([...imports.keys()].filter((path) => IS_TEST.test(path))).toEqual([]);
    expect([...imports.values()].flat().length).toBeGreaterThanOrEqual(imports.size - 1);
    expect(circlesOf(imports)).toEqual(CIRCLES[crate] ?? []);
  });

  // A file may import one of a folder above its own without a circle of files.
  test.each(LAYERED)("the folders of %s import downwards", (crate) => {
    expect(circlesOf(foldersOf(importsOf(sourcesOf(crate))))).toEqual([]);
  });

  test("an import that points up shows in the folders", () => {
    const sources = sourcesOf("engine");
    const low = "wal/segment.rs";
    sources.set(low, `${sources.get(low)}\nfn up(_: crate::pipeline::PipelineError) {}\n`);
    expect(circlesOf(foldersOf(importsOf(sources)))).toEqual([expect.arrayContaining(["pipeline", "wal"])]);
  });
});

/** The imports of a crate that is written down here. */
const graph = (files: Record<string, string>) => Object.fromEntries(importsOf(new Map(Object.entries(files))));

describe("what is read of Rust", () => {
  test("comments and literals are no code", () => {
    const text = `a /* b /* "c" */ d */ e // f
      "g \\" h" i r#"j " k"# l b"m" 'n' '\\'' '\\u{6f}' &'p str "// q" r`;
    expect(withoutLiterals(text).match(/\S+/g)).toEqual(["a", "e", "i", "l", "&'p", "str", "r"]);
  });

  test("what only tests have is no code", () => {
    const text = `#![deny(x)] #[cfg(test)] mod tests; #[cfg(test)] #[path = "y.rs"] mod tests { use a::b; } one
      struct S { #[cfg(test)] seen: Vec<(u8, a::B)>, two: u8, #[cfg(test)] last: u8 }
      #[cfg(all(test, unix))] fn f(x: [u8; 2]) -> u8 { a::c() } #[cfg(unix)] three`;
    const kept = tokensOf(text).join(" ");
    expect(kept).toBe("one struct S { two : u8 , } three");
  });

  test("a tree of uses is taken apart", () => {
    const tokens = "a::{self, b::C, d::{self as e, F as g, *}, super_::h,}".match(/::|\w+|\S/g) ?? [];
    expect(useTree(tokens)).toEqual([
      { name: "a", path: ["a"] },
      { name: "C", path: ["a", "b", "C"] },
      { name: "e", path: ["a", "d"] },
      { name: "g", path: ["a", "d", "F"] },
      { name: "*", path: ["a", "d"] },
      { name: "h", path: ["a", "super_", "h"] },
    ]);
  });

  test("uses and paths lead to the files that define what they name", () => {
    const files = {
      "lib.rs": "mod a; mod b; mod c;",
      "a.rs": "use crate::b::{Inner, deep}; fn f() { deep::g(); std::mem::take(x); x.b::<u8>(); crate::c::h() }",
      "b/mod.rs": "pub mod deep; mod inner; pub use inner::Inner; pub(crate) use self::inner::Other as Again;",
      "b/deep.rs": "use super::Again; use super::super::c; pub fn g() {}",
      "b/inner.rs": "pub struct Inner; pub struct Other; pub const TEXT: &str = super::LENGTH;",
      "c.rs": "pub fn h() {}",
    };
    expect(graph(files)).toEqual({
      "lib.rs": [],
      "a.rs": ["b/deep.rs", "b/inner.rs", "c.rs"],
      "b/mod.rs": [],
      "b/deep.rs": ["b/inner.rs"],
      "b/inner.rs": ["b/mod.rs"],
      "c.rs": [],
    });
  });

  test("what a module passes on of its children is no import until it uses it", () => {
    const files = (code: string) => ({
      "lib.rs": "pub mod a; pub mod b;",
      "a/mod.rs": `mod child; pub use child::Thing; pub use crate::b::Other; ${code}`,
      "a/child.rs": "use super::Limit; pub struct Thing(Limit);",
      "b.rs": "pub struct Other;",
    });
    expect(graph(files("pub struct Limit;"))["a/mod.rs"]).toEqual(["b.rs"]);
    expect(graph(files("pub struct Limit; struct Uses(Thing);"))["a/mod.rs"]).toEqual(["a/child.rs", "b.rs"]);
  });

  test("globs, inline modules, names of a parent and other crates", () => {
    const files = {
      "lib.rs": "mod a; mod b; mod http; mod inline { pub mod x { pub struct X; } }",
      "a/mod.rs": "mod api; mod user; use crate::b::Thing; pub use api::*;",
      "a/api.rs": "pub struct Known; macro_rules! m { ($a:tt) => { $crate::b::Thing } }",
      "a/user.rs": "use super::{Known, Thing}; use http::Method; use crate::inline::x::X; use crate::b::*;",
      "b.rs": "use crate::a::Known; pub struct Thing;",
      "http.rs": "",
    };
    expect(graph(files)).toEqual({
      "lib.rs": [],
      "a/mod.rs": ["b.rs"],
      "a/api.rs": [],
      "a/user.rs": ["a/api.rs", "b.rs", "lib.rs"],
      "b.rs": ["a/api.rs"],
      "http.rs": [],
    });
  });

  test("a module without a file is a mistake", () => {
    expect(() => graph({ "lib.rs": "mod a;" })).toThrow("no file for mod a");
  });

  test("circles are found, each once", () => {
    const imports = { a: ["b"], b: ["c"], c: ["a", "d"], d: ["e"], e: [], f: ["g", "d"], g: ["f"], h: ["h2"], h2: [] };
    expect(circlesOf(new Map(Object.entries(imports)))).toEqual([
      ["a", "b", "c"],
      ["f", "g"],
    ]);
  });

  test("dependencies are read from a manifest", () => {
    const manifest = `[package]\nname = "netcd-a"\n[dependencies]\nnetcd-b = { path = "../b" }\n[dev-dependencies]\nnetcd-c.workspace = true`;
    expect(dependenciesOf(manifest)).toEqual(["b", "c"]);
  });
});
