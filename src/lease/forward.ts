// The way to the leader's lessor for a member that does not lead.

import { leaseErrors } from "./errors.js";

/** What LeaseTimeToLive tells of a lease. */
export interface LeaseStatus {
  /** Whole seconds that are left. */
  readonly ttlSeconds: number;
  readonly grantedTtlSeconds: number;
  /** null: not asked for. */
  readonly keys: readonly Uint8Array[] | null;
}

/** Asks another member's lessor. Every method rejects if the member cannot be reached or does not lead. */
export interface LeaseForwarder {
  /** The TTL in seconds, 0 = there is no such lease. */
  renew(leader: bigint, id: bigint): Promise<number>;
  /** null: there is no such lease. */
  timeToLive(leader: bigint, id: bigint, keys: boolean): Promise<LeaseStatus | null>;
}

/** The forwarder of a member that is alone: nobody else can lead. */
export const noForwarder: LeaseForwarder = {
  renew: () => Promise.reject(leaseErrors.notPrimary()),
  timeToLive: () => Promise.reject(leaseErrors.notPrimary()),
};
