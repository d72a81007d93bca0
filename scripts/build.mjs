// Builds everything that is not built or not up to date: npm dependencies, protobuf code, the addon, TypeScript.

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { generate } from "./generate.mjs";
import { install } from "./install.mjs";
import { filesBelow, installed, must, ROOT, StepFailed, say, whenChanged } from "./lib/run.mjs";

async function compileTypeScript() {
  const sources = filesBelow("src", (name) => /\.(ts|js)$/.test(name) && !name.endsWith(".test.ts"));
  const settings = ["tsconfig.json", "tsconfig.build.json", "package-lock.json"].map((name) => join(ROOT, name));
  await whenChanged("typescript", [...sources, ...settings], ["dist/main.js", "dist/proto/index.js"], async () => {
    say("compiling TypeScript");
    // A module that was renamed must not live on in dist, where it could still be imported.
    for (const file of filesBelow("dist", (name) => /\.(js|d\.ts|map|tsbuildinfo)$/.test(name))) rmSync(file);
    await must(installed("tsc"), ["-p", "tsconfig.build.json"]);
    mkdirSync(join(ROOT, "dist/proto"), { recursive: true });
    for (const name of ["index.js", "index.d.ts"]) {
      copyFileSync(join(ROOT, "src/proto", name), join(ROOT, "dist/proto", name));
    }
  });
}

/** Resolves when bin/netcd can run. Throws StepFailed with the step's output on stderr. */
export async function build() {
  await install();
  await generate();
  // Imported late: this script may use npm packages, which are there only now.
  const { buildNative } = await import("./build-native.mjs");
  await buildNative();
  await compileTypeScript();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await build();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(`build failed: ${error.message}`);
    process.exitCode = 1;
  }
}
