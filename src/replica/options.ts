// What a replica is made with.

import type { NativeEvent } from "../native/binding.js";
import type { MemberId, SnapshotMeta } from "../raft/index.js";
import type { Clock } from "./clock.js";
import type { ControlHandlers, MembershipHandler } from "./commands.js";
import type { LogCompaction, LogRetention } from "./compaction.js";
import type { PeerTransport } from "./transport.js";

/** Events that are not the replica's: calls, HTTP requests, leases, logs, fatal. */
export type OtherEvent = Exclude<
  NativeEvent,
  {
    type:
      | "batch"
      | "appended"
      | "acknowledged"
      | "committed"
      | "stable"
      | "persisted"
      | "applied"
      | "control"
      | "flushed"
      | "readRequest"
      | "proposed";
  }
>;

export interface InitialMember {
  id: MemberId;
  /** What MembershipChange.context is for a member that is added. */
  context: unknown;
}

export interface ReplicaOptions {
  id: MemberId;
  heartbeatMs: number;
  electionMs: number;
  /** How long a proposal, a read index or a transfer may take. */
  requestTimeoutMs: number;
  preVote: boolean;
  /** Off in tests of the slow path. */
  appendGrant: boolean;
  logRetention: LogRetention;
  /** Members of a new cluster; null: this member joins an existing one, or restarts. */
  initialMembers: readonly InitialMember[] | null;
  handlers: ControlHandlers;
  membership: MembershipHandler;
  /** null: one voter, no peers. */
  transport: PeerTransport | null;
  clock: Clock;
  /** A uniform integer in [0, below), below ≤ 2^47. */
  random: (below: number) => number;
  otherEvent: (event: OtherEvent) => void;
  /**
   * A store takes the place of the own one, which has applied up to `applied`: control-plane state must be read anew.
   * Never called without a transport.
   */
  snapshotInstalled: (snapshot: SnapshotMeta, applied: number) => void;
  /** What is read from now on comes from that store. */
  snapshotApplied: (snapshot: SnapshotMeta) => void;
  /** The log was compacted, or the store alone is what a compaction would rest on. */
  logCompacted: (compaction: LogCompaction) => void;
}
