// What package-lock.json must hold so that `npm ci` makes the same of a fresh clone on every platform that is named.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";

/** What these tests use of the package semver, which has no types of its own. */
interface Semver {
  subset(range: string, of: string): boolean;
}

interface Entry {
  version?: string;
  resolved?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  engines?: { node?: string };
  os?: string[];
  cpu?: string[];
  libc?: string[];
}

type Entries = Record<string, Entry>;

/** A platform as the lock file's entries name it. */
interface Platform {
  os: string;
  cpu: string;
  libc: string | null;
}

// More packages than this with an `os` below one package are that package's builds, one for each platform.
const BUILDS_MIN = 4;

const semver = createRequire(import.meta.url)("semver") as Semver;
const read = (name: string): unknown => JSON.parse(readFileSync(join(import.meta.dirname, "..", name), "utf8"));
const manifest = read("package.json") as Entry & { engines: { node: string }; napi: { targets: string[] } };
const lock = (read("package-lock.json") as { packages: Entries }).packages;
const installed = Object.entries(lock).filter(([path]) => path !== "");

/** The platform of a Rust target such as x86_64-unknown-linux-musl. */
function platformOf(target: string): Platform {
  const cpu = target.startsWith("x86_64-") ? "x64" : "arm64";
  if (target.endsWith("-apple-darwin")) return { os: "darwin", cpu, libc: null };
  return { os: "linux", cpu, libc: target.endsWith("-musl") ? "musl" : "glibc" };
}

/** The entry that a package at `path` gets when it asks for `name`. */
function found(packages: Entries, path: string, name: string): Entry | undefined {
  const nested = packages[path === "" ? `node_modules/${name}` : `${path}/node_modules/${name}`];
  if (nested || path === "") return nested;
  return found(packages, path.slice(0, Math.max(0, path.lastIndexOf("/node_modules/"))), name);
}

/** What packages ask for, optional or not, that the lock file does not have. */
function missing(packages: Entries): string[] {
  return Object.entries(packages).flatMap(([path, { dependencies, devDependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
      .filter((name) => !found(packages, path, name))
      .map((name) => `${path}: ${name}`),
  );
}

const runsOn = ({ os, cpu, libc }: Entry, platform: Platform) =>
  (os ?? [platform.os]).includes(platform.os) &&
  (cpu ?? [platform.cpu]).includes(platform.cpu) &&
  (libc ?? [platform.libc]).includes(platform.libc);

/** Packages with a build for each platform, and those builds. */
function families(packages: Entries): [string, Entry[]][] {
  const all = Object.entries(packages).map(([path, { optionalDependencies = {} }]): [string, Entry[]] => {
    const builds = Object.keys(optionalDependencies).map((name) => found(packages, path, name) ?? {});
    return [path, builds.filter(({ os }) => os !== undefined)];
  });
  return all.filter(([, builds]) => builds.length >= BUILDS_MIN);
}

/** The packages whose `engines` leave out a Node.js that package.json promises. */
function tooNew(packages: Entries, promised: string): string[] {
  return Object.entries(packages).flatMap(([path, { version, engines }]) =>
    engines?.node === undefined || semver.subset(promised, engines.node) ? [] : [`${path} ${version}: ${engines.node}`],
  );
}

test("the lock file has everything that any of its packages asks for", () => {
  expect(installed.length).toBeGreaterThan(300);
  expect(missing(lock)).toEqual([]);
  const cut = Object.fromEntries(Object.entries(lock).filter(([path]) => !path.includes("darwin-arm64")));
  expect(missing(cut)).toContain("node_modules/@biomejs/biome: @biomejs/cli-darwin-arm64");
});

test("every package with a build for each platform has one for each that netcd names", () => {
  expect(families(lock).length).toBeGreaterThan(4);
  for (const target of manifest.napi.targets) {
    const without = families(lock).filter(([, builds]) => !builds.some((build) => runsOn(build, platformOf(target))));
    expect(without.map(([path]) => `${path} on ${target}`)).toEqual([]);
  }
  expect(runsOn({ os: ["linux"], cpu: ["x64"], libc: ["musl"] }, platformOf("x86_64-unknown-linux-gnu"))).toBe(false);
});

test("the lock file is package.json's, and holds sums instead of addresses", () => {
  for (const kind of ["dependencies", "devDependencies", "engines"] as const) {
    expect(lock[""]?.[kind], kind).toEqual(manifest[kind]);
  }
  for (const [path, { version, resolved, integrity }] of installed) {
    expect(version, path).toMatch(/^\d+\.\d+\.\d+/);
    expect(integrity, path).toMatch(/^sha512-/);
    expect(resolved, path).toBeUndefined();
  }
});

test("no dependency needs another Node.js than package.json promises", () => {
  expect(tooNew(lock, manifest.engines.node)).toEqual([]);
  const needs22 = { a: { version: "1.5.3", engines: { node: "^22.20 || ^24.12 || >=25" } } };
  expect(tooNew(needs22, manifest.engines.node)).toEqual(["a 1.5.3: ^22.20 || ^24.12 || >=25"]);
});

test("the README names the oldest Node.js and Rust that the manifests take", () => {
  const text = (name: string) => readFileSync(join(import.meta.dirname, "..", name), "utf8");
  const [node] = /\d+\.\d+/.exec(manifest.engines.node) ?? [];
  const [, rust] = /^rust-version = "(.+)"$/m.exec(text("Cargo.toml")) ?? [];
  expect(text("README.md")).toContain(`Node.js ${node} or newer`);
  expect(text("README.md")).toContain(`Rust ${rust} or newer`);
});
