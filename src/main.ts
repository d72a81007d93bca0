// The process: arguments, signals, exit codes; nothing else.

import type { Config, LogConfig } from "./config/config.js";
import type { Note } from "./config/errors.js";
import { DEFAULT_LOG, loadConfig } from "./config/load.js";
import type { Level } from "./log/level.js";
import { Logger } from "./log/logger.js";
import { OutputError, openOutput } from "./log/outputs.js";
import { DataDirError, ProxyDirError } from "./member/datadir.js";
import { FatalError } from "./member/failures.js";
import type { Member } from "./member/member.js";
import { openEarly } from "./member/opening.js";
import { AddonNotFound, loadBinding } from "./native/load.js";
import { closeUnaskedDebugger } from "./process/debugger.js";
import { endBy, endOnUncaught, logWarnings } from "./process/uncaught.js";

const FAILURE = 1;
/** A Go program's after a panic. */
const PANIC = 2;
/** etcd's exit code, and every shell's, for a process that a signal ended. */
const SIGNALS = { SIGTERM: "terminated", SIGINT: "interrupt" } as const;

function createLogger(config: LogConfig): Logger {
  const outputs = config.outputs.map(openOutput);
  return new Logger({ level: config.level as Level, format: config.format, outputs });
}

/** Null if an output cannot be opened: that is said on stderr, and the exit code is set. */
function openLogger(config: LogConfig): Logger | null {
  try {
    return createLogger(config);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    createLogger({ ...config, outputs: ["default"] }).warn("failed to verify flags", { error });
    process.exitCode = FAILURE;
    return null;
  }
}

function logNotes(log: Logger, notes: readonly Note[]): void {
  for (const { level, message, fields } of notes) log[level](message, fields);
}

/** The process's one logger; until the configuration is read, the default's. */
let log: Logger = createLogger(DEFAULT_LOG);

/** Runs the server until a signal or an error ends the process. Throws AddonNotFound. */
export async function main(): Promise<void> {
  closeUnaskedDebugger();
  endOnUncaught(() => log);
  logWarnings(() => log);
  try {
    await run();
  } catch (error) {
    if (error instanceof AddonNotFound) throw error;
    endBy(log, error);
  }
}

async function run(): Promise<void> {
  const args = process.argv.slice(2);
  const loaded = loadConfig(args, process.env);
  if (loaded.kind === "print") {
    process.stdout.write(loaded.stdout);
    process.stderr.write(loaded.stderr);
    process.exitCode = loaded.code;
    return;
  }
  const opened = openLogger(loaded.kind === "run" ? loaded.config.log : loaded.log);
  if (!opened) return;
  log = opened;
  logNotes(log, loaded.kind === "run" ? loaded.notes : loaded.error.notes);
  if (loaded.kind === "refused" && loaded.error.fatal) {
    log.fatal(loaded.error.message, loaded.error.fatal);
    process.exitCode = FAILURE;
    return;
  }
  log.info("Running: ", { args: [process.argv[1] ?? "netcd", ...args] });
  if (loaded.kind === "refused") {
    log.warn("failed to verify flags", { error: loaded.error });
    process.exitCode = FAILURE;
    return;
  }
  await serve(loaded.config);
}

async function serve(config: Config): Promise<void> {
  const fatal = (reason: string) => {
    log.fatal(reason);
    process.exit(FAILURE);
  };
  const removed = () => {
    log.close();
    process.exit(0);
  };
  const binding = loadBinding();
  binding.ignoreUnnamedSignals();
  const opening = openEarly(config, binding, log);
  // Most of the program is behind this import; the data is read while it loads.
  const { Member, StoppedError } = await import("./member/member.js");
  const member = new Member(config, log, binding, fatal, removed, opening);
  stopOnSignals(member);
  try {
    await member.start();
  } catch (error) {
    // Whoever stops it (a signal) ends the process, once what was opened is closed.
    if (error instanceof StoppedError) return;
    if (error instanceof ProxyDirError) process.exit(refuseProxyDir(error));
    if (error instanceof DataDirError) {
      log.fatal("failed to list data directory", { dir: error.directory, error });
    } else if (error instanceof FatalError) {
      log.fatal(error.message, error.fields);
    } else {
      log.fatal("discovery failed", { error: error as Error });
    }
    process.exit(FAILURE);
  }
}

/** Says it as etcd does, and returns its exit code. */
function refuseProxyDir(error: ProxyDirError): number {
  if (error.withMember) {
    log.fatal(error.message);
    return FAILURE;
  }
  log.panic(error.message, { "dir-type": "proxy" });
  process.stderr.write(`panic: ${error.message}\n`);
  return PANIC;
}

/** A second signal of the same kind ends the process at once, as it would without us. */
function stopOnSignals(member: Member): void {
  for (const [signal, name] of Object.entries(SIGNALS) as [keyof typeof SIGNALS, string][]) {
    process.once(signal, () => {
      log.info("received signal; shutting down", { signal: name });
      member.stop().then(
        () => raise(signal),
        (error: unknown) => {
          log.error("shutdown failed", { error: error as Error });
          raise(signal);
        },
      );
    });
  }
}

/** Ends by the signal itself, so that a parent sees why; the first process of a container cannot and exits with 0. */
function raise(signal: NodeJS.Signals): void {
  log.close();
  if (process.pid === 1) process.exit(0);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
