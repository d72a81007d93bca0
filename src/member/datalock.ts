// The lock of a member's directory. It is taken before anything in there is read, and held until the data is closed: a
// process that starts while another still ends waits for it, as etcd's does.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { formatDuration } from "../config/duration.js";
import type { Logger } from "../log/logger.js";
import type { DirectoryLock, NativeBinding } from "../native/binding.js";
import { DataDirError } from "./datadir.js";

/** As bbolt's. */
const RETRY_MS = 50;
/** After so long etcd says that it waits. */
const LONG_WAIT_MS = 10_000;

/** The file that others find in use, as the log names it. */
const storeFile = (memberDir: string) => join(memberDir, "store.mdb");

/** The lock, if it can be had at once; null also where there is no directory yet. Throws DataDirError. */
export function tryLock(binding: NativeBinding, memberDir: string): DirectoryLock | null {
  try {
    return existsSync(memberDir) ? binding.lockDirectory(memberDir) : null;
  } catch (error) {
    throw new DataDirError(memberDir, (error as Error).message);
  }
}

/** The lock, as soon as it can be had. `goOn` throws when the wait is over for another reason. Throws DataDirError. */
export async function waitForLock(
  binding: NativeBinding,
  memberDir: string,
  log: Logger,
  goOn: () => void,
): Promise<DirectoryLock> {
  const began = performance.now();
  const fields = () => ({ path: storeFile(memberDir), took: formatDuration(Math.round(performance.now() - began)) });
  let lock = tryLock(binding, memberDir);
  if (lock) return lock;
  log.info("waiting for another process that has the data directory in use", { path: memberDir });
  for (let told = false; lock === null; lock = tryLock(binding, memberDir)) {
    if (!told && performance.now() - began >= LONG_WAIT_MS) {
      told = true;
      log.info("db file is flocked by another process, or taking too long", fields());
    }
    await sleep(RETRY_MS);
    goOn();
  }
  log.info("the data directory is no longer in use", fields());
  return lock;
}
