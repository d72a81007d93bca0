// The words of the boundary that events and calls share (binding.ts).

/** What one raft log entry holds; the number is on disk (engine: `EntryKind`). */
export const EntryKind = { Empty: 0, Batch: 1, Control: 2, ConfChange: 3 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** What one request of a batch does; the number is on disk (engine: `OpKind`). */
export const OpKind = {
  Put: 1,
  DeleteRange: 2,
  Txn: 3,
  Compact: 4,
  LeaseGrant: 5,
  LeaseRevoke: 6,
  LeaseCheckpoint: 7,
} as const;
export type OpKind = (typeof OpKind)[keyof typeof OpKind];

/**
 * Names a payload that stays in Rust: a closed batch that waits for a proposal, or the entries of a message from a
 * peer. 0 = none. Rust forgets a handle when its entry was persisted or `dropPayloads` named it.
 */
export type PayloadHandle = number;

export interface HardState {
  term: number;
  /** Member voted for in this term, 0n = none. */
  vote: bigint;
  commit: number;
}

/** Metadata of a log entry; its payload stays in Rust. */
export interface EntryMeta {
  index: number;
  term: number;
  kind: EntryKind;
  /** Size of the payload in bytes. */
  bytes: number;
}

/** An entry that raft hands to the WAL. The payload is either in Rust (`payload`) or given here (`data`). */
export interface PersistEntry {
  index: number;
  term: number;
  kind: EntryKind;
  payload: PayloadHandle;
  data: Uint8Array | null;
}

/** How the leader's data plane decides what is committed, with the others. */
export interface GrantQuorum {
  /** Whether this member is a voter. */
  ownVote: boolean;
  committed: number;
  /** All other members. */
  members: GrantMember[];
}

export interface GrantMember {
  id: bigint;
  votes: boolean;
  /** The last entry that is known to be durable there and equal. */
  matched: number;
}

/** A write of control-plane state, stored in the same LMDB transaction as the consistent index. */
export interface MetaWrite {
  table: "meta" | "members" | "auth" | "alarms";
  key: Uint8Array;
  /** null deletes. */
  value: Uint8Array | null;
}

export interface MetaRow {
  table: MetaWrite["table"];
  key: Uint8Array;
  value: Uint8Array;
}

/** Who asks: a user and the auth revision that counts for him, "internal", or null: nobody. */
export type Caller = AuthUser | "internal" | null;

export interface AuthUser {
  user: string;
  revision: number;
}

/** gRPC status as it crosses: code and etcd's text. */
export interface NativeStatus {
  code: number;
  message: string;
}
