// npm run sim -- --seeds N --from S: compiles the simulation and runs it, with all arguments passed on.

import { generate } from "./generate.mjs";
import { install } from "./install.mjs";
import { asProgram, installed, must } from "./lib/run.mjs";

await asProgram(import.meta.url, async () => {
  await install();
  await generate();
  await must(installed("tsc"), ["-p", "test/sim"]);
  await must(process.execPath, ["dist/sim/test/sim/main.js", ...process.argv.slice(2)], { stdout: "inherit" });
});
