// Revokes expired leases and writes checkpoints, on the leader: through the log, never locally, and at etcd's pace, so
// that a hundred thousand leases that expire together delay neither puts nor heartbeats.

import { limits } from "../limits.js";
import type { NativeLeases } from "../native/binding.js";

export type ExpiringLeases = Pick<NativeLeases, "expired" | "checkpoints">;

/** etcd's interval between two looks for expired leases. */
export const EXPIRY_INTERVAL_MS = 500;
/** A lease whose revocation got lost is named again after this time, as in etcd. */
const RETRY_MS = 3_000;
const REVOKES_PER_LOOK = (limits.leaseRevokesPerSecond * EXPIRY_INTERVAL_MS) / 1_000;

export interface Checkpoint {
  readonly id: bigint;
  readonly remainingTtlSeconds: number;
}

export interface ExpiryOptions {
  readonly table: ExpiringLeases;
  /** Revokes through the log. */
  readonly revoke: (id: bigint) => Promise<void>;
  /** Writes checkpoints through the log; null: checkpoints are off. */
  readonly checkpoint: ((checkpoints: readonly Checkpoint[]) => Promise<void>) | null;
  /** A lease was revoked because it had expired. */
  readonly expired: (id: bigint) => void;
  /** A proposal failed; it is tried again later. */
  readonly failed: (message: string, id: bigint | null, error: Error) => void;
}

export class Expiry {
  /** Revocations that are not answered. */
  #revoking = 0;
  #checkpointing = false;

  constructor(private readonly options: ExpiryOptions) {}

  /** To be called every EXPIRY_INTERVAL_MS while this member leads. */
  look(): void {
    const room = REVOKES_PER_LOOK - this.#revoking;
    if (room > 0) {
      for (const id of this.options.table.expired(room, RETRY_MS)) this.#revoke(id);
    }
    this.#checkpoint();
  }

  #revoke(id: bigint): void {
    this.#revoking += 1;
    this.options
      .revoke(id)
      .then(
        () => this.options.expired(id),
        (error: Error) => this.options.failed("failed to revoke lease", id, error),
      )
      .finally(() => {
        this.#revoking -= 1;
      });
  }

  #checkpoint(): void {
    const { checkpoint, table, failed } = this.options;
    if (checkpoint === null || this.#checkpointing) return;
    const due = table.checkpoints(limits.leaseCheckpointsMax);
    if (due.length === 0) return;
    this.#checkpointing = true;
    checkpoint(due)
      .catch((error: Error) => failed("failed to checkpoint leases", null, error))
      .finally(() => {
        this.#checkpointing = false;
      });
  }
}
