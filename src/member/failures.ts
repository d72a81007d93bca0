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

/** What the data plane says of an audit log that it cannot open. */
const AUDIT_LOG = /^open audit log (.*): (.*)$/s;

/** The audit log cannot be opened: nobody would know what is done here. */
class AuditError extends FatalError {
  constructor(path: string, reason: string) {
    super("failed to open audit log", { path, error: reason });
  }
}

/** The error of a data plane that does not open. */
export function openError(memberDir: string, reason: string): FatalError {
  const [, path, problem] = AUDIT_LOG.exec(reason) ?? [];
  if (path !== undefined && problem !== undefined) return new AuditError(path, problem);
  return new OpenError(memberDir, reason);
}

/** The data cannot be opened: it is damaged, does not fit together, or the disk refuses. */
class OpenError extends FatalError {
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
