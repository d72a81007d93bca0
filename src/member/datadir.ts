// The data directory: what is in it before the engine opens it, and the file that says whose it is.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";

/** Ids that belong to a data directory for good: flags of a later start do not change them. */
export interface Identity {
  readonly memberId: bigint;
  readonly clusterId: bigint;
}

/** The directory cannot be used. */
export class DataDirError extends Error {
  constructor(
    readonly directory: string,
    reason: string,
  ) {
    super(reason);
  }
}

/** The directory belonged to the proxy of etcd 2, which is no more. */
export class ProxyDirError extends DataDirError {
  /** A member lived there too. */
  readonly withMember: boolean;

  constructor(directory: string, withMember: boolean) {
    super(
      directory,
      withMember
        ? "invalid datadir; both member and proxy directories exist"
        : "v2 http proxy has already been deprecated in 3.6",
    );
    this.withMember = withMember;
  }
}

export type DirectoryType = "empty" | "member";

/** What the operating system's errors are called. */
const REASONS: Readonly<Record<string, string>> = {
  ENOTDIR: "not a directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  EROFS: "read-only file system",
  ENOSPC: "no space left on device",
};

const PRIVATE = 0o700;
const MEMBER = "member";
const PROXY = "proxy";

const FILE = "identity.json";
const FORMAT = 1;

/**
 * Makes the directory if it is not there, and says whether a member lives in it. What does not belong there is told.
 * Throws DataDirError.
 */
export function inspectDataDir(directory: string, stranger: (name: string) => void): DirectoryType {
  const names = listDataDir(directory);
  for (const name of names) if (name !== MEMBER && name !== PROXY) stranger(name);
  const type = names.includes(MEMBER) ? "member" : "empty";
  if (names.includes(PROXY)) throw new ProxyDirError(directory, type === "member");
  return type;
}

function listDataDir(directory: string): string[] {
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE });
    return readdirSync(directory).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new DataDirError(directory, `readdirent ${directory}: not a directory`);
    if (code === "ENOTDIR") throw new DataDirError(directory, `open ${directory}: not a directory`);
    throw new DataDirError(directory, message);
  }
}

/** Why others may read the data, in etcd's words; null: they may not, or there is no such directory yet. */
export function openToOthers(directory: string): string | null {
  const found = statSync(directory, { throwIfNoEntry: false });
  if (!found || (found.mode & 0o777) === PRIVATE) return null;
  const letters = [..."rwxrwxrwx"].map((letter, at) => (found.mode & (0o400 >> at) ? letter : "-")).join("");
  return (
    `directory "${directory}" exist, but the permission is "${found.isDirectory() ? "d" : "-"}${letters}". ` +
    'The recommended permission is "-rwx------" to prevent possible unprivileged access to the data'
  );
}

/** Makes the data directory, or that of the member in it, and tries to write there; returns why it cannot. */
export function makeWritable(directory: string, which: "data" | "member"): string | null {
  const probe = join(directory, ".touch");
  try {
    if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: PRIVATE });
    writeFileSync(probe, "");
    // Another process may try at the same time.
    rmSync(probe, { force: true });
    return null;
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    return `cannot access ${which} directory: open ${resolve(probe)}: ${REASONS[code] ?? message}`;
  }
}

/** Whether somebody's data is there. */
export const isInitialized = (memberDir: string): boolean => existsSync(join(memberDir, FILE));

/** Whose directory it is; null for a new one. Throws DataDirError if the file is damaged. */
export function readIdentity(memberDir: string): Identity | null {
  const path = join(memberDir, FILE);
  if (!existsSync(path)) return null;
  const text = readFileSync(path, "utf8");
  const match = /^\{"format":1,"member":"([0-9a-f]{1,16})","cluster":"([0-9a-f]{1,16})"\}\n$/.exec(text);
  if (!match) throw new DataDirError(memberDir, `${path} is damaged or of a newer version`);
  return { memberId: BigInt(`0x${match[1]}`), clusterId: BigInt(`0x${match[2]}`) };
}

/** Writes the file so that a crash leaves all of it or nothing. */
export function writeIdentity(memberDir: string, identity: Identity): void {
  const draft = join(memberDir, `${FILE}.tmp`);
  const content = {
    format: FORMAT,
    member: identity.memberId.toString(16),
    cluster: identity.clusterId.toString(16),
  };
  const file = openSync(draft, "w", 0o600);
  writeSync(file, `${JSON.stringify(content)}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(draft, join(memberDir, FILE));
  const folder = openSync(memberDir, "r");
  fsyncSync(folder);
  closeSync(folder);
}
