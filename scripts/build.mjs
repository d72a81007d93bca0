// Builds everything that is not built or not up to date: npm dependencies, protobuf code, the addon, TypeScript.

import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildNative, requireForNative } from "./build-native.mjs";
import { generate } from "./generate.mjs";
import { install } from "./install.mjs";
import { asProgram, filesBelow, installed, must, ROOT, say, whenChanged } from "./lib/run.mjs";

/** Resolves when dist is made of the current sources; needs what `generate` makes. Throws StepFailed. */
export async function compileTypeScript() {
  const isTest = (path) => /\.test\.ts$|\/tests\//.test(path.slice(ROOT.length));
  const sources = filesBelow("src", (name) => /\.(ts|js)$/.test(name)).filter((path) => !isTest(path));
  const settings = ["tsconfig.json", "tsconfig.build.json", "package-lock.json"].map((name) => join(ROOT, name));
  await whenChanged(
    "typescript",
    [...sources, ...settings],
    () => ["dist/main.js", "dist/proto/index.js"],
    async () => {
      say("compiling TypeScript");
      // A module that was renamed must not live on in dist, where it could still be imported.
      for (const file of filesBelow("dist", (name) => /\.(js|d\.ts|map|tsbuildinfo)$/.test(name))) rmSync(file);
      await must(installed("tsc"), ["-p", "tsconfig.build.json"]);
      mkdirSync(join(ROOT, "dist/proto"), { recursive: true });
      for (const name of ["index.js", "index.d.ts"]) {
        copyFileSync(join(ROOT, "src/proto", name), join(ROOT, "dist/proto", name));
      }
      copyFileSync(join(ROOT, "src/auth/bcryptthread.js"), join(ROOT, "dist/auth/bcryptthread.js"));
    },
  );
}

/** Resolves when bin/netcd can run. Throws StepFailed with the step's output on stderr. */
export async function build() {
  await requireForNative();
  await install();
  await generate();
  await buildNative();
  await compileTypeScript();
}

await asProgram(import.meta.url, build);
