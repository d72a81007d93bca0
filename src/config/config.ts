// The one checked configuration of a member, frozen: everything below main.ts reads it and nothing else.

import type { AuditConfig } from "./audit/audit.js";
import { resolveGates } from "./gates.js";
import type { Settings } from "./settings.js";
import { assembleTls, type TlsConfig, type TlsVersion } from "./tls.js";
import type { ListenUrl } from "./urls.js";

export type { ListenUrl } from "./urls.js";

export interface LogConfig {
  /** "default", "stderr", "stdout" or file paths. */
  readonly outputs: readonly string[];
  readonly level: string;
  readonly format: "json" | "console";
}

export interface Config {
  readonly name: string;
  readonly dataDir: string;
  /** null = `<dataDir>/member/wal`. */
  readonly walDir: string | null;
  readonly snapshotCount: number;
  readonly snapshotCatchupEntries: number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly initialElectionTickAdvance: boolean;

  readonly listenPeerUrls: readonly ListenUrl[];
  readonly listenClientUrls: readonly ListenUrl[];
  readonly listenClientHttpUrls: readonly ListenUrl[];
  readonly listenMetricsUrls: readonly ListenUrl[];
  readonly advertisePeerUrls: readonly ListenUrl[];
  readonly advertiseClientUrls: readonly ListenUrl[];

  /** As given: `name=url,name=url`. */
  readonly initialCluster: string;
  readonly initialClusterState: "new" | "existing";
  readonly initialClusterToken: string;
  readonly strictReconfigCheck: boolean;
  readonly preVote: boolean;
  readonly maxLearners: number;
  /** Make a voter of a learner that has caught up. */
  readonly autoPromote: boolean;
  /** Start as the only member, whoever else there was. */
  readonly forceNewCluster: boolean;

  /** As given: 0 = the default of 2 GiB, negative = none. */
  readonly quotaBackendBytes: number;
  readonly maxTxnOps: number;
  readonly maxRequestBytes: number;
  readonly maxConcurrentStreams: number;
  readonly grpcKeepaliveMinTimeMs: number;
  readonly grpcKeepaliveIntervalMs: number;
  readonly grpcKeepaliveTimeoutMs: number;
  readonly peerReadTimeoutMs: number;
  readonly peerWriteTimeoutMs: number;

  readonly backendBatchIntervalMs: number;
  /** null = the store's own pacing. */
  readonly backendBatchLimit: number | null;
  /** null = the compaction's own pacing. */
  readonly compactionBatchLimit: number | null;
  readonly compactionSleepIntervalMs: number;
  readonly watchProgressNotifyIntervalMs: number;
  readonly compactHashCheckTimeMs: number;
  readonly downgradeCheckTimeMs: number;
  readonly autoCompactionMode: "periodic" | "revision";
  readonly autoCompactionRetention: string;
  readonly maxSnapshots: number;
  readonly maxWals: number;
  readonly unsafeNoFsync: boolean;

  /** Measure how long each gRPC call takes. */
  readonly extensiveMetrics: boolean;
  readonly gateway: boolean;
  /** Origins, or `*` alone. */
  readonly cors: readonly string[];
  /** Host names, or `*` alone. */
  readonly hostWhitelist: readonly string[];

  readonly clientTls: TlsConfig;
  readonly peerTls: TlsConfig;
  /** Go's names of suites of TLS 1.2; empty = the default. */
  readonly cipherSuites: readonly string[];
  readonly tlsMinVersion: TlsVersion;
  readonly tlsMaxVersion: TlsVersion;
  readonly selfSignedCertValidityYears: number;

  readonly authToken: string;
  readonly bcryptCost: number;
  readonly authTokenTtlSeconds: number;
  /** null = no audit log is kept. */
  readonly audit: AuditConfig | null;

  readonly log: LogConfig;
  readonly warningApplyDurationMs: number;
  readonly warningUnaryRequestDurationMs: number;

