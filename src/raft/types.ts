// The words that raft speaks with its driver: entries, messages, hard state, configuration, Ready.
// Everything here is plain data. Member ids are bigints; indices and terms are numbers below 2^53.

export type MemberId = bigint;

/** No member: no vote given, no leader known, no transfer under way. */
export const NONE: MemberId = 0n;

/** What an entry holds. The numbers are on disk and equal those of the data plane. */
export const EntryKind = { Empty: 0, Batch: 1, Control: 2, ConfChange: 3 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface EntryMeta {
  index: number;
  term: number;
  kind: EntryKind;
  /** Size of the payload in bytes; flow control counts with it. */
  bytes: number;
}

/** A log entry. Raft carries the payload and never looks into it. */
export interface Entry extends EntryMeta {
  payload: unknown;
}

/** An entry that has no place in the log yet. */
export interface ProposedEntry {
  kind: EntryKind;
  bytes: number;
  payload: unknown;
  /** True for the conf change that leaves a joint configuration; raft needs to know without decoding the payload. */
  leavesJoint: boolean;
}

/**
 * What must survive a crash. Term and vote must be durable before any message that rests on them; commit is a hint
 * that saves work after a restart, with one duty: it is written together with entries, so that a member that holds
 * the entry of a conf change also knows that the conf change before it is committed.
 */
export interface HardState {
  term: number;
  vote: MemberId;
  commit: number;
}

/** The members by role. `votersOutgoing` is non-empty only in a joint configuration. */
export interface ConfState {
  voters: MemberId[];
  votersOutgoing: MemberId[];
  learners: MemberId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  learnersNext: MemberId[];
  autoLeave: boolean;
}

/** Metadata of a snapshot. The state itself is a stream of the store that raft never sees. */
export interface SnapshotMeta {
  index: number;
  term: number;
  confState: ConfState;
}

export type ConfChangeType = "addVoter" | "addLearner" | "remove";

export interface ConfChangeStep {
  type: ConfChangeType;
  id: MemberId;
}

/**
 * A change of the configuration (etcd's ConfChangeV2). No steps: leave the joint configuration.
 * `auto` takes the simple protocol for one step and a joint configuration that leaves itself for more.
 */
export interface ConfChange {
  transition: "auto" | "jointImplicit" | "jointExplicit";
  steps: ConfChangeStep[];
}

interface Envelope {
  from: MemberId;
  to: MemberId;
  /** Term of the sender; 0 for requests that only pass through (propose, readIndex, transferLeader). */
  term: number;
}

export type ProposeMessage = Envelope & { type: "propose"; entries: ProposedEntry[] };
/** Entries after (prevIndex, prevTerm). `term` of the entries' payloads stays with the transport. */
export type AppendMessage = Envelope & {
  type: "append";
  prevIndex: number;
  prevTerm: number;
  commit: number;
  entries: Entry[];
};
/** `index`: the last entry that is durable and matches; on reject the refused prevIndex, with a hint where to go on. */
export type AppendResponseMessage = Envelope & {
  type: "appendResponse";
  index: number;
  reject: boolean;
  hintIndex: number;
  hintTerm: number;
};
/** `readSeq`: the newest read-index round of the leader, 0 = none. The response returns it. */
export type HeartbeatMessage = Envelope & { type: "heartbeat"; commit: number; readSeq: number };
export type HeartbeatResponseMessage = Envelope & { type: "heartbeatResponse"; readSeq: number };
/** `transfer`: the leader asked for this election, so a lease does not refuse it. */
export type VoteMessage = Envelope & {
  type: "vote" | "preVote";
  lastIndex: number;
  lastTerm: number;
  transfer: boolean;
};
export type VoteResponseMessage = Envelope & {
  type: "voteResponse" | "preVoteResponse";
  reject: boolean;
};
export type SnapshotMessage = Envelope & { type: "snapshot"; snapshot: SnapshotMeta };
export type ReadIndexMessage = Envelope & { type: "readIndex"; context: number };
export type ReadIndexResponseMessage = Envelope & {
  type: "readIndexResponse";
  context: number;
  index: number;
};
export type TransferLeaderMessage = Envelope & { type: "transferLeader"; transferee: MemberId };
export type TimeoutNowMessage = Envelope & { type: "timeoutNow" };

export type Message =
  | ProposeMessage
  | AppendMessage
  | AppendResponseMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | VoteMessage
  | VoteResponseMessage
  | SnapshotMessage
  | ReadIndexMessage
  | ReadIndexResponseMessage
  | TransferLeaderMessage
  | TimeoutNowMessage;

/** What `Raft.step` takes. A proposal that another member passed on is proposed, like this member's own. */
export type SteppedMessage = Exclude<Message, ProposeMessage>;

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/** Changes often and is lost in a crash. */
export interface SoftState {
  lead: MemberId;
  role: Role;
}

/** The answer to readIndex(context): a read is linearizable once the store has applied `index`. */
export interface ReadState {
  context: number;
  index: number;
}

/** Why a proposal was not taken. `forwarded` is success as far as this member can know. */
export type ProposeResult =
  | "appended"
  | "forwarded"
  | "noLeader"
  | "transferring"
  | "uncommittedLimit"
  | "confChangePending"
  | "confChangeInvalid"
  | "removed";

/**
 * What the driver must do next. Several may be in flight; the driver handles them in the order of `seq`.
 *
 * Order within one Ready:
 * - `messages` may be sent at once, also before anything of this Ready is durable.
 * - If `persist` is true, `snapshot`, `hardState` and `entries` go to stable storage as one write, behind all writes
 *   before it; when it is durable the driver calls `persisted(seq)`.
 * - `messagesAfterPersist` may be sent only once `seq` is durable: they promise what the write holds.
 * - `committedUpTo` never passes what is durable here, so it may be applied at once.
 */
export interface Ready {
  /** With `persist` false: the newest write in flight, which `messagesAfterPersist` wait for. */
  seq: number;
  persist: boolean;
  /** null: unchanged. */
  softState: SoftState | null;
  /** null: unchanged, or only commit moved and there is no entry to carry it. */
  hardState: HardState | null;
  /** Replace any durable entries of the same or a higher index. */
  entries: Entry[];
  /** Replaces the whole log and store; installed before `entries` are written. */
  snapshot: SnapshotMeta | null;
  messages: Message[];
  messagesAfterPersist: Message[];
  /**
   * Apply up to here (0: nothing yet). Never falls. netcd's data plane is told the commit index instead and knows by
   * itself what is durable; raft alone, as its tests drive it, has no other way to say what may be applied.
   */
  committedUpTo: number;
  readStates: ReadState[];
  /** Local readIndex contexts that this member lost with its leadership; ask again. */
  droppedReads: number[];
}

/** The right to stamp and write entries without asking raft, see Raft.grant. */
export interface Grant {
  term: number;
  nextIndex: number;
  /** null: this member is the only voter; stable is committed, and reads need no quorum. */
  quorum: GrantQuorum | null;
}

/** What the data plane needs to commit by itself what a majority has. */
export interface GrantQuorum {
  /** Whether the leader is a voter. */
  ownVote: boolean;
  committed: number;
  /** All other members. */
  members: GrantMember[];
}

export interface GrantMember {
  id: MemberId;
  votes: boolean;
  /** The last entry that is known to be durable there and equal. */
  matched: number;
}

/** The right to take a leader's appends without asking raft, see Raft.takeFollowGrant. */
export interface FollowGrant {
  term: number;
  leader: MemberId;
  lastIndex: number;
}

/** Rounds of reads that the data plane runs by itself have this number or a higher one; raft's own stay below. */
export const dataPlaneRoundMin = 2 ** 48;

export interface RaftOptions {
  id: MemberId;
  /** Ticks without a leader before an election; the real timeout is random in [electionTicks, 2 × electionTicks). */
  electionTicks: number;
  heartbeatTicks: number;
  preVote: boolean;
  /** A leader that has not heard from a quorum for an election timeout steps down. */
  checkQuorum: boolean;
  /** Leader answers reads from its lease, without a round; needs checkQuorum and clocks that run alike. */
  leaseReads: boolean;
  /** Payload bytes in one append message; one entry is sent whatever its size. */
  messageBytesMax: number;
  /** Append messages on their way to one follower. */
  inflightMessagesMax: number;
  /** Payload bytes on their way to one follower. */
  inflightBytesMax: number;
  /** Payload bytes of the leader's log that are not committed; above it proposals are refused. */
  uncommittedBytesMax: number;
  /** A uniform integer in [0, below). */
  random: (below: number) => number;
}

/** State that a restart found. */
export interface RestoredState {
  hardState: HardState;
  confState: ConfState;
  /** The entry before the first one of the log. */
  snapshotIndex: number;
  snapshotTerm: number;
  entries: EntryMeta[];
  applied: number;
}

/** A broken invariant: a bug in raft or its driver, never a condition of operation. */
export class RaftInvariantError extends Error {
  override readonly name = "RaftInvariantError";
}

export function invariant(condition: boolean, text: string): asserts condition {
  if (!condition) throw new RaftInvariantError(text);
}
