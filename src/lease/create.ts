// Makes a member's lessor: what it writes goes through the replica's log.

import type { Logger } from "../log/logger.js";
import { OpKind } from "../native/binding.js";
import { etcdserverpb } from "../proto/index.js";
import { systemClock } from "../replica/clock.js";
import type { Replica } from "../replica/replica.js";
import { toInt64 } from "../wire/int64.js";
import type { LeaseForwarder } from "./forward.js";
import { type LeaseTable, Lessor } from "./lessor.js";

/** etcd's interval between two checkpoints of a lease. */
const CHECKPOINT_INTERVAL_MS = 5 * 60 * 1_000;

export interface LessorParts {
  readonly table: LeaseTable;
  readonly replica: Replica;
  readonly electionMs: number;
  readonly requestTimeoutMs: number;
  /** Feature gate LeaseCheckpoint. A checkpoint is always on disk, as etcd 3.6 and later have it. */
  readonly checkpoints: boolean;
  readonly log: Logger;
  /** null or absent: this member has no peers. */
  readonly forwarder?: LeaseForwarder | null;
}

/** Nothing of it runs until `leadershipChanged`. */
export function createLessor(parts: LessorParts): Lessor {
  const { table, replica, electionMs, requestTimeoutMs, checkpoints, log, forwarder } = parts;
  const { LeaseCheckpointRequest, LeaseRevokeRequest } = etcdserverpb;
  return new Lessor({
    table,
    replica,
    clock: systemClock,
    electionMs,
    requestTimeoutMs,
    checkpointIntervalMs: checkpoints ? CHECKPOINT_INTERVAL_MS : null,
    revoke: async (id) => {
      const request = LeaseRevokeRequest.encode({ ID: toInt64(id) }).finish();
      await replica.proposeOp(OpKind.LeaseRevoke, request, "internal");
    },
    checkpoint: async (due) => {
      const rows = due.map(({ id, remainingTtlSeconds }) => ({
        ID: toInt64(id),
        remaining_TTL: toInt64(remainingTtlSeconds),
      }));
      const request = LeaseCheckpointRequest.encode({ checkpoints: rows }).finish();
      await replica.proposeOp(OpKind.LeaseCheckpoint, request, "internal");
    },
    forwarder: forwarder ?? null,
    log: { warn: (message, fields) => log.warn(message, fields) },
  });
}
