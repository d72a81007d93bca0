// The debugger that a signal may have opened before the first line of the program ran.

import inspector from "node:inspector";

/** Options by which whoever starts the server asks for the debugger itself. */
const ASKED = /(^|\s)--inspect(-brk|-wait)?(=|\s|$)/;

/** How long after the start a signal that came before it may still open the debugger: Node does that on a thread of its own. */
const LATE_MS = 1_000;
const LOOK_EACH_MS = 50;

/** Whether the operator wants the debugger: then it stays. */
function isAsked(options: readonly string[], variable: string): boolean {
  return ASKED.test(options.join(" ")) || ASKED.test(variable);
}

/**
 * Node opens its debugger at SIGUSR1 until a program handles the signal, which ours does from its first line on. What
 * was opened while Node itself started is closed here: through it anybody on the machine could run code in the server.
 */
export function closeUnaskedDebugger(): void {
  if (isAsked(process.execArgv, process.env["NODE_OPTIONS"] ?? "")) return;
  const close = () => {
    if (inspector.url() !== undefined) inspector.close();
  };
  close();
  const looking = setInterval(close, LOOK_EACH_MS).unref();
  setTimeout(() => clearInterval(looking), LATE_MS).unref();
}
