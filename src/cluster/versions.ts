// The cluster's version: the leader asks every member for its server version and decides on the lowest of them.

import type { Logger } from "../log/logger.js";
import type { Clock, Timer } from "../replica/clock.js";
import type { Replica } from "../replica/replica.js";
import { CLUSTER_VERSION, ETCD_VERSION, MIN_CLUSTER_VERSION } from "../version.js";
import { BootstrapError } from "./initial.js";
import type { Member } from "./member.js";
import type { Membership } from "./membership.js";
import type { Ask } from "./peerclient.js";

/** Between two looks at the members' versions, as with etcd. */
const INTERVAL_MS = 4_000;
/** How long one peer URL may take to answer. */
const ASK_TIMEOUT_MS = 2_000;

/** Major, minor, patch. */
type Version = readonly [number, number, number];

/** null: the text does not begin with a version. */
export function parseVersion(text: string): Version | null {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : null;
}

/** Negative: a is lower. */
function compareVersions(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** Majors and minors of `X.Y.Z`, as log lines have them. */
export function shortVersion(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

/**
 * What the cluster should run, `X.Y.0`; null: what it runs. `lowest` null: not every member could be asked, so that a
 * first version is the lowest there is, and one that is decided stays.
 */
export function decideVersion(current: string | null, lowest: Version | null): string | null {
  if (lowest === null) return current === null ? MIN_CLUSTER_VERSION : null;
  const target: Version = [lowest[0], lowest[1], 0];
  const decided = current === null ? null : parseVersion(current);
  // Within a major it only rises; anything else is a downgrade, which an operator has to ask for.
  if (decided !== null && (decided[0] !== target[0] || compareVersions(decided, target) >= 0)) return null;
  return target.join(".");
}

/** Whether this server may run in a cluster of that version. */
export function canRun(clusterVersion: string): boolean {
  const decided = parseVersion(clusterVersion);
  const own = parseVersion(CLUSTER_VERSION);
  return decided !== null && own !== null && compareVersions(decided, own) <= 0;
}

/** A cluster does not go back to an older version by starting older servers. Throws BootstrapError. */
export function refuseDowngrade(membership: Membership, log: Pick<Logger, "error">): void {
  const { clusterVersion } = membership;
  if (clusterVersion === null || canRun(clusterVersion)) return;
  const refusal = "invalid downgrade; server version is lower than determined cluster version";
  log.error(refusal, {
    "current-server-version": ETCD_VERSION,
    "determined-cluster-version": shortVersion(clusterVersion),
  });
  throw new BootstrapError(refusal);
}

export interface MemberVersions {
  readonly server: string;
  /** `not_decided` while there is none. */
  readonly cluster: string;
}

/** What the first of a member's URLs that answers says; null: none does, and the log has the reasons. */
export async function askVersions(member: Member, log: Pick<Logger, "warn">, ask: Ask): Promise<MemberVersions | null> {
  let failure = new Error("the member has no peer URL");
  for (const url of member.peerUrls) {
    try {
      const answer = await ask({ method: "GET", url, path: "/version", timeoutMs: ASK_TIMEOUT_MS });
      const { etcdserver, etcdcluster } = JSON.parse(answer.body.toString()) as Record<string, unknown>;
      if (typeof etcdserver === "string") {
        return { server: etcdserver, cluster: typeof etcdcluster === "string" ? etcdcluster : "not_decided" };
      }
      failure = new Error(`${url}/version does not name a server version`);
    } catch (error) {
      failure = error as Error;
      log.warn("failed to reach the peer URL", {
        address: `${url}/version`,
        "remote-member-id": member.id,
        error: failure,
      });
    }
  }
  log.warn("failed to get version", { "remote-member-id": member.id, error: failure });
  return null;
}

export interface VersionMonitorParts {
  readonly memberId: bigint;
  readonly membership: Membership;
  readonly replica: Pick<Replica, "isLeader" | "proposeControl">;
  readonly clock: Clock;
  readonly log: Pick<Logger, "info" | "warn">;
  readonly ask: Ask;
}

export class VersionMonitor {
  readonly #parts: VersionMonitorParts;
  #timer: Timer | null = null;
  #stopped = false;
  #busy = false;

  constructor(parts: VersionMonitorParts) {
    this.#parts = parts;
  }

  /** A sole voter may lead already. */
  start(): void {
    this.#timer = this.#parts.clock.every(INTERVAL_MS, () => void this.look());
    void this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Asks all members and proposes what follows, if this member leads. Never rejects. */
  async look(): Promise<void> {
    const { membership, replica } = this.#parts;
    if (this.#busy || this.#stopped || !replica.isLeader) return;
    this.#busy = true;
    try {
      const lowest = await this.#lowestServerVersion();
      const next = decideVersion(membership.clusterVersion, lowest);
      if (next !== null && !this.#stopped && replica.isLeader) await this.#propose(next);
    } finally {
      this.#busy = false;
    }
  }

  /** null: a member could not be asked. */
  async #lowestServerVersion(): Promise<Version | null> {
    const { memberId, membership, log, ask } = this.#parts;
    const others = membership.members().filter(({ id }) => id !== memberId);
    const answers = await Promise.all(others.map((member) => askVersions(member, log, ask)));
    const own = parseVersion(ETCD_VERSION);
    let lowest = own;
    for (const [at, answer] of answers.entries()) {
      const version = answer === null ? null : parseVersion(answer.server);
      if (own === null || lowest === null || version === null) return null;
      if (compareVersions(version, lowest) < 0) lowest = version;
      if (compareVersions(version, own) <= 0) continue;
      log.warn("leader found higher-versioned member", {
        "local-member-version": ETCD_VERSION,
        "remote-member-id": others[at]?.id,
        "remote-member-version": answer?.server,
      });
    }
    return lowest;
  }

  async #propose(next: string): Promise<void> {
    const { membership, replica, log } = this.#parts;
    const version = shortVersion(next);
    const before = membership.clusterVersion;
    if (before === null) log.info("setting up initial cluster version using v3 API", { "cluster-version": version });
    else log.info("updating cluster version using v3 API", { from: shortVersion(before), to: version });
    try {
      await replica.proposeControl({ type: "clusterVersion", version: next });
      log.info("cluster version is updated", { "cluster-version": version });
    } catch (error) {
      if (this.#stopped) log.warn("aborting cluster version update; server is stopped", { error: error as Error });
      else log.warn("failed to update cluster version", { error: error as Error });
    }
  }
}
