// Opening the data of a member: the options of its data plane, and the start of it before the rest of the program is
// loaded, since reading a large store takes long and needs nothing but the directory.

import type { Config } from "../config/config.js";
import { type Level, reaches } from "../log/level.js";
import type { EngineOptions, NativeBinding, Recovered } from "../native/binding.js";
import { Engine } from "../native/engine.js";
import { DataDirError, type Identity, readIdentity } from "./datadir.js";
import { backendQuotaBytes, memberDirectory, requestTimeoutMs } from "./derived.js";

/** A data plane that reads its disk. */
export interface Opening {
  readonly identity: Identity;
  readonly engine: Engine;
  readonly found: Promise<Recovered>;
}

function engineOptions(config: Config, { clusterId, memberId }: Identity): EngineOptions {
  return {
    memberDir: memberDirectory(config),
    walDir: config.walDir,
    clusterId,
    memberId,
    unsafeNoFsync: config.unsafeNoFsync,
    quotaBackendBytes: backendQuotaBytes(config),
    maxRequestBytes: config.maxRequestBytes,
    maxTxnOps: config.maxTxnOps,
    maxConcurrentStreams: config.maxConcurrentStreams,
    grpcKeepaliveMinTimeMs: config.grpcKeepaliveMinTimeMs,
    grpcKeepaliveIntervalMs: config.grpcKeepaliveIntervalMs,
    grpcKeepaliveTimeoutMs: config.grpcKeepaliveTimeoutMs,
    warningUnaryRequestDurationMs: config.warningUnaryRequestDurationMs,
    logRequests: reaches("debug", config.log.level as Level),
    warningApplyDurationMs: config.warningApplyDurationMs,
    peerReadTimeoutMs: config.peerReadTimeoutMs,
    peerWriteTimeoutMs: config.peerWriteTimeoutMs,
    backendBatchIntervalMs: config.backendBatchIntervalMs,
    backendBatchLimit: config.backendBatchLimit,
    compactionBatchLimit: config.compactionBatchLimit,
    compactionSleepIntervalMs: config.compactionSleepIntervalMs,
    watchProgressNotifyIntervalMs: config.watchProgressNotifyIntervalMs,
    requestTimeoutMs: requestTimeoutMs(config),
    extensiveMetrics: config.extensiveMetrics,
    frontThreads: 0,
    appendGrant: true,
  };
}

/** Begins to open or create the data. */
export function openData(config: Config, binding: NativeBinding, identity: Identity): Opening {
  const engine = new Engine(binding, engineOptions(config, identity));
  const found = engine.native.open();
  // Whoever starts the member awaits it later; until then a failure must not count as one that nobody handles.
  found.catch(() => {});
  return { identity, engine, found };
}

/** Begins to open what is there; null in a new directory, and in a damaged one, which the member's start reports. */
export function openEarly(config: Config, binding: NativeBinding): Opening | null {
  try {
    const identity = readIdentity(memberDirectory(config));
    return identity && openData(config, binding, identity);
  } catch (error) {
    if (error instanceof DataDirError) return null;
    throw error;
  }
}
