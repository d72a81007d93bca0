// What follows from the configuration and is needed in several places.

import { join } from "node:path";
import type { Config } from "../config/config.js";

/** etcd's request timeout beyond the election timeouts. */
const REQUEST_TIMEOUT_BASE_MS = 5_000;
/** etcd's quota where none is asked for. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

type Timing = Pick<Config, "electionTimeoutMs">;

export const memberDirectory = (config: Config) => join(config.dataDir, "member");

/** How long a request may take before its client gets `request timed out`: two elections fit in. */
export const requestTimeoutMs = (config: Timing) => REQUEST_TIMEOUT_BASE_MS + 2 * config.electionTimeoutMs;

/** The shortest time to live that a lease is granted: one and a half election timeouts, so that it outlives an election. */
export const leaseTtlSecondsMin = (config: Timing) => Math.ceil((3 * config.electionTimeoutMs) / 2_000);

/** What tokens look like. A type that there is not ends the start elsewhere. */
export function tokenKind({ authToken }: Pick<Config, "authToken">): "simple" | "jwt" | "none" {
  const [type] = authToken.split(",", 1);
  return type === "simple" || type === "jwt" ? type : "none";
}

export const backendQuotaBytes = (config: Config) =>
  config.quotaBackendBytes === 0 ? DEFAULT_QUOTA_BYTES : config.quotaBackendBytes;
