// Builds the addon in release mode with @napi-rs/cli when its sources changed; cargo's progress is visible.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { asProgram, filesBelow, installed, must, ROOT, requireRust, say, unchanged, whenChanged } from "./lib/run.mjs";

const FOLDER = "native/addon";

/** Everything that decides what the addon is; tests and benches of the crates do not. */
function inputs() {
  const crates = ["engine", "http2", "front", "addon"].flatMap((crate) => [
    ...filesBelow(`native/${crate}/src`),
    join(ROOT, `native/${crate}/Cargo.toml`),
  ]);
  const scripts = ["native/engine/build.rs", "native/addon/build.rs", "Cargo.toml", "Cargo.lock"];
  return [...crates, ...filesBelow("proto"), ...scripts.map((name) => join(ROOT, name))];
}

/**
 * The .node files of this system (napi knows the end of the name, which is that of the C library), and what napi says of
 * their types, which a test holds against binding.ts.
 */
function outputs() {
  const start = `netcd.${process.platform}-${process.arch}`;
  const names = existsSync(join(ROOT, FOLDER)) ? readdirSync(join(ROOT, FOLDER)) : [];
  const made = names.filter((name) => name.startsWith(start) && name.endsWith(".node"));
  return made.length === 0 ? [] : [...made, "index.d.ts"].map((name) => `${FOLDER}/${name}`);
}

/** Throws StepFailed if the addon has to be built and Rust is not there, before other steps take their time. */
export async function requireForNative() {
  if (!unchanged("native", inputs(), outputs)) await requireRust();
}

/** Resolves when native/addon holds the .node file of this platform. Throws StepFailed. */
export async function buildNative() {
  await whenChanged("native", inputs(), outputs, async () => {
    say("building the addon (cargo, release)");
    const paths = [
      "--manifest-path",
      join(ROOT, FOLDER, "Cargo.toml"),
      "--package-json-path",
      join(ROOT, "package.json"),
    ];
    const options = ["--release", "--platform", "--no-js", ...paths, "--output-dir", join(ROOT, FOLDER)];
    await must(installed("napi"), ["build", ...options]);
  });
}

await asProgram(import.meta.url, buildNative);
