// npm run lint: linter, formatter and type checkers, after what they read is made: the protobuf code, and dist, whose
// types the benches use.

import { compileTypeScript } from "./build.mjs";
import { generate } from "./generate.mjs";
import { install } from "./install.mjs";
import { asProgram, installed, run, say } from "./lib/run.mjs";

/** What checks TypeScript and the scripts; `npm test` runs the same. */
export const LINTERS = [
  { name: "biome", program: installed("biome"), args: ["check", "--error-on-warnings", "."] },
  { name: "tsc", program: installed("tsc"), args: [] },
  { name: "tsc of scripts and benches", program: installed("tsc"), args: ["-p", "scripts"] },
];

async function lint() {
  await install();
  await generate();
  await compileTypeScript();
  for (const { name, program, args } of LINTERS) {
    say(name);
    const { code } = await run(program, args);
    if (code !== 0) process.exitCode = 1;
  }
}

await asProgram(import.meta.url, lint);
