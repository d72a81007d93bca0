// From command line and environment to a configuration, or to the reason why there is none.

import { HelpRequested, parseArguments, UsageError } from "./arguments.js";
import { readAudit } from "./audit/audit.js";
import { assemble, type Config, type LogConfig, logConfig } from "./config.js";
import { type Environment, readEnvironment } from "./environment.js";
import { ConfigError, type Note } from "./errors.js";
import { readConfigFile } from "./file.js";
import { flagHelp, USAGE, versionText } from "./help.js";
import { Settings } from "./settings.js";
import { SUBCOMMANDS } from "./subcommands.js";
import { validate } from "./validate.js";

export type Loaded =
  | { readonly kind: "run"; readonly config: Config; readonly notes: readonly Note[] }
  /** Print and end: help, version, or a command line that cannot be read. */
  | { readonly kind: "print"; readonly stdout: string; readonly stderr: string; readonly code: number }
  /** The configuration is refused: log the notes and the error, end with code 1. */
  | { readonly kind: "refused"; readonly error: ConfigError; readonly log: LogConfig };

/** How to log before anything is read. */
export const DEFAULT_LOG: LogConfig = { outputs: ["default"], level: "info", format: "json" };

/** Level names of --log-level; none is info. */
const LEVELS = ["", "debug", "info", "warn", "error", "dpanic", "panic", "fatal"];

/** Reads everything there is to read. `args` are those after the program's name. */
export function loadConfig(args: readonly string[], environment: Environment): Loaded {
  const settings = new Settings();
  try {
    return load(args, environment, settings);
  } catch (error) {
    if (error instanceof HelpRequested) return { kind: "print", stdout: flagHelp(), stderr: USAGE, code: 0 };
    if (error instanceof UsageError) {
      return { kind: "print", stdout: "", stderr: `${error.message}\n${USAGE}`, code: 2 };
    }
    if (error instanceof ConfigError) return { kind: "refused", error, log: DEFAULT_LOG };
    throw error;
  }
}

function load(args: readonly string[], environment: Environment, settings: Settings): Loaded {
  const subcommand = SUBCOMMANDS.find(({ name }) => name === args[0]);
  if (subcommand) {
    throw new ConfigError(`"${subcommand.name}" is not supported: netcd does not have ${subcommand.missing} yet`);
  }
  const [positional] = parseArguments(args, settings);
  if (positional !== undefined) throw new ConfigError(`${JSON.stringify(positional)} is not a valid flag`);
  if (settings.bool("version")) return { kind: "print", stdout: versionText(), stderr: "", code: 0 };
  const { effective, notes } = readSources(settings, environment);
  const level = effective.text("log-level");
  if (!LEVELS.includes(level)) {
    return { kind: "print", stdout: "", stderr: `panic: unrecognized level: ${JSON.stringify(level)}\n`, code: 2 };
  }
  try {
    const warnings = validate(effective);
    const audit = readAudit(effective);
    return { kind: "run", config: assemble(effective, audit), notes: [...notes, ...warnings] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { kind: "refused", error: error.after(notes), log: logConfig(effective) };
  }
}

/** A config file replaces all flags and variables; else variables add to the flags. */
function readSources(settings: Settings, environment: Environment): { effective: Settings; notes: Note[] } {
  const path = settings.text("config-file") || environment["ETCD_CONFIG_FILE"] || "";
  if (path === "") return { effective: settings, notes: readEnvironment(environment, settings) };
  const fromFile = new Settings();
  fromFile.set("config-file", path, "flag");
  readConfigFile(path, fromFile);
  const message =
    "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided";
  return { effective: fromFile, notes: [{ level: "info", message, fields: { path } }] };
}
