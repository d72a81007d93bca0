// The state of one member and the moves between its roles. The modules beside it (election, replication, reads,
// membership, transfer) are functions over this state; node.ts dispatches to them and is what the driver sees.

import { RaftLog } from "./log.js";
import { ReadQueue } from "./readonly.js";
import { configOf, Tracker } from "./tracker.js";
import {
  EntryKind,
  type FollowGrant,
  type Grant,
  invariant,
  type MemberId,
  type Message,
  NONE,
  type RaftOptions,
  type ReadState,
  type RestoredState,
  type Role,
} from "./types.js";

// Omit on a union keeps only the common fields; this one works member by member.
type WithoutEnvelope<M> = M extends Message ? Omit<M, "from" | "term"> : never;
/** A message as the modules write it: sender and term are filled in when it is sent. */
export type Outgoing = WithoutEnvelope<Message>;

export class Core {
  readonly id: MemberId;
  term: number;
  vote: MemberId;
  role: Role = "follower";
  lead: MemberId = NONE;
  /** The leader whose process ended, until another is known: elections come early. */
  gone: MemberId = NONE;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly reads = new ReadQueue();

  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;

  /** The member that leadership is being handed to. */
  transferee: MemberId = NONE;
  /** Index of the newest conf change that may not be applied yet: another is refused until it is. */
  pendingConfIndex = 0;
  uncommittedBytes = 0;
  /** The grant that the data plane holds, also for the moment between stepping down and its withdrawal. */
  grant: Grant | null = null;
  /** Members to which the data plane sends what it stamps by itself. */
  streamed: ReadonlySet<MemberId> = new Set();
  /** The follow grant that the data plane holds. */
  follow: FollowGrant | null = null;
  /** The term of an own candidacy whose vote for itself waits for stable storage; 0: none. */
  unstableSelfVote = 0;

  /** The leader's own log at the last check of the quorum. */
  #checkedLog = { stable: 0, last: 0 };

  readonly outbox: Message[] = [];
  readonly outboxAfterPersist: Message[] = [];
  readonly readStates: ReadState[] = [];
  readonly droppedReads: number[] = [];

  constructor(
    readonly options: RaftOptions,
    restored: RestoredState,
  ) {
    this.id = options.id;
    invariant(this.id !== NONE, "a member needs an id");
    this.term = restored.hardState.term;
    this.vote = restored.hardState.vote;
    const entries = restored.entries.map((meta) => ({ ...meta, payload: null }));
    this.log = new RaftLog(restored.snapshotIndex, restored.snapshotTerm, entries, restored.applied);
    // The hint may lag behind what was applied, and a torn tail may have cut what it names.
    this.log.commitTo(Math.min(restored.hardState.commit, this.log.lastIndex));
    this.tracker = new Tracker(options.inflightMessagesMax, options.inflightBytesMax);
    this.tracker.setConfig(configOf(restored.confState), this.log.lastIndex + 1);
    this.#reset(this.term);
  }

  get isLeader(): boolean {
    return this.role === "leader";
  }

  get isLearner(): boolean {
    return this.tracker.progress.get(this.id)?.isLearner === true;
  }

  /** Sends at once. */
  send(message: Outgoing): void {
    this.outbox.push(this.#sealed(message, this.term));
  }

  /** Sends when everything that was decided up to now is durable: the message promises it. */
  sendAfterPersist(message: Outgoing, term = this.term): void {
    this.outboxAfterPersist.push(this.#sealed(message, term));
  }

  /** Like send, with a term of its own (a pre-vote speaks for the term to come). */
  sendAt(message: Outgoing, term: number): void {
    this.outbox.push(this.#sealed(message, term));
  }

  #sealed(message: Outgoing, term: number): Message {
    invariant(message.to !== this.id, `${message.type} to itself`);
    const passesThrough =
      message.type === "propose" || message.type === "readIndex" || message.type === "transferLeader";
    // The literal of the caller is completed in place: this runs for every message.
    const sealed = message as Message;
    sealed.from = this.id;
    sealed.term = passesThrough ? 0 : term;
    return sealed;
  }

  #reset(term: number): void {
    invariant(this.follow === null, "the follow grant must be withdrawn before the term or the role changes");
    if (this.term !== term) {
      invariant(term > this.term, `term falls from ${this.term} to ${term}`);
      this.term = term;
      this.vote = NONE;
    }
    this.lead = NONE;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.randomizeTimeout();
    this.transferee = NONE;
    this.tracker.resetVotes();
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.droppedReads.push(...this.reads.clear(this.id));
  }

  randomizeTimeout(): void {
    const { electionTicks, random } = this.options;
    this.electionTimeout = electionTicks + random(electionTicks);
  }

  becomeFollower(term: number, lead: MemberId): void {
    this.#reset(term);
    this.role = "follower";
    this.follows(lead);
  }

  /** This member knows the leader of its term; NONE: it knows of none. */
  follows(lead: MemberId): void {
    this.lead = lead;
    if (lead !== NONE) this.gone = NONE;
  }

  /** The term stays: a pre-candidate disturbs nobody. */
  becomePreCandidate(): void {
    invariant(this.role !== "leader", "a leader does not campaign");
    invariant(this.follow === null, "the follow grant must be withdrawn before a campaign");
    this.role = "preCandidate";
    this.lead = NONE;
    this.electionElapsed = 0;
    this.tracker.resetVotes();
    this.randomizeTimeout();
  }

  becomeCandidate(): void {
    invariant(this.role !== "leader", "a leader does not campaign");
    this.#reset(this.term + 1);
    this.role = "candidate";
    this.vote = this.id;
  }

  becomeLeader(): void {
    invariant(this.role === "candidate", `a ${this.role} cannot become leader`);
    this.#reset(this.term);
    this.role = "leader";
    this.follows(this.id);
    this.tracker.resetProgress(this.log.lastIndex + 1, this.log.snapshotIndex);
    const self = this.tracker.progress.get(this.id);
    invariant(self !== undefined, "a leader is a member");
    self.match = this.log.stable;
    self.recentActive = true;
    self.becomeReplicate();
    // Anything in the log that is not applied may be a conf change; better to wait than to look.
    this.pendingConfIndex = this.log.lastIndex;
    this.noteLog();
  }

  /** To be called by a leader at every check of the quorum. */
  noteLog(): void {
    this.#checkedLog = { stable: this.log.stable, last: this.log.lastIndex };
  }

  /** Nothing became durable here since the last check, although there was something to write. */
  get diskStalled(): boolean {
    const { stable, last } = this.#checkedLog;
    return stable < last && this.log.stable <= stable;
  }

  /** True once the leader knows which entries are committed: it has committed one of its own term. */
  get committedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.term;
  }

  get hasUnappliedConfChange(): boolean {
    return this.log.hasKind(this.log.applied, this.log.committed, EntryKind.ConfChange);
  }

  /** May campaign: a voter, with no snapshot on its way to disk and every known conf change applied. */
  get isPromotable(): boolean {
    return this.tracker.isVoter(this.id) && this.log.stable >= this.log.snapshotIndex && !this.hasUnappliedConfChange;
  }
}
