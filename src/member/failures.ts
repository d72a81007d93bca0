// Why a start ends, where etcd has a fatal line of its own for it.

import { join } from "node:path";
import type { Fields } from "../log/logger.js";

/** A start that ends with this line in the log. */
export class FatalError extends Error {
  constructor(
    message: string,
    readonly fields: Fields,
  ) {
    super(message);
  }
}

/** The data cannot be opened: it is damaged, does not fit together, or the disk refuses. */
export class OpenError extends FatalError {
  constructor(memberDir: string, reason: string) {
    // The store's errors begin with the name of its file.
    const store = join(memberDir, "store.mdb");
    const before = `${store}: `;
    super(
      "failed to open database",
      reason.startsWith(before)
        ? { path: store, error: reason.slice(before.length) }
        : { path: memberDir, error: reason },
    );
  }
}
