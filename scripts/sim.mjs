// npm run sim -- --seeds N --from S: compiles the simulation and runs it, with all arguments passed on.

import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { generate } from "./generate.mjs";
import { install } from "./install.mjs";
import { asProgram, installed, must, ROOT } from "./lib/run.mjs";

await asProgram(import.meta.url, async () => {
  await install();
  await generate();
  await must(installed("tsc"), ["-p", "test/sim"]);
  // The compiler makes no copy of what is JavaScript already.
  const proto = join(ROOT, "dist/sim/src/proto");
  mkdirSync(proto, { recursive: true });
  copyFileSync(join(ROOT, "src/proto/index.js"), join(proto, "index.js"));
  await must(process.execPath, ["dist/sim/test/sim/main.js", ...process.argv.slice(2)], { stdout: "inherit" });
});
