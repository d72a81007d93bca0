// Reading the command line by the rules of Go's flag package.

import { FLAGS } from "./flags/index.js";
import type { Settings } from "./settings.js";

/** The command line cannot be read; the message is Go's, the usage follows it, and the exit code is 2. */
export class UsageError extends Error {}

/** `--help` or `-h` was given. */
export class HelpRequested extends Error {}

/**
 * Sets what the arguments name and returns those that are no flags. Reading ends at the first of them.
 * Throws UsageError or HelpRequested.
 */
export function parseArguments(args: readonly string[], settings: Settings): readonly string[] {
  let position = 0;
  while (position < args.length) {
    const argument = args[position] ?? "";
    if (!argument.startsWith("-") || argument === "-") break;
    position += 1;
    if (argument === "--") break;
    position += takeFlag(argument, args[position], settings);
  }
  return args.slice(position);
}

/** Reads one flag; returns 1 if it took the argument that follows, else 0. */
function takeFlag(argument: string, following: string | undefined, settings: Settings): 0 | 1 {
  const body = argument.replace(/^--?/, "");
  if (body === "" || body.startsWith("-") || body.startsWith("=")) throw new UsageError(`bad flag syntax: ${argument}`);
  const split = body.indexOf("=");
  const name = split < 0 ? body : body.slice(0, split);
  const given = split < 0 ? null : body.slice(split + 1);
  const flag = FLAGS.get(name);
  if (!flag) {
    if (name === "help" || name === "h") throw new HelpRequested();
    throw new UsageError(`flag provided but not defined: -${name}`);
  }
  const alone = flag.kind === "bool" || flag.kind === "ignored";
  const text = given ?? (alone ? "true" : following);
  if (text === undefined) throw new UsageError(`flag needs an argument: -${name}`);
  try {
    settings.set(name, text, "flag");
  } catch (error) {
    const reason = (error as Error).message;
    const quoted = JSON.stringify(text);
    throw new UsageError(
      alone
        ? `invalid boolean value ${quoted} for -${name}: ${reason}`
        : `invalid value ${quoted} for flag -${name}: ${reason}`,
    );
  }
  return given === null && !alone ? 1 : 0;
}
