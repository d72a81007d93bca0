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
  writeSync,
} from "node:fs";
import { join } from "node:path";

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

export type DirectoryType = "empty" | "member";

const FILE = "identity.json";
const FORMAT = 1;

/** Makes the directory if it is not there, and says whether a member lives in it. Throws DataDirError. */
export function inspectDataDir(directory: string): DirectoryType {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return readdirSync(directory).includes("member") ? "member" : "empty";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new DataDirError(directory, `readdirent ${directory}: not a directory`);
    if (code === "ENOTDIR") throw new DataDirError(directory, `open ${directory}: not a directory`);
    throw new DataDirError(directory, message);
  }
}

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
  mkdirSync(memberDir, { recursive: true, mode: 0o700 });
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