  /** What --feature-gates named. */
  readonly givenGates: ReadonlyMap<string, boolean>;
  /** Every gate. */
  readonly gates: ReadonlyMap<string, boolean>;
}

const DEFAULT_SNAPSHOT_COUNT = 10_000;
const DEFAULT_CATCHUP_ENTRIES = 5_000;
const DEFAULT_BATCH_INTERVAL_MS = 100;
const DEFAULT_COMPACTION_SLEEP_MS = 10;
const DEFAULT_PROGRESS_INTERVAL_MS = 600_000;
const LEAST_PROGRESS_INTERVAL_MS = 100;
const LEAST_PEER_TIMEOUT_MS = 5_000;
/** Go's gRPC server pings no more often. */
const LEAST_PING_INTERVAL_MS = 1_000;
/** The defaults of Go's gRPC server. */
const GRPC_KEEPALIVE = { minTimeMs: 300_000, intervalMs: 7_200_000, timeoutMs: 20_000 };
/** Unless it is set, a link that stands still is dialled anew sooner than etcd's: that takes milliseconds. */
const DEFAULT_PEER_WRITE_TIMEOUT_MS = 3_000;

/** Puts the configuration together from checked settings; no error is possible any more. */
export function assemble(settings: Settings, audit: AuditConfig | null): Config {
  const name = settings.text("name");
  return Object.freeze({
    name,
    dataDir: settings.text("data-dir") || `${name}.etcd`,
    walDir: settings.text("wal-dir") || null,
    ...assembleRaft(settings),
    ...assembleUrls(settings),
    ...assembleLimits(settings),
    ...assembleMaintenance(settings),
    extensiveMetrics: settings.text("metrics") === "extensive",
    gateway: settings.bool("enable-grpc-gateway"),
    cors: settings.raw("cors") === "*" ? ["*"] : settings.urls("cors").map((url) => url.text),
    hostWhitelist: settings.list("host-whitelist").length === 0 ? ["*"] : settings.list("host-whitelist"),
    ...assembleTls(settings),
    authToken: settings.text("auth-token"),
    bcryptCost: settings.number("bcrypt-cost"),
    authTokenTtlSeconds: settings.number("auth-token-ttl"),
    audit,
    log: logConfig(settings),
    warningApplyDurationMs: settings.number("warning-apply-duration"),
    warningUnaryRequestDurationMs: settings.number("warning-unary-request-duration"),
    givenGates: settings.gates(),
    gates: resolveGates(settings.gates()),
  });
}

/** How to log; also used for the lines that say why all the rest is wrong. */
export function logConfig(settings: Settings): LogConfig {
  return {
    outputs: settings.list("log-outputs"),
    level: settings.text("log-level") || "info",
    format: settings.text("log-format") === "console" ? "console" : "json",
  };
}

function assembleRaft(settings: Settings) {
  return {
    snapshotCount: settings.numberOr("snapshot-count", DEFAULT_SNAPSHOT_COUNT),
    snapshotCatchupEntries: settings.numberOr("snapshot-catchup-entries", DEFAULT_CATCHUP_ENTRIES),
    heartbeatIntervalMs: settings.number("heartbeat-interval"),
    electionTimeoutMs: settings.number("election-timeout"),
    initialElectionTickAdvance: settings.bool("initial-election-tick-advance"),
    initialCluster: initialCluster(settings),
    initialClusterState: settings.text("initial-cluster-state") === "existing" ? "existing" : "new",
    initialClusterToken: settings.text("initial-cluster-token"),
    strictReconfigCheck: settings.bool("strict-reconfig-check"),
    preVote: settings.bool("pre-vote"),
    maxLearners: settings.number("max-learners"),
    autoPromote: settings.bool("experimental-auto-promote"),
    forceNewCluster: settings.bool("force-new-cluster"),
  } as const;
}

/** With only --name or --initial-advertise-peer-urls given, the cluster is this member with its URLs. */
function initialCluster(settings: Settings): string {
  if (settings.isSet("initial-cluster")) return settings.text("initial-cluster");
  const name = settings.text("name");
  return settings
    .urls("initial-advertise-peer-urls")
    .map((url) => `${name}=${url.text}`)
    .join(",");
}

