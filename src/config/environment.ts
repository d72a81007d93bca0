// Reading ETCD_* environment variables; a flag on the command line goes before its variable, and both is an error.

import { ConfigError, type Note } from "./errors.js";
import { FLAGS, variableOf } from "./flags/index.js";
import type { Settings } from "./settings.js";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that are not flags but mean something. */
const SPECIAL = new Set(["ETCD_UNSUPPORTED_ARCH"]);

/**
 * Sets what the environment names and returns what to log about it.
 * Throws ConfigError: `fatal` for a variable that a flag shadows, else for a value that cannot be read.
 */
export function readEnvironment(environment: Environment, settings: Settings): Note[] {
  const notes: Note[] = [];
  const flags = [...FLAGS.keys()].sort();
  const shadowed = new Map(flags.filter((name) => settings.isSet(name)).map((name) => [variableOf(name), name]));
  const used = new Set<string>();
  let failure: ConfigError | null = null;
  for (const name of flags) {
    const variable = variableOf(name);
    const text = environment[variable] ?? "";
    if (text === "" || shadowed.has(variable)) continue;
    used.add(variable);
    if (name === "version") {
      notes.push({ level: "warn", message: "cannot set special environment variable", fields: { key: variable } });
      continue;
    }
    try {
      settings.set(name, text, "environment");
    } catch (error) {
      const reason = (error as Error).message;
      failure = new ConfigError(`invalid value ${JSON.stringify(text)} for ${variable}: ${reason}`);
      continue;
    }
    notes.push({
      level: "info",
      message: "recognized and used environment variable",
      fields: { "variable-name": variable, "variable-value": text },
    });
  }
  notes.push(...checkRest(environment, shadowed, used));
  if (failure) throw failure.after(notes);
  return notes;
}

function checkRest(environment: Environment, shadowed: ReadonlyMap<string, string>, used: ReadonlySet<string>): Note[] {
  const notes: Note[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (used.has(variable) || SPECIAL.has(variable)) continue;
    if (shadowed.has(variable)) {
      throw new ConfigError(
        "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
        { "environment-variable": variable },
      ).after(notes);
    }
    if (variable.startsWith("ETCD_") && text !== "") {
      const fields = { "environment-variable": `${variable}=${text}` };
      notes.push({ level: "warn", message: "unrecognized environment variable", fields });
    }
  }
  return notes;
}
