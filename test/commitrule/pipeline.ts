// Plays transcripts on the Rust pipeline, in a program of their own (native/engine/examples/commit_rule.rs).

import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Command, formatCommand } from "./commands.js";

const root = join(import.meta.dirname, "../..");
const example = "commit_rule";
const outputBytesMax = 64 << 20;

/** Builds the program, which costs nothing after `cargo test`; returns its path. */
export async function buildPlayer(): Promise<string> {
  // The whole workspace: with the engine alone cargo would choose other features, and build its dependencies again.
  const args = ["build", "--workspace", "--locked", "--example", example, "--message-format=json"];
  const { stdout } = await promisify(execFile)("cargo", args, { cwd: root, maxBuffer: outputBytesMax });
  for (const line of stdout.split("\n")) {
    if (!line.startsWith("{")) continue;
    const { executable, target } = JSON.parse(line) as { executable?: string | null; target?: { name: string } };
    if (target?.name === example && typeof executable === "string") return executable;
  }
  throw new Error(`cargo built no ${example}`);
}

/** What came of each command of each transcript. */
export async function playOnPipeline(
  program: string,
  transcripts: readonly (readonly Command[])[],
): Promise<string[][]> {
  const child = spawn(program, { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  // A program that ended early says why; that nobody reads on is not the reason.
  child.stdin.on("error", () => {});
  const text = transcripts.map((commands) => `${commands.map(formatCommand).join("\n")}\n\n`).join("");
  child.stdin.end(text);
  const code = await ended;
  if (code !== 0) throw new Error(`${example} ended with ${code}: ${Buffer.concat(err).toString()}`);
  const played = Buffer.concat(out).toString().trimEnd().split("\n\n");
  return played.map((lines) => lines.split("\n"));
}
