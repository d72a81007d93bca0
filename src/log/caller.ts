// Which line of the program logs.

import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";

interface Captured {
  readonly caller: string;
  readonly stack: string;
}

/** Where the function that called `below` was called from, and the frames from there on. */
export function captureCaller(below: (...args: never[]) => unknown): Captured {
  const holder: { stack?: unknown } = {};
  const before = Error.prepareStackTrace;
  // The structured frames are only reachable through this hook; it is put back at once.
  Error.prepareStackTrace = (_error, frames) => frames;
  Error.captureStackTrace(holder, below);
  const frames = holder.stack as NodeJS.CallSite[];
  Error.prepareStackTrace = before;
  const first = frames[0];
  return {
    caller: first ? `${shortName(fileOf(first))}:${first.getLineNumber() ?? 0}` : "",
    stack: frames.map(formatFrame).join("\n"),
  };
}

function fileOf(frame: NodeJS.CallSite): string {
  const name = frame.getFileName() ?? "";
  return name.startsWith("file:") ? fileURLToPath(name) : name;
}

function shortName(file: string): string {
  return `${basename(dirname(file))}/${basename(file)}`;
}

function formatFrame(frame: NodeJS.CallSite): string {
  const name = frame.getFunctionName() ?? "anonymous";
  return `${name}\n\t${shortName(fileOf(frame))}:${frame.getLineNumber() ?? 0}`;
}
