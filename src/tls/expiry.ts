// When certificates end: the figure of the metric, and the warnings that come before it.

import type { Logger } from "../log/logger.js";
import type { TlsFound } from "../native/binding.js";
import type { Sources } from "./material.js";

const MS_A_DAY = 24 * 60 * 60 * 1_000;
/** It is said when so many days are left, each once. */
const WARNING_DAYS = [30, 7, 1, 0];

/** A file and when the first certificate in it ends, in milliseconds since 1970. */
export interface End {
  readonly role: string;
  readonly file: string;
  readonly endMs: number;
}

/** A file that is named twice ends once. */
export function endsOf({ side, tls }: Sources, found: TlsFound): End[] {
  const ends: [string, number | null][] = [
    [tls.certFile, found.certificateEndMs],
    [tls.clientCertFile, found.clientCertificateEndMs],
    [tls.trustedCaFile, found.trustedCaEndMs],
  ];
  const soonest = new Map<string, number>();
  for (const [file, endMs] of ends) {
    if (file !== "" && endMs !== null) soonest.set(file, Math.min(endMs, soonest.get(file) ?? endMs));
  }
  return [...soonest].map(([file, endMs]) => ({ role: side, file, endMs }));
}

export class ExpiryWarnings {
  /** The least of the days that were said, by file and end. */
  readonly #said = new Map<string, number>();

  constructor(private readonly log: Pick<Logger, "warn" | "error">) {}

  look(ends: readonly End[], nowMs: number): void {
    for (const { role, file, endMs } of ends) {
      const due = WARNING_DAYS.filter((days) => endMs - nowMs <= days * MS_A_DAY).at(-1);
      if (due === undefined) continue;
      const key = `${role} ${file} ${endMs}`;
      if ((this.#said.get(key) ?? Number.POSITIVE_INFINITY) <= due) continue;
      this.#said.set(key, due);
      const fields = { role, file, "not-after": new Date(endMs).toISOString() };
      if (endMs <= nowMs) this.log.error("a certificate has expired", fields);
      else
        this.log.warn("a certificate expires soon", { ...fields, "days-left": Math.ceil((endMs - nowMs) / MS_A_DAY) });
    }
  }
}
