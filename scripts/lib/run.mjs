// Running child processes for the scripts: visible progress, real exit codes. Uses nothing but Node itself, because
// the scripts run before anything is installed.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A step of a script failed; its output is on the terminal already. */
export class StepFailed extends Error {}

/** Says what happens now, on stderr, so that a script's stdout stays its result. */
export function say(text) {
  process.stderr.write(`\x1b[1mnetcd\x1b[0m ${text}\n`);
}

/**
 * Runs a program to its end and resolves with {code, output}; a program that cannot be started is code 127.
 * `capture` collects stdout (and shows it as well); without it the output goes straight to the terminal.
 */
export function run(program, args, { cwd = ROOT, env = {}, capture = false, quiet = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", capture || quiet ? "pipe" : 2, capture || quiet ? "pipe" : 2],
    });
    const chunks = [];
    const collect = (chunk) => {
      chunks.push(chunk);
      if (!quiet) process.stderr.write(chunk);
    };
    child.stdout?.on("data", collect);
    child.stderr?.on("data", collect);
    child.on("error", (error) => resolve({ code: 127, output: String(error) }));
    child.on("close", (code, signal) => {
      resolve({ code: code ?? (signal ? 128 : 1), output: Buffer.concat(chunks).toString() });
    });
  });
}

/** As `run`, but a code other than 0 throws StepFailed. */
export async function must(program, args, options = {}) {
  const result = await run(program, args, options);
  if (result.code !== 0) {
    if (options.quiet) process.stderr.write(result.output);
    throw new StepFailed(`${program} ${args.join(" ")} ended with code ${result.code}`);
  }
  return result;
}

/** Path of a program that npm installed. */
export function installed(name) {
  return join(ROOT, "node_modules", ".bin", name);
}

/** All files below `folder` (relative to the root) whose name `accepts`, sorted. */
export function filesBelow(folder, accepts = () => true) {
  const found = [];
  const visit = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (accepts(entry.name)) found.push(path);
    }
  };
  const start = join(ROOT, folder);
  if (existsSync(start)) statSync(start).isDirectory() ? visit(start) : found.push(start);
  return found.sort();
}

/**
 * Does `work` unless it was done before with the same input files and all `outputs` are still there.
 * The inputs are compared by content, so that a checkout that only touches times rebuilds nothing.
 */
export async function whenChanged(name, inputs, outputs, work) {
  const hash = createHash("sha256");
  for (const file of inputs)
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  const digest = hash.digest("hex");
  const stamp = join(ROOT, "dist", ".stamps", name);
  const there = outputs.every((path) => existsSync(join(ROOT, path)));
  if (there && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return false;
  await work();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
  return true;
}
