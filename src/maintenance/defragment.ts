// Defragmentation: the data plane copies its database while it serves; here is what the log says about it.

import { formatDuration } from "../config/duration.js";
import { formatBytes } from "../log/bytes.js";
import type { Logger } from "../log/logger.js";
import type { NativeEngine } from "../native/binding.js";

type Store = Pick<NativeEngine, "defragment" | "storeStatus">;

/** Gives back the free pages of the database at `path`. Rejects with the data plane's reason. */
export async function defragment(store: Store, path: string, log: Logger): Promise<void> {
  log.info("starting defragment");
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
