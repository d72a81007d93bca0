// Opening the data of a member: the options of its data plane, and the start of it before the rest of the program is
// loaded, since reading a large store takes long and needs nothing but the directory.

import type { AuditConfig } from "../config/audit/audit.js";
import type { Config } from "../config/config.js";
import { type Level, reaches } from "../log/level.js";
import type { Logger } from "../log/logger.js";
import type { AuditOptions, DirectoryLock, EngineOptions, NativeBinding, Recovered } from "../native/binding.js";
import { Engine } from "../native/engine.js";
import { DataDirError, type Identity, readIdentity } from "./datadir.js";
import { tryLock } from "./datalock.js";
import { backendQuotaBytes, leaseTtlSecondsMin, memberDirectory, requestTimeoutMs, tokenKind } from "./derived.js";
import { givenSides, TlsError } from "./tlssides.js";

/** The largest count that the data plane takes; no limit beyond it could be reached. */
const COUNT_MAX = 2 ** 32 - 1;

/** A data plane that reads its disk. */
export interface Opening {
  /** Of the member's directory; to be released when the data is closed. */
  readonly lock: DirectoryLock;
  readonly identity: Identity;
  readonly engine: Engine;
  readonly found: Promise<Recovered>;
}

function auditOptions({ path, bytesMax, daysMax, backupsMax, policy }: AuditConfig): AuditOptions {
  const rules = policy.rules.map(({ calls, users, prefixes, results, logged }) => ({
    calls: [...calls],
    users: users && [...users],
    prefixes: prefixes && [...prefixes],
    results: [...results],
    logged,
  }));
  return { path, bytesMax, daysMax, backupsMax, blocks: policy.blocks, rules };
}

/** What the data plane of a member with this configuration is told. */
export function engineOptions(config: Config, { clusterId, memberId }: Identity): EngineOptions {
  return {
    memberDir: memberDirectory(config),
    walDir: config.walDir,
    clusterId,
    memberId,
    unsafeNoFsync: config.unsafeNoFsync,
    quotaBackendBytes: backendQuotaBytes(config),
    maxRequestBytes: Math.min(config.maxRequestBytes, COUNT_MAX),
    maxTxnOps: Math.min(config.maxTxnOps, COUNT_MAX),
    // Of none at all a server would be of no use: etcd's gRPC server takes it for no limit.
    maxConcurrentStreams: config.maxConcurrentStreams === 0 ? COUNT_MAX : config.maxConcurrentStreams,
    grpcKeepaliveMinTimeMs: config.grpcKeepaliveMinTimeMs,
    grpcKeepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
    grpcKeepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
    warningUnaryRequestDurationMs: Math.max(config.warningUnaryRequestDurationMs, 0),
    logRequests: reaches("debug", config.log.level as Level),
    warningApplyDurationMs: Math.max(config.warningApplyDurationMs, 0),
    audit: config.audit && auditOptions(config.audit),
    peerReadTimeoutMs: config.peerReadTimeoutMs,
    peerWriteTimeoutMs: config.peerWriteTimeoutMs,
    backendBatchIntervalMs: config.backendBatchIntervalMs,
    backendBatchLimit: config.backendBatchLimit,
    compactionBatchLimit: config.compactionBatchLimit,
    compactionSleepIntervalMs: config.compactionSleepIntervalMs,
    watchProgressNotifyIntervalMs: config.watchProgressNotifyIntervalMs,
    requestTimeoutMs: requestTimeoutMs(config),
    electionTimeoutMs: config.electionTimeoutMs,
    leaseTtlSecondsMin: leaseTtlSecondsMin(config),
    extensiveMetrics: config.extensiveMetrics,
    authToken: tokenKind(config),
    frontThreads: 0,
    appendGrant: true,
  };
}

/** Whose the data is, and the lock that keeps others from it. */
export type Claim = Pick<Opening, "lock" | "identity">;

/** Begins to open or create the data. */
export function openData(config: Config, binding: NativeBinding, { lock, identity }: Claim): Opening {
  const engine = new Engine(binding, engineOptions(config, identity));
  const found = engine.native.open();
  // Whoever starts the member awaits it later; until then a failure must not count as one that nobody handles.
  found.catch(() => {});
  return { lock, identity, engine, found };
}

/**
 * Begins to open what is there; null in a new directory, in one that is damaged or in use, and if TLS cannot be had as
 * it is configured, which the member's start reports.
 */
export function openEarly(config: Config, binding: NativeBinding, log: Logger): Opening | null {
  let lock: DirectoryLock | null = null;
  try {
    givenSides(config, binding, log);
    lock = tryLock(binding, memberDirectory(config));
    const identity = lock && readIdentity(memberDirectory(config));
    if (lock && identity) return openData(config, binding, { lock, identity });
  } catch (error) {
    if (!(error instanceof DataDirError || error instanceof TlsError)) throw error;
  }
  lock?.release();
  return null;
}
