// npm start: builds what changed and runs a member; the arguments after `--` go to netcd.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { asProgram, ROOT } from "./lib/run.mjs";

await asProgram(import.meta.url, async () => {
  await build();
  const netcd = spawn(process.execPath, [join(ROOT, "bin/netcd"), ...process.argv.slice(2)], { stdio: "inherit" });
  // A terminal sends Ctrl-C to the whole group; netcd stops by itself, and this process must outlive it to report how.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => netcd.kill("SIGTERM"));
  netcd.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
});
