// The audit log's part of the configuration: its flags, and the policy that one of them names.

import { readFileSync } from "node:fs";
import { ConfigError } from "../errors.js";
import type { Settings } from "../settings.js";
import { type AuditPolicy, DEFAULT_POLICY, parsePolicy } from "./policy.js";

export interface AuditConfig {
  readonly path: string;
  /** The log is rotated at so many bytes; null = never. */
  readonly bytesMax: number | null;
  /** Rotated logs are removed after so many days; null = never. */
  readonly daysMax: number | null;
  /** So many rotated logs are kept; null = all. */
  readonly backupsMax: number | null;
  readonly policy: AuditPolicy;
}

const BYTES_PER_MEGABYTE = 1 << 20;

/** Null: no audit log is kept. Throws ConfigError. */
export function readAudit(settings: Settings): AuditConfig | null {
  const path = settings.text("audit-log-path");
  if (path === "") {
    // Whoever wrote a policy believes that something is logged by it.
    if (settings.text("audit-policy-file") === "") return null;
    throw new ConfigError("--audit-policy-file needs --audit-log-path: without it no audit log is kept");
  }
  if (path === "-") throw new ConfigError("--audit-log-path must be a file, not stdout");
  const orNull = (name: string) => settings.number(name) || null;
  const megabytes = orNull("audit-log-maxsize");
  return {
    path,
    bytesMax: megabytes && Math.min(megabytes * BYTES_PER_MEGABYTE, Number.MAX_SAFE_INTEGER),
    daysMax: orNull("audit-log-maxage"),
    backupsMax: orNull("audit-log-maxbackup"),
    policy: readPolicy(settings.text("audit-policy-file")),
  };
}

function readPolicy(path: string): AuditPolicy {
  if (path === "") return DEFAULT_POLICY;
  try {
    return parsePolicy(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ConfigError(`--audit-policy-file: ${path}: ${(error as Error).message}`);
  }
}
