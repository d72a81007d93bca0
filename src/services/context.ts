// What the gRPC services and the HTTP endpoints see of the member that they serve.

import type { Alarms } from "../cluster/alarms.js";
import type { Membership } from "../cluster/membership.js";
import type { StoreStatus } from "../native/binding.js";
import { toInt64, toUint64 } from "../wire/int64.js";

export interface RaftView {
  readonly term: number;
  /** 0n = none known. */
  readonly leader: bigint;
  readonly committed: number;
  readonly applied: number;
}

export interface AlarmChange {
  readonly action: "activate" | "deactivate";
  readonly memberId: bigint;
  readonly alarm: number;
}

export interface ServiceContext {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly membership: Membership;
  readonly alarms: Alarms;
  /** The quota in force, in bytes. */
  readonly quotaBytes: number;
  /** Resolves when this member is published: no call is answered before. */
  ready(): Promise<void>;
  raft(): RaftView;
  store(): StoreStatus;
  /** Resolves when everything acknowledged before the call is applied here. Rejects with an RpcError. */
  linearizable(): Promise<void>;
  /** Resolves when this member could read its own store. Rejects with the reason. */
  serializableRead(): Promise<void>;
  /** Sets or clears an alarm on all members. Rejects with an RpcError. */
  changeAlarm(change: AlarmChange): Promise<void>;
}

export function isLearner(context: ServiceContext): boolean {
  return context.membership.member(context.memberId)?.isLearner ?? false;
}

/** Header of an answer; `revision` null leaves it 0, as the answers of the Cluster service have it. */
export function responseHeader(context: ServiceContext, revision: number | null) {
  return {
    clusterId: toUint64(context.clusterId),
    memberId: toUint64(context.memberId),
    revision: toInt64(revision ?? 0),
    raftTerm: toUint64(context.raft().term),
  };
}