function assembleUrls(settings: Settings) {
  return {
    listenPeerUrls: settings.urls("listen-peer-urls"),
    listenClientUrls: settings.urls("listen-client-urls"),
    listenClientHttpUrls: settings.urls("listen-client-http-urls"),
    listenMetricsUrls: settings.urls("listen-metrics-urls"),
    advertisePeerUrls: settings.urls("initial-advertise-peer-urls"),
    advertiseClientUrls: settings.urls("advertise-client-urls"),
  };
}

function assembleLimits(settings: Settings) {
  return {
    quotaBackendBytes: settings.number("quota-backend-bytes"),
    maxTxnOps: settings.number("max-txn-ops"),
    maxRequestBytes: settings.number("max-request-bytes"),
    maxConcurrentStreams: settings.number("max-concurrent-streams"),
    ...assembleKeepalive(settings),
    peerReadTimeoutMs: Math.max(settings.number("raft-read-timeout"), LEAST_PEER_TIMEOUT_MS),
    peerWriteTimeoutMs: settings.isSet("raft-write-timeout")
      ? Math.max(settings.number("raft-write-timeout"), LEAST_PEER_TIMEOUT_MS)
      : DEFAULT_PEER_WRITE_TIMEOUT_MS,
  };
}

/** What is not above zero is as if it was not asked for: etcd then leaves its gRPC server to that one's own defaults. */
function assembleKeepalive(settings: Settings) {
  const minTimeMs = settings.number("grpc-keepalive-min-time");
  const intervalMs = settings.number("grpc-keepalive-interval");
  const timeoutMs = settings.number("grpc-keepalive-timeout");
  const pings = intervalMs > 0 && timeoutMs > 0;
  return {
    grpcKeepaliveMinTimeMs: minTimeMs > 0 ? minTimeMs : GRPC_KEEPALIVE.minTimeMs,
    grpcKeepaliveIntervalMs: pings ? Math.max(intervalMs, LEAST_PING_INTERVAL_MS) : GRPC_KEEPALIVE.intervalMs,
    grpcKeepaliveTimeoutMs: pings ? timeoutMs : GRPC_KEEPALIVE.timeoutMs,
  };
}

/** Things in one commit; null: as the store sees fit. */
function batchLimit(settings: Settings, flag: string, belowZero: number): number | null {
  const limit = settings.number(flag);
  if (limit === 0) return null;
  return limit < 0 ? belowZero : limit;
}

function assembleMaintenance(settings: Settings) {
  return {
    backendBatchIntervalMs: Math.max(settings.numberOr("backend-batch-interval", DEFAULT_BATCH_INTERVAL_MS), 0),
    backendBatchLimit: batchLimit(settings, "backend-batch-limit", 1),
    // Below zero etcd removes all revisions in one go.
    compactionBatchLimit: batchLimit(settings, "compaction-batch-limit", Number.MAX_SAFE_INTEGER),
    compactionSleepIntervalMs: Math.max(settings.numberOr("compaction-sleep-interval", DEFAULT_COMPACTION_SLEEP_MS), 0),
    watchProgressNotifyIntervalMs: Math.max(
      settings.numberOr("watch-progress-notify-interval", DEFAULT_PROGRESS_INTERVAL_MS),
      LEAST_PROGRESS_INTERVAL_MS,
    ),
    compactHashCheckTimeMs: settings.number("compact-hash-check-time"),
    downgradeCheckTimeMs: settings.number("downgrade-check-time"),
    autoCompactionMode: settings.text("auto-compaction-mode") === "revision" ? "revision" : "periodic",
    autoCompactionRetention: settings.text("auto-compaction-retention"),
    maxSnapshots: settings.number("max-snapshots"),
    maxWals: settings.number("max-wals"),
    unsafeNoFsync: settings.bool("unsafe-no-fsync"),
  } as const;
}
