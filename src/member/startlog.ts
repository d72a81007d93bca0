// The log lines about a member's start and stop that operators and tools look for.

import { availableParallelism } from "node:os";
import type { Membership } from "../cluster/membership.js";
import type { Config, ListenUrl } from "../config/config.js";
import { formatDuration } from "../config/duration.js";
import { goPlatform } from "../config/help.js";
import { limits } from "../limits.js";
import { formatBytes } from "../log/bytes.js";
import type { Logger } from "../log/logger.js";
import type { Recovered } from "../native/binding.js";
import type { Replica } from "../replica/replica.js";
import { ETCD_VERSION, NETCD_VERSION } from "../version.js";
import type { Identity } from "./datadir.js";
import { backendQuotaBytes, memberDirectory } from "./derived.js";

const texts = (urls: readonly ListenUrl[]) => urls.map((url) => url.text);

/** Logs "starting an etcd server" with the fields in etcd's order. */
export function logStart(log: Logger, config: Config, initialized: boolean): void {
  const [os = "", arch = ""] = goPlatform().split("/");
  const cores = availableParallelism();
  log.info("starting an etcd server", {
    "etcd-version": ETCD_VERSION,
    "git-sha": `netcd-${NETCD_VERSION}`,
    "go-version": `none (Node.js ${process.version})`,
    "go-os": os,
    "go-arch": arch,
    "max-cpu-set": cores,
    "max-cpu-available": cores,
    "member-initialized": initialized,
    name: config.name,
    "data-dir": config.dataDir,
    "wal-dir": config.walDir ?? "",
    "wal-dir-dedicated": config.walDir ?? "",
    "member-dir": memberDirectory(config),
    "force-new-cluster": config.forceNewCluster,
    "heartbeat-interval": formatDuration(config.heartbeatIntervalMs),
    "election-timeout": formatDuration(config.electionTimeoutMs),
    "initial-election-tick-advance": config.initialElectionTickAdvance,
    "snapshot-count": config.snapshotCount,
    "max-wals": config.maxWals,
    "max-snapshots": config.maxSnapshots,
    "snapshot-catchup-entries": config.snapshotCatchupEntries,
    "initial-advertise-peer-urls": texts(config.advertisePeerUrls),
    "listen-peer-urls": texts(config.listenPeerUrls),
    "advertise-client-urls": texts(config.advertiseClientUrls),
    "listen-client-urls": texts(config.listenClientUrls),
    "listen-metrics-urls": texts(config.listenMetricsUrls),
    "local-address": "",
    cors: config.cors,
    "host-whitelist": config.hostWhitelist,
    "initial-cluster": initialized ? "" : config.initialCluster,
    "initial-cluster-state": config.initialClusterState,
    "initial-cluster-token": initialized ? "" : config.initialClusterToken,
    "quota-backend-bytes": backendQuotaBytes(config),
    "max-request-bytes": config.maxRequestBytes,
    "max-concurrent-streams": config.maxConcurrentStreams,
    "pre-vote": config.preVote,
    "feature-gates": [...config.givenGates].map(([name, on]) => `${name}=${on}`).join(","),
    "compact-check-time-interval": formatDuration(config.compactHashCheckTimeMs),
    "auto-compaction-mode": config.autoCompactionMode,
    "downgrade-check-interval": formatDuration(config.downgradeCheckTimeMs),
    "max-learners": config.maxLearners,
    "v2-deprecation": "write-only",
  });
  warnOfLargeRequests(log, config.maxRequestBytes);
}

function warnOfLargeRequests(log: Logger, bytes: number): void {
  if (bytes <= limits.recommendedRequestBytesMax) return;
  log.warn("exceeded recommended request limit", {
    "max-request-bytes": bytes,
    "max-request-size": formatBytes(bytes),
    "recommended-request-bytes": limits.recommendedRequestBytesMax,
    "recommended-request-size": formatBytes(limits.recommendedRequestBytesMax),
  });
}

/** Logs what a start found on disk. */
export function logRecovered(log: Logger, recovered: Recovered, membership: Membership, identity: Identity): void {
  if (recovered.tornBytes > 0) log.warn("cut the torn tail of the write-ahead log", { bytes: recovered.tornBytes });
  const ids = { "cluster-id": identity.clusterId, "local-member-id": identity.memberId };
  for (const member of membership.members()) {
    log.info("recovered/added member from store", {
      ...ids,
      "recovered-remote-peer-id": member.id,
      "recovered-remote-peer-urls": member.peerUrls,
      "recovered-remote-peer-is-learner": member.isLearner,
    });
  }
  const version = membership.clusterVersion?.replace(/\.\d+$/, "");
  if (version !== undefined) log.info("set cluster version from store", { "cluster-version": version });
  if (recovered.compactRevision > 0) {
    log.info("restored last compact revision", { "restored-compact-revision": recovered.compactRevision });
  }
  log.info("kvstore restored", { "current-rev": recovered.revision });
  log.info("starting etcd server", {
    "local-member-id": identity.memberId,
    "local-server-version": ETCD_VERSION,
    "cluster-version": version ?? "to_be_decided",
    "cluster-id": version === undefined ? undefined : identity.clusterId,
  });
}

/** Logs at a stop why no other member takes over the leadership. */
export function logNoTransfer(log: Logger, replica: Replica, identity: Identity): void {
  const local = { "local-member-id": identity.memberId };
  if (replica.isLeader) {
    log.info("skipped leadership transfer for single voting member cluster", {
      ...local,
      "current-leader-member-id": replica.leader(),
    });
  } else log.info("skipped leadership transfer; local server is not leader", local);
}
