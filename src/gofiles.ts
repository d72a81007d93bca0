// What keeps a file from being opened or read, in Go's words, which etcd's users know.

import { readFileSync } from "node:fs";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
};

/** The reason alone; Node's words where Go's are not known. */
export function reasonOf({ code = "", message }: NodeJS.ErrnoException): string {
  return REASONS[code] ?? message;
}

/** The bytes of a file. Throws Error with Go's text if it cannot be read. */
export function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const problem = error as NodeJS.ErrnoException;
    // Go opens a directory, and then cannot read it.
    throw new Error(`${problem.code === "EISDIR" ? "read" : "open"} ${path}: ${reasonOf(problem)}`);
  }
}
