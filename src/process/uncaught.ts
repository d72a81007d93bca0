// What nobody caught ends the process with a line in the log, in the log's own format, and not with a bare stack.

import type { Logger } from "../log/logger.js";

/** etcd's exit code after a fatal line. */
const FAILURE = 1;

const MESSAGES = {
  uncaughtException: "uncaught exception",
  unhandledRejection: "unhandled rejection",
} as const;

/** Logs what was thrown as a fatal line and ends the process. */
export function endBy(log: Logger, thrown: unknown, origin: keyof typeof MESSAGES = "uncaughtException"): never {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  try {
    log.fatal(MESSAGES[origin], { error, stack: error.stack });
  } catch (failure) {
    // The log itself is broken: the stack is all that is left to say.
    process.stderr.write(`${error.stack}\n${(failure as Error).stack}\n`);
  }
  process.exit(FAILURE);
}

/**
 * For the program only: a process in which a member is embedded has its own ways. `log` is asked when something comes.
 * Rejections that nobody handles come here too, since Node throws them.
 */
export function endOnUncaught(log: () => Logger): void {
  process.on("uncaughtException", (thrown, origin) => endBy(log(), thrown, origin));
}

/** Warnings of the runtime are lines of the log too, instead of texts between them. */
export function logWarnings(log: () => Logger): void {
  // Node's own listener is what prints them.
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    log().warn("warning of the runtime", { name: warning.name, error: warning, stack: warning.stack });
  });
}
