// The lessor of one member: on the leader time runs for leases, they expire and are renewed; elsewhere calls go to the
// leader. The table itself is in the data plane (native/engine/src/lease), and so is the clock: a monotonic one.

import { limits } from "../limits.js";
import type { Fields } from "../log/logger.js";
import type { NativeLeases } from "../native/binding.js";
import type { Clock, Timer } from "../replica/clock.js";
import { type ReplicaError, replicaErrors } from "../replica/errors.js";
import { leaseErrors } from "./errors.js";
import { type Checkpoint, EXPIRY_INTERVAL_MS, Expiry } from "./expiry.js";
import { type LeaseForwarder, type LeaseStatus, noForwarder } from "./forward.js";

/** The table of the data plane. */
export type LeaseTable = Omit<NativeLeases, "all" | "nextId">;

/** What the lessor needs of the replica. */
export interface LessorReplica {
  readonly isLeader: boolean;
  /** 0n = none is known. */
  leader(): bigint;
  /** Resolves when everything that was committed at the call is applied here; rejects on a member that is cut off. */
  readIndex(): Promise<void>;
  /** Resolves when everything is applied here that this member knows to be committed. */
  caughtUp(): Promise<void>;
}

export interface LessorOptions {
  readonly table: LeaseTable;
  readonly replica: LessorReplica;
  readonly clock: Clock;
  readonly electionMs: number;
  /** How long a call may wait for a leader or for its answer. */
  readonly requestTimeoutMs: number;
  /** null: remaining times are not written. */
  readonly checkpointIntervalMs: number | null;
  /** Through the log. */
  readonly revoke: (id: bigint) => Promise<void>;
  readonly checkpoint: (checkpoints: readonly Checkpoint[]) => Promise<void>;
  /** null: this member has no peers. */
  readonly forwarder: LeaseForwarder | null;
  readonly log: { warn(message: string, fields: Fields): void };
}

/** How long a leader's call may wait for what is committed to be applied, as in etcd. */
const APPLY_WAIT_MS = 1_000;
/** Between two tries to reach the leader, and two looks whether an expired lease is revoked. */
const RETRY_MS = 50;

export class Lessor {
  readonly #options: LessorOptions;
  readonly #expiry: Expiry;
  #ticker: Timer | null = null;
  #leads = false;
  #stopped = false;
  #renewing = 0;
  #expiredTotal = 0;

