// npm run cluster: builds what is not built, then runs every line of the Procfile until a signal or until all ended.
// A line is `name: program arguments`; what a process prints is shown behind its name. Data directories are made in
// the working directory, as with goreman. One member alone: `npm run cluster -- infra1`.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "./build.mjs";
import { asProgram, ROOT, StepFailed, say } from "./lib/run.mjs";

/** name → words of its command */
function readProcfile() {
  const lines = readFileSync(join(ROOT, "Procfile"), "utf8").split("\n");
  const pairs = lines.filter((line) => /^\w+:/.test(line)).map((line) => line.split(/:\s+(.*)/, 2));
  return new Map(pairs.map(([name, command]) => [name, command.split(/\s+/)]));
}

function show(name, stream) {
  createInterface({ input: stream }).on("line", (line) => process.stdout.write(`${name} | ${line}\n`));
}

/** @param {string} name  @param {string[]} words */
function start(name, words) {
  const [program = "", ...args] = words;
  const child = spawn(join(ROOT, program), args, { stdio: ["ignore", "pipe", "pipe"] });
  show(name, child.stdout);
  show(name, child.stderr);
  const ended = new Promise((resolve) => {
    child.on("error", (error) => {
      say(`${name} could not be started: ${error.message}`);
      process.exitCode = 1;
      resolve();
    });
    child.on("exit", (code, signal) => {
      say(`${name} ended (${signal ?? `code ${code}`})`);
      resolve();
    });
  });
  return { child, ended };
}

async function run() {
  await build();
  const all = readProcfile();
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !all.has(name));
  if (unknown.length > 0) throw new StepFailed(`not in the Procfile: ${unknown.join(", ")}`);
  const chosen = wanted.length > 0 ? wanted : [...all.keys()];
  const members = chosen.map((name) => start(name, all.get(name)));
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    process.on(signal, () => {
      for (const { child } of members) child.kill(signal);
    });
  }
  await Promise.all(members.map(({ ended }) => ended));
}

await asProgram(import.meta.url, run);
