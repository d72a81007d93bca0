// One member among others: its links, who they lead to, and what changes when the membership does. Built by member.ts.

import { AutoPromotion } from "../cluster/autopromote.js";
import { MembershipChanges } from "../cluster/changes.js";
import type { Member } from "../cluster/member.js";
import type { Membership } from "../cluster/membership.js";
import type { Ask } from "../cluster/peerclient.js";
import { ClusterPeers } from "../cluster/peers.js";
import { VersionMonitor } from "../cluster/versions.js";
import type { Config } from "../config/config.js";
import { formatDuration } from "../config/duration.js";
import type { Logger } from "../log/logger.js";
import type { MetaRow, NativeEngine } from "../native/binding.js";
import { systemClock, type Timer } from "../replica/clock.js";
import { replicaErrors } from "../replica/errors.js";
import { PeerLinks } from "../replica/peerlinks.js";
import type { Replica } from "../replica/replica.js";
import { ETCD_VERSION, MIN_CLUSTER_VERSION } from "../version.js";
import type { Identity } from "./datadir.js";

/** How long the first links are waited for before the first election is left to its timeout. */
const FIRST_LINKS_WAIT_MS = 5_000;
const FIRST_LINKS_INTERVAL_MS = 50;
/** How often a leader that stops looks whether the next one is still there. */
const HEIR_LOOK_MS = 10;
/** How long a member that stops waits for a leader to which it can pass on what it was given, and how often it looks. */
const PASS_ON_MAX_MS = 1_000;
const PASS_ON_LOOK_MS = 5;
/** So often the log names the members that are out of reach, as with etcd. */
const UNREACHABLE_REPORT_MS = 5_000;

export interface ClusteringParts {
  readonly config: Config;
  readonly engine: NativeEngine;
  readonly identity: Identity;
  readonly membership: Membership;
  readonly ask: Ask;
  /** The rows of another member's store take the place of the own ones. */
  readonly replaceRows: (meta: readonly MetaRow[]) => void;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  /** This member was removed from the cluster. May be called more than once. */
  readonly removed: () => void;
  /** A learner was promoted by this member as the leader, or why it was not. */
  readonly promotionDecided: (refusal: Error | null) => void;
}

export class Clustering {
  readonly links: PeerLinks;
  readonly #parts: ClusteringParts;
  readonly #peers: ClusterPeers;
  #autoPromotion: AutoPromotion | null = null;
  #versions: VersionMonitor | null = null;
  #reports: Timer | null = null;