  constructor(options: LessorOptions) {
    this.#options = options;
    const { table, revoke, checkpoint, checkpointIntervalMs, log } = options;
    this.#expiry = new Expiry({
      table,
      revoke,
      checkpoint: checkpointIntervalMs === null ? null : checkpoint,
      expired: () => {
        this.#expiredTotal += 1;
      },
      failed: (message, id, error) => {
        if (!this.#stopped) log.warn(message, { ...(id === null ? {} : { "lease-id": id.toString(16) }), error });
      },
    });
  }

  /** Leases that this leader revoked because they had expired. */
  get expiredTotal(): number {
    return this.#expiredTotal;
  }

  /** To be called whenever leadership may have changed. A new leader gives every lease an election timeout more. */
  leadershipChanged(isLeader: boolean): void {
    if (this.#stopped || isLeader === this.#leads) return;
    const { table, clock, electionMs, checkpointIntervalMs } = this.#options;
    this.#leads = isLeader;
    this.#ticker?.cancel();
    this.#ticker = null;
    if (!isLeader) {
      table.demote();
      return;
    }
    table.promote(electionMs, checkpointIntervalMs);
    let lookedMs = clock.nowMs();
    this.#ticker = clock.every(EXPIRY_INTERVAL_MS, () => {
      const sinceMs = clock.nowMs() - lookedMs;
      lookedMs = clock.nowMs();
      this.#tick(sinceMs);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#ticker = null;
  }

  #tick(sinceMs: number): void {
    const { table, electionMs } = this.#options;
    // After a stall others may lead by now: raft hears of it before the next look.
    if (sinceMs < EXPIRY_INTERVAL_MS + electionMs) {
      table.attend();
      this.#expiry.look();
    } else {
      this.#confirm();
    }
  }

  /** Asks the other members whether this one still leads. */
  #confirm(): void {
    const { table, replica, log } = this.#options;
    replica.readIndex().then(
      () => {
        if (this.#leads) table.attend();
      },
      (error: Error) => {
        if (!this.#stopped) log.warn("failed to confirm leadership for leases after a stall", { error });
      },
    );
  }

  /** Answers a `leaseRenew` event of the data plane. */
  handleRenewal(renewal: number, id: bigint): void {
    const { table } = this.#options;
    const fail = (error: ReplicaError) => table.renewed(renewal, 0, error.status);
    if (this.#renewing >= limits.pendingRenewalsMax) {
      fail(replicaErrors.tooManyRequests());
      return;
    }
    this.#renewing += 1;
    this.renew(id)
      .then((ttlSeconds) => table.renewed(renewal, ttlSeconds, null), fail)
      .finally(() => {
        this.#renewing -= 1;
      });
  }

  /** Resolves with the TTL in seconds, 0 = there is no such lease. @throws ReplicaError */
  renew(id: bigint): Promise<number> {
    return this.#onLeader(
      () => this.#renewHere(id),
      (leader, forwarder) => forwarder.renew(leader, id),
    );
  }

  /** Resolves with null if there is no such lease. @throws ReplicaError */
  timeToLive(id: bigint, keys: boolean): Promise<LeaseStatus | null> {
    return this.#onLeader(
      () => this.timeToLiveHere(id, keys),
      (leader, forwarder) => forwarder.timeToLive(leader, id, keys),
    );
  }

  /** As `timeToLive`, if this member leads: for calls that another member forwarded. */
  async timeToLiveHere(id: bigint, keys: boolean): Promise<LeaseStatus | null> {
    const { table, replica } = this.#options;
    await this.#within(APPLY_WAIT_MS, replica.caughtUp(), leaseErrors.appliedTooLate);
    let times = table.times(id);
    if (times === null) {
      // That there is none must not be said by who leads no longer: the others may have granted it since.
      await this.#applied();
      times = table.times(id);
    }
    if (times === null) return null;
    if (times.expiresInMs === null) throw leaseErrors.notPrimary();
    return {
      ttlSeconds: Math.floor(times.expiresInMs / 1000),
      grantedTtlSeconds: times.grantedTtlSeconds,
      keys: keys ? table.keys(id) : null,
    };
  }

  /** As `renew`, if this member leads: for calls that another member forwarded. */
  async renewHere(id: bigint): Promise<number> {
    if (!this.#options.replica.isLeader) throw leaseErrors.notPrimary();
    return this.#renewHere(id);
  }

  async #renewHere(id: bigint): Promise<number> {
    // The data plane could not decide: the lease may be granted by an entry that is not applied yet, or this member
    // may lead no longer.
    await this.#applied();
    const { table, clock, checkpoint, requestTimeoutMs } = this.#options;
    const untilMs = clock.nowMs() + requestTimeoutMs;
    for (;;) {
      const { outcome, ttlSeconds } = table.renew(id);
      if (outcome === "renewed") return ttlSeconds;
      if (outcome === "unknown") return 0;
      if (outcome === "notLeader") throw leaseErrors.notPrimary();
      if (clock.nowMs() >= untilMs) throw leaseErrors.timeout();
      if (outcome === "checkpointed") await checkpoint([{ id, remainingTtlSeconds: 0 }]);
      // Expired: the client learns of it when its keys are gone.
      else await this.#pause(RETRY_MS);
    }
  }

  async #applied(): Promise<void> {
    await this.#within(APPLY_WAIT_MS, this.#options.replica.readIndex(), leaseErrors.appliedTooLate);
  }

  #within<T>(ms: number, work: Promise<T>, late: () => ReplicaError): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#options.clock.after(ms, () => reject(late()));
      work.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(ms, resolve);
    });
  }

  /** Runs here if this member leads, else at the leader, once there is one. */
  async #onLeader<T>(
    here: () => Promise<T>,
    there: (leader: bigint, forwarder: LeaseForwarder) => Promise<T>,
  ): Promise<T> {
    const { replica, clock, requestTimeoutMs, forwarder } = this.#options;
    const untilMs = clock.nowMs() + requestTimeoutMs;
    if (replica.isLeader) {
      try {
        return await here();
      } catch (error) {
        // Demoted meanwhile: the new leader answers.
        if (replica.isLeader) throw error;
      }
    }
    while (clock.nowMs() < untilMs) {
      if (this.#stopped) throw leaseErrors.stopped();
      const leader = await this.#awaitLeader(untilMs);
      const left = Math.max(1, untilMs - clock.nowMs());
      try {
        if (replica.isLeader) return await here();
        return await this.#within(left, there(leader, forwarder ?? noForwarder), leaseErrors.timeout);
      } catch {
        // As in etcd: whatever it was, the leader is asked again until the time is up.
        await this.#pause(RETRY_MS);
      }
    }
    throw leaseErrors.timeout();
  }

  async #awaitLeader(untilMs: number): Promise<bigint> {
    const { replica, clock } = this.#options;
    for (;;) {
      const leader = replica.leader();
      if (leader !== 0n) return leader;
      if (this.#stopped) throw leaseErrors.stopped();
      if (clock.nowMs() >= untilMs) throw leaseErrors.noLeader();
      await this.#pause(RETRY_MS);
    }
  }
}
