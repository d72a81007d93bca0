// Every flag of the server, in one table. All of etcd's are known; what netcd cannot do yet is marked `missing`.

import { auditFlags } from "./audit.js";
import { clusterFlags, memberFlags } from "./member.js";
import { loggingFlags, monitoringFlags, tuningFlags, unsafeFlags } from "./operations.js";
import { authFlags, securityFlags, securityKeys } from "./security.js";
import { type FlagSpec, rowsOf } from "./spec.js";

export type { FlagSpec } from "./spec.js";

const listed: readonly FlagSpec[] = [
  ...memberFlags,
  ...clusterFlags,
  ...securityFlags,
  ...authFlags,
  ...auditFlags,
  ...monitoringFlags,
  ...loggingFlags,
  ...tuningFlags,
  ...unsafeFlags,
];

const ignored = rowsOf("Member");

/** Flags of old versions: taken, without effect and without a separate value. */
const accepted: readonly FlagSpec[] = [
  "cluster-active-size",
  "cluster-remove-delay",
  "cluster-sync-interval",
  "config",
  "force",
  "max-result-buffer",
  "max-retry-attempts",
  "peer-election-timeout",
  "peer-heartbeat-interval",
  "retry-interval",
  "snapshot",
  "test.coverprofile",
  "test.outputdir",
  "v",
  "vv",
].map((name) => ignored(name, "ignored", "", "", { yaml: null, idle: "etcd ignores it too" }));

/** The flags that --help shows, in its order. */
export const LISTED_FLAGS = listed;

/** All flags by name. */
export const FLAGS: ReadonlyMap<string, FlagSpec> = new Map([...listed, ...accepted].map((flag) => [flag.name, flag]));

/** All that has a value: flags, and what only the config file has. */
export const SETTINGS: ReadonlyMap<string, FlagSpec> = new Map([
  ...FLAGS,
  ...securityKeys.map((key): [string, FlagSpec] => [key.name, key]),
]);

/** Name of the environment variable that stands for a flag. */
export function variableOf(flag: string): string {
  return `ETCD_${flag.toUpperCase().replaceAll("-", "_")}`;
}
