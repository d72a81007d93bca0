// Running child processes for the scripts: visible progress, real exit codes. Uses nothing but Node itself, because
// the scripts run before anything is installed.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Whether a version is in a range of the two forms that package.json uses: `^20.19.0 || >=24.0.0`. */
export function isInRange(version, range) {
  const numbers = (text) => [...text.match(/\d+/g).map(Number), 0, 0].slice(0, 3);
  const [major, minor, patch] = numbers(version);
  return range.split("||").some((part) => {
    const [least, leastMinor, leastPatch] = numbers(part);
    if (major !== least) return major > least && part.includes(">=");
    return minor > leastMinor || (minor === leastMinor && patch >= leastPatch);
  });
}

// Every script imports this module, so a Node.js that is too old ends here and not in an error that hides why.
const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
if (!isInRange(process.versions.node, engines.node)) {
  process.stderr.write(`netcd: Node.js ${engines.node} is needed, this is ${process.version}\n`);
  process.exit(1);
}

/** A step of a script failed; its output is on the terminal already. */
export class StepFailed extends Error {}

/** Says what happens now, on stderr, so that a script's stdout stays its result. */
export function say(text) {
  process.stderr.write(`\x1b[1mnetcd\x1b[0m ${text}\n`);
}

/**
 * Runs a program to its end and resolves with {code, output}; a program that cannot be started is code 127.
 * `capture` collects the output and shows it as well, `quiet` only collects it; without either it goes straight to
 * the terminal, on stderr unless `stdout` says that it is this script's own result. `onLine` is called with every line
 * of stdout as it comes. After `timeoutMs` it is ended.
 */
export function run(program, args, options = {}) {
  const { cwd = ROOT, env = {}, capture = false, quiet = false, stdout = 2, timeoutMs, onLine } = options;
  return new Promise((resolve) => {
    const collected = capture || quiet;
    const child = spawn(program, args, {
      cwd,
      timeout: timeoutMs,
      env: { ...process.env, ...env },
      stdio: ["ignore", collected ? "pipe" : stdout, collected ? "pipe" : 2],
    });
    const chunks = [];
    const collect = (chunk) => {
      chunks.push(chunk);
      if (!quiet) process.stderr.write(chunk);
    };
    child.stdout?.on("data", collect);
    if (onLine && child.stdout) createInterface({ input: child.stdout }).on("line", onLine);
    child.stderr?.on("data", collect);
    child.on("error", (error) => resolve({ code: 127, output: String(error) }));
    child.on("exit", () => {
      // Children of one that was ended may hold its pipes.
      if (child.killed) for (const pipe of [child.stdout, child.stderr]) pipe?.destroy();
    });
    child.on("close", (code, signal) => {
      if (child.killed) say(`${program} was ended after ${timeoutMs} ms`);
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

/**
 * All files below `folder` (relative to the root) whose name `accepts`, sorted.
 * @param {string} folder  @param {(name: string) => boolean} accepts
 */
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

/** Where the mark of a piece of work is, and what it holds while the work is up to date; null: an output is missing. */
function markOf(name, inputs, outputs) {
  const made = outputs().map((path) => join(ROOT, path));
  if (made.length === 0 || !made.every(existsSync)) return { path: "", digest: null };
  const hash = createHash("sha256");
  for (const file of [...inputs, ...made]) {
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update("\0");
  }
  return { path: join(ROOT, "dist", ".stamps", name), digest: hash.digest("hex") };
}

/** True if `whenChanged` with the same arguments would do nothing. */
export function unchanged(name, inputs, outputs) {
  const { path, digest } = markOf(name, inputs, outputs);
  return digest !== null && existsSync(path) && readFileSync(path, "utf8") === digest;
}

/**
 * Does `work` unless it was done before with the same input files and all that `outputs()` names is as it was left.
 * Files are compared by content, so that a checkout that only touches times rebuilds nothing.
 */
export async function whenChanged(name, inputs, outputs, work) {
  if (unchanged(name, inputs, outputs)) return;
  await work();
  const { path, digest } = markOf(name, inputs, outputs);
  if (digest === null) throw new StepFailed(`the step "${name}" did not make what it should`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, digest);
}

/** Throws StepFailed where Rust is not installed, with what to do. */
export async function requireRust() {
  const { code } = await run("cargo", ["--version"], { quiet: true });
  if (code !== 0) throw new StepFailed("Rust is not installed (cargo is not in PATH): see https://rustup.rs");
}

/** Runs `work` if the module of this URL is the program itself; a failed step is said and makes the exit code 1. */
export async function asProgram(moduleUrl, work) {
  const program = process.argv[1];
  if (!program || realpathSync(program) !== realpathSync(fileURLToPath(moduleUrl))) return;
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
