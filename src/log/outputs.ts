// Where log lines go. Lines are written at once: what a process says last must not be lost in a buffer.

import { closeSync, openSync, writeSync } from "node:fs";
import { reasonOf } from "../gofiles.js";

export interface Output {
  write(line: string): void;
  close(): void;
}

const STDOUT = 1;
const STDERR = 2;

/** A file that cannot be opened; the message is zap's. */
export class OutputError extends Error {}

/** A reader that is gone, a full disk, a quota, a terminal that was closed. */
const LOST: ReadonlySet<string> = new Set(["EPIPE", "ENOSPC", "EDQUOT", "EIO"]);

/** Opens one of --log-outputs: "default", "stderr", "stdout" or a file's path. Throws OutputError. */
export function openOutput(target: string): Output {
  if (target === "default" || target === "stderr") return descriptorOutput(STDERR, false);
  if (target === "stdout") return descriptorOutput(STDOUT, false);
  return descriptorOutput(openFile(target), true);
}

function openFile(path: string): number {
  try {
    return openSync(path, "a", 0o644);
  } catch (error) {
    const reason = reasonOf(error as NodeJS.ErrnoException);
    throw new OutputError(`open sink ${JSON.stringify(path)}: open ${path}: ${reason}`);
  }
}

function descriptorOutput(descriptor: number, owned: boolean): Output {
  return {
    write: (line) => writeWhole(descriptor, Buffer.from(line)),
    close: () => {
      if (owned) closeSync(descriptor);
    },
  };
}

/**
 * A pipe that is full answers EAGAIN: the reader gets its time, as with any blocking write. What nothing can be written
 * to any more must not end the server; the lines are lost, and that cannot be logged.
 */
function writeWhole(descriptor: number, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") continue;
      if (LOST.has(code ?? "")) return;
      throw error;
    }
  }
}
