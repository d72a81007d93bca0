// Defragmentation: the data plane copies its database while it serves; here is what the log says about it.

import { formatDuration } from "../config/duration.js";
import { formatBytes } from "../log/bytes.js";
import type { Logger } from "../log/logger.js";
import type { NativeEngine } from "../native/binding.js";

export interface DefragmentParts {
  readonly store: Pick<NativeEngine, "defragment" | "storeStatus">;
  /** The database. */
  readonly path: string;
  /** Whether this member knows a leader. */
  readonly hasLeader: () => boolean;
  /** Resolves when everything acknowledged before is applied here. Rejects with an error that has a status. */
  readonly linearizable: () => Promise<void>;
  readonly log: Logger;
}

/** Gives back the free pages of the database. Rejects with the data plane's reason. */
export async function defragment(parts: DefragmentParts): Promise<void> {
  const { store, path, log } = parts;
  log.info("starting defragment");
  await catchUp(parts);
  const before = store.storeStatus();
  const startedMs = performance.now();
  log.info("defragmenting", {
    path,
    "current-db-size-bytes": before.dbSize,
    "current-db-size": formatBytes(before.dbSize),
    "current-db-size-in-use-bytes": before.dbSizeInUse,
    "current-db-size-in-use": formatBytes(before.dbSizeInUse),
  });
  try {
    await store.defragment();
  } catch (error) {
    log.warn("failed to defragment", { error: error as Error });
    throw error;
  }
  const after = store.storeStatus();
  log.info("finished defragmenting directory", {
    path,
    "current-db-size-bytes-diff": after.dbSize - before.dbSize,
    "current-db-size-bytes": after.dbSize,
    "current-db-size": formatBytes(after.dbSize),
    "current-db-size-in-use-bytes-diff": after.dbSizeInUse - before.dbSizeInUse,
    "current-db-size-in-use-bytes": after.dbSizeInUse,
    "current-db-size-in-use": formatBytes(after.dbSizeInUse),
    took: formatDuration(performance.now() - startedMs),
  });
  log.info("finished defragment");
}

/**
 * A compaction that another member has answered may not be applied here yet, and its room is what this is for. Without
 * the others the member defragments what it has.
 */
async function catchUp({ hasLeader, linearizable, log }: DefragmentParts): Promise<void> {
  if (!hasLeader()) return;
  try {
    await linearizable();
  } catch (error) {
    log.warn("failed to catch up with the cluster before defragment", { error: error as Error });
  }
}

/**
 * The work, one call after the other: each holds one of the few threads that Node has for such work, also while it waits
 * for a compaction, and a stop needs them too.
 */
export function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return () => {
    const next = last.then(work);
    // Its caller has the error; for the next it only matters that it has ended.
    last = next.catch(() => {});
    return next;
  };
}
