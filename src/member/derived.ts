// What follows from the configuration and is needed in several places.

import { join } from "node:path";
import type { Config } from "../config/config.js";

/** etcd's request timeout beyond the election timeouts. */
const REQUEST_TIMEOUT_BASE_MS = 5_000;
/** etcd's quota where none is asked for. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

export const memberDirectory = (config: Config) => join(config.dataDir, "member");

export const requestTimeoutMs = (config: Config) => REQUEST_TIMEOUT_BASE_MS + 2 * config.electionTimeoutMs;

export const backendQuotaBytes = (config: Config) =>
  config.quotaBackendBytes === 0 ? DEFAULT_QUOTA_BYTES : config.quotaBackendBytes;