  constructor(parts: ClusteringParts) {
    const { config, engine, identity, membership, log, removed } = parts;
    this.#parts = parts;
    this.links = new PeerLinks(engine, {
      id: identity.memberId,
      clock: systemClock,
      log,
      heartbeatMs: config.heartbeatIntervalMs,
      removed,
      snapshotArrived: parts.replaceRows,
    });
    this.#peers = new ClusterPeers({
      memberId: identity.memberId,
      peers: engine.peers,
      links: this.links,
      membership,
      log,
    });
    this.#introduceSelf();
  }

  /** What others learn when this member calls: they may never have heard of it, or know it where it was long ago. */
  #introduceSelf(): void {
    const { config, engine, identity, membership } = this.#parts;
    const agreed = membership.member(identity.memberId)?.peerUrls ?? [];
    const peerUrls = [...new Set([...agreed, ...config.advertisePeerUrls.map((url) => url.text)])];
    engine.peers.setIdentity({ version: ETCD_VERSION, minClusterVersion: MIN_CLUSTER_VERSION, peerUrls });
  }

  /** A member called that the log does not name. */
  meet(id: bigint, peerUrls: readonly string[]): void {
    this.#peers.meet(id, peerUrls);
  }

  /** Links everyone that the store knows, and those that a joining member was told of. */
  start(replica: Replica, told: readonly Member[]): void {
    this.#peers.introduce(told);
    this.#peers.sync();
    const { config, identity, membership, ask, log } = this.#parts;
    const { memberId } = identity;
    this.#versions = new VersionMonitor({ memberId, membership, replica, ask, clock: systemClock, log });
    this.#versions.start();
    this.#reports = systemClock.every(UNREACHABLE_REPORT_MS, () => this.links.reportUnreachable());
    if (!config.autoPromote) return;
    const changes = this.changes(replica);
    this.#autoPromotion = new AutoPromotion({ replica, membership, changes, clock: systemClock, log });
    this.#autoPromotion.start();
  }

  stop(): void {
    this.#autoPromotion?.stop();
    this.#versions?.stop();
    this.#reports?.cancel();
  }

  /** This member leads from now on. Never rejects. */
  async leads(): Promise<void> {
    await this.#versions?.look();
  }

  membersChanged(): void {
    this.#peers.sync();
    this.#introduceSelf();
  }

  changes(replica: Replica): MembershipChanges {
    const { config, identity, membership, ask, requestTimeoutMs, log, promotionDecided } = this.#parts;
    return new MembershipChanges({
      memberId: identity.memberId,
      membership,
      replica,
      links: this.links,
      ask,
      clock: systemClock,
      strictReconfigCheck: config.strictReconfigCheck,
      requestTimeoutMs,
      log,
      promotionDecided,
    });
  }

  /** Shortens the first wait for an election once members are linked: a restarted cluster need not sit it out. */
  async advanceTicks(replica: Replica, stopped: () => boolean): Promise<void> {
    const { config, identity, membership, log } = this.#parts;
    const ticks = Math.round(config.electionTimeoutMs / config.heartbeatIntervalMs);
    const others = () => membership.members().filter(({ id }) => id !== identity.memberId);
    log.info("starting initial election tick advance", { "election-ticks": ticks });
    for (let waited = 0; waited < FIRST_LINKS_WAIT_MS; waited += FIRST_LINKS_INTERVAL_MS) {
      await new Promise<void>((resolve) => systemClock.after(FIRST_LINKS_INTERVAL_MS, resolve));
      if (stopped()) return;
      const active = others().filter(({ id }) => this.links.isConnected(id)).length;
      if (active < 2) continue;
      log.info("initialized peer connections; fast-forwarding election ticks", {
        "local-member-id": identity.memberId,
        "forward-ticks": ticks - 2,
        "forward-duration": formatDuration((ticks - 2) * config.heartbeatIntervalMs),
        "election-ticks": ticks,
        "election-timeout": formatDuration(config.electionTimeoutMs),
        "active-remote-members": active,
      });
      replica.advanceTicks(ticks - 2);
      return;
    }
  }

  /** Rejects with ReplicaError. */
  async transferLeader(replica: Replica, to: bigint): Promise<void> {
    const { identity, log } = this.#parts;
    const fields = { "local-member-id": identity.memberId };
    const from = replica.leader();
    const startedMs = systemClock.nowMs();
    if (replica.isLeader) {
      log.info("leadership transfer starting", {
        ...fields,
        "current-leader-member-id": from,
        "transferee-member-id": to,
      });
    }
    await replica.transferLeader(to);
    log.info("leadership transfer finished", {
      ...fields,
      "old-leader-member-id": from,
      "new-leader-member-id": to,
      took: formatDuration(systemClock.nowMs() - startedMs),
    });
  }

  /** Before a stop: another voter takes over, so that the cluster is not without a leader for an election timeout. */
  async handOver(replica: Replica): Promise<void> {
    const { identity, log } = this.#parts;
    for (const heir of this.#heirs()) {
      if (!replica.isLeader) return;
      try {
        await this.#transferTo(heir, replica);
        return;
      } catch (error) {
        log.warn("leadership transfer failed", { "local-member-id": identity.memberId, error: error as Error });
      }
    }
  }

  /** The other voters that are linked, those first that have been for longest: they are linked with each other, too. */
  #heirs(): bigint[] {
    const { identity, membership } = this.#parts;
    return membership
      .voters()
      .flatMap(({ id }) => {
        const sinceMs = id === identity.memberId ? null : this.links.connectedAtMs(id);
        return sinceMs === null ? [] : [{ id, sinceMs }];
      })
      .sort((one, other) => one.sinceMs - other.sinceMs)
      .map(({ id }) => id);
  }

  /** As `transferLeader`, but rejects as soon as it will not come true: the heir may be stopping as well. */
  async #transferTo(heir: bigint, replica: Replica): Promise<void> {
    // Raft gives the heir one election timeout to take over.
    const untilMs = systemClock.nowMs() + 2 * this.#parts.config.electionTimeoutMs;
    let look: Timer | null = null;
    const hopeless = new Promise<never>((_resolve, reject) => {
      look = systemClock.every(HEIR_LOOK_MS, () => {
        if (!this.links.isConnected(heir)) reject(new Error("the link to the transferee was lost"));
        else if (systemClock.nowMs() >= untilMs) reject(replicaErrors.transferTimeout());
      });
    });
    try {
      await Promise.race([this.transferLeader(replica, heir), hopeless]);
    } finally {
      (look as Timer | null)?.cancel();
    }
  }

  /** Before the links end: what other members have passed on to this one goes to who leads now. Never rejects. */
  async leave(replica: Replica): Promise<void> {
    await this.#parts.engine.peers.leave();
    replica.wake();
    for (let waited = 0; waited < PASS_ON_MAX_MS && replica.waitingProposals > 0; waited += PASS_ON_LOOK_MS) {
      await new Promise<void>((resolve) => systemClock.after(PASS_ON_LOOK_MS, resolve));
    }
  }
}
