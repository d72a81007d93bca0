// Builds the addon in release mode with @napi-rs/cli; cargo decides what is out of date, and its progress is visible.
//
// Prebuilt packages: `npx napi create-npm-dirs` makes one directory per target of package.json's "napi" section under
// npm/, `npx napi artifacts` puts the binaries there. src/native/load.ts takes such a package where it is installed,
// and otherwise what this script built.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { installed, must, ROOT, StepFailed, say } from "./lib/run.mjs";

/** Resolves when native/addon holds the .node file of this platform. Throws StepFailed. */
export async function buildNative() {
  say("building the addon (cargo, release)");
  await must(installed("napi"), [
    "build",
    "--release",
    "--platform",
    "--no-js",
    "--manifest-path",
    join(ROOT, "native/addon/Cargo.toml"),
    "--package-json-path",
    join(ROOT, "package.json"),
    "--output-dir",
    join(ROOT, "native/addon"),
  ]);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await buildNative();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`build failed: ${error.message}`);
    process.exitCode = 1;
  }
}
