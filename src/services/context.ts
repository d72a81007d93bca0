// What the gRPC services and the HTTP endpoints see of the member that they serve.

import type { Auth } from "../auth/auth.js";
import type { Alarm, Alarms } from "../cluster/alarms.js";
import type { MembershipChanges } from "../cluster/changes.js";
import type { Membership } from "../cluster/membership.js";
import type { LeaseStatus } from "../lease/forward.js";
import type { Lessor } from "../lease/lessor.js";
import type { Caller, OpKind, StoreHash, StoreStatus } from "../native/binding.js";
import type { WatchStreams } from "../native/watch.js";
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

export interface LeaseView {
  /** The shortest TTL that is granted, in seconds. */
  readonly ttlSecondsMin: number;
  /** A positive id that no lease has. */
  nextId(): bigint;
  /** Those that expire first come first, on the leader. */
  all(): bigint[];
  /** null: there is no such lease. Rejects with a ReplicaError. */
  timeToLive(id: bigint, keys: boolean): Promise<LeaseStatus | null>;
}

/** What the table of permissions allows at this moment, on this member. Everything is while authentication is off. */
export interface Permissions {
  /** Throws RpcError if the caller may not read the range. */
  read(caller: Caller, key: Uint8Array, rangeEnd: Uint8Array): void;
  /** Throws RpcError if the caller may not read each key that is attached to the lease. */
  readLease(caller: Caller, id: bigint): void;
}

/** What the services use of the users and roles. */
type AuthCalls =
  | "enabled"
  | "identify"
  | "checkAdmin"
  | "checkKnown"
  | "authenticate"
  | "change"
  | "status"
  | "userGet"
  | "userList"
  | "roleGet"
  | "roleList";

export interface ServiceContext {
  readonly memberId: bigint;
  readonly clusterId: bigint;
  readonly membership: Membership;
  readonly alarms: Alarms;
  readonly auth: Pick<Auth, AuthCalls>;
  readonly permissions: Permissions;
  readonly members: Pick<MembershipChanges, "add" | "remove" | "update" | "promote" | "promoteHere">;
  /** The quota in force, in bytes. */
  readonly quotaBytes: number;
  raft(): RaftView;
  store(): StoreStatus;
  /** Resolves when that member leads. Rejects with an error that has a status. */
  transferLeader(to: bigint): Promise<void>;
  /** Resolves when everything acknowledged before the call is applied here. Rejects with an RpcError. */
  linearizable(): Promise<void>;
  /** Resolves when this member could read its own store. Rejects with the reason. */
  serializableRead(): Promise<void>;
  /** An operation of the store through the log: the encoded request and response. Rejects with a ReplicaError. */
  propose(kind: OpKind, request: Uint8Array, caller: Caller): Promise<Uint8Array>;
  /** The encoded answer to an encoded RangeRequest, from this member's store as it is. Rejects with an RpcError. */
  range(request: Uint8Array, caller: Caller): Promise<Uint8Array>;
  readonly leases: LeaseView;
  /** This member's own lessor, for other members. */
  readonly lessor: Pick<Lessor, "renewHere" | "timeToLiveHere">;
  readonly watches: Pick<WatchStreams, "open">;
  /** HashKV of this member's store at a revision, 0 = the current one. Rejects with an error that has a status. */
  hashKv(revision: number): Promise<StoreHash>;
  /** Rejects with the data plane's reason. */
  defragment(): Promise<void>;
  /** Sets or clears an alarm on all members. Resolves with it; null: there was none to clear. Rejects with an RpcError. */
  changeAlarm(change: AlarmChange): Promise<Alarm | null>;
}

/** Whether this member has no vote. */
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
