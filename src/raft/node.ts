// Raft: the state machine as its driver sees it. Inputs are calls (tick, step, propose, …), outputs are collected in
// Ready. No call waits, does I/O or reads a clock; given the same calls in the same order it does the same.

import { Core } from "./core.js";
import { admitTerm, handleVote, hastenElection, hup } from "./election.js";
import { appendFollowed, needsFollowWithdrawn, takeFollowGrant } from "./follow.js";
import { appendGranted, grantExpired, needsGrantWithdrawn, streamable, takeGrant } from "./grant.js";
import { applyConfChange, autoLeave, noteConfChange, refuseConfChange } from "./membership.js";
import { Output } from "./output.js";
import { admitPostponed, requestRead } from "./reads.js";
import {
  acknowledgeOwn,
  appendOwn,
  broadcastAppend,
  commitUpTo,
  handleSnapshotStatus,
  handleUnreachable,
  retentionFloor,
} from "./replication.js";
import { type RaftStatus, statusOf } from "./status.js";
import { stepFollower, stepLeader } from "./step.js";
import { tickFollower, tickLeader } from "./tick.js";
import { beginTransfer } from "./transfer.js";
import {
  type ConfChange,
  type ConfState,
  type Entry,
  type EntryMeta,
  type FollowGrant,
  type Grant,
  invariant,
  type MemberId,
  NONE,
  type ProposedEntry,
  type ProposeResult,
  type RaftOptions,
  type Ready,
  type RestoredState,
  type Role,
  type SteppedMessage,
} from "./types.js";

export class Raft {
  readonly #core: Core;
  readonly #output: Output;

  constructor(options: RaftOptions, restored: RestoredState) {
    this.#core = new Core(options, restored);
    this.#output = new Output(this.#core, restored.hardState);
  }

  // --- inputs ---

  /** One tick of the driver's clock. */
  tick(): void {
    if (this.#core.isLeader) tickLeader(this.#core);
    else tickFollower(this.#core);
  }

  /** Whether the next tick may start an election: withdraw the follow grant before it. */
  get mayCampaignNext(): boolean {
    const { isLeader, electionElapsed, electionTimeout } = this.#core;
    return !isLeader && electionElapsed + 1 >= electionTimeout;
  }

  /** Starts an election now, without waiting for the timeout; without effect if this member may not be elected. */
  campaign(): void {
    hup(this.#core, this.#core.options.preVote ? "preElection" : "election");
  }

  /** A message of a peer. Withdraw the grant first if `needsGrantWithdrawn(message)`. */
  step(message: SteppedMessage): void {
    const core = this.#core;
    invariant(message.from !== core.id, `${message.type} from itself`);
    invariant(!this.needsGrantWithdrawn(message), `the grant must be withdrawn before ${message.type}`);
    if (!admitTerm(core, message)) return;
    if (message.type === "vote" || message.type === "preVote") handleVote(core, message);
    else if (core.isLeader) stepLeader(core, message);
    else stepFollower(core, message);
    admitPostponed(core);
  }

  /** On a follower the proposal goes to the leader and may get lost on the way. */
  propose(entries: ProposedEntry[]): ProposeResult {
    const core = this.#core;
    if (!core.isLeader) {
      if (core.lead === NONE) return "noLeader";
      core.send({ type: "propose", to: core.lead, entries });
      return "forwarded";
    }
    invariant(core.grant === null, "under the grant only the data plane appends");
    if (!core.tracker.progress.has(core.id)) return "removed";
    if (core.transferee !== NONE) return "transferring";
    const refused = refuseConfChange(core, entries);
    if (refused !== null) return refused;
    if (!appendOwn(core, entries)) return "uncommittedLimit";
    noteConfChange(core, entries);
    broadcastAppend(core);
    return "appended";
  }

  /**
   * Asks for a read index; the answer is a ReadState with the same context, which the caller never uses twice, not
   * even after a restart. False: there is no leader. The request or its answer may get lost: repeat it.
   */
  readIndex(context: number): boolean {
    return requestRead(this.#core, { from: this.#core.id, context });
  }

  /** On the leader, or passed on to it. Without effect on learners, unknown members and the leader itself. */
  transferLeader(transferee: MemberId): void {
    const core = this.#core;
    if (core.isLeader) {
      invariant(core.grant === null, "the grant must be withdrawn before a transfer");
      beginTransfer(core, transferee);
    } else if (core.lead !== NONE) {
      core.send({ type: "transferLeader", to: core.lead, transferee });
    }
  }

  /** The driver knows that the leader is gone: this member votes for others at once. */
  forgetLeader(): void {
    const core = this.#core;
    invariant(core.follow === null, "the follow grant must be withdrawn before the leader is forgotten");
    if (core.role === "follower") core.lead = NONE;
  }

  /**
   * The process of `id` ended, as its machine says. If it led, an election comes early, one voter after the other so
   * that they do not split the votes. Only with the pre-vote: it keeps a member that errs from disturbing the others.
   */
  memberGone(id: MemberId): void {
    const core = this.#core;
    if (core.role !== "follower" || core.lead !== id || !core.options.preVote) return;
    this.forgetLeader();
    hastenElection(core, id);
  }

  reportUnreachable(id: MemberId): void {
    handleUnreachable(this.#core, id);
  }

  reportSnapshot(id: MemberId, arrived: boolean): void {
    handleSnapshotStatus(this.#core, id, arrived);
  }

  /** A committed ConfChange entry was reached; call before applied(its index). @throws ConfChangeError */
  applyConfChange(change: ConfChange): ConfState {
    const state = applyConfChange(this.#core, change);
    admitPostponed(this.#core);
    return state;
  }

  // --- answers of the driver ---

  /** The write `seq` and all before it are durable, granted entries among them. */
  persisted(seq: number): void {
    const core = this.#core;
    this.#output.persisted(seq);
    acknowledgeOwn(core);
    admitPostponed(core);
  }

  /** The store has applied everything up to index. */
  applied(index: number): void {
    this.#core.log.appliedTo(index);
    autoLeave(this.#core);
  }

  /** Entries behind this index should stay for followers that lag; Infinity: there is none. */
  get retentionFloor(): number {
    return retentionFloor(this.#core);
  }

  /** Forgets log entries up to index; what lags behind it gets a snapshot. */
  compact(index: number): void {
    this.#core.log.compact(index);
  }

  // --- the append grant ---

  /**
   * Given when this member leads, has committed in its term and has nothing on its way that raft itself appended.
   * While it is out, nothing else may append. null: not now, or it is already out.
   */
  takeGrant(): Grant | null {
    return takeGrant(this.#core);
  }

  /** True: the grant is out and its reason is gone; withdraw it before the next input. */
  get grantExpired(): boolean {
    return grantExpired(this.#core);
  }

  /** True: withdraw the grant before stepping this message. */
  needsGrantWithdrawn(message: SteppedMessage): boolean {
    return needsGrantWithdrawn(this.#core, message) || needsFollowWithdrawn(this.#core, message);
  }

  /**
   * Entries that the data plane has stamped under the grant and given to stable storage. Entries that come after the
   * leadership ended are taken if they still fit behind the log, and ignored if a new leader's took the place.
   */
  appendGranted(metas: readonly EntryMeta[]): void {
    const { follow } = this.#core;
    if (follow === null) appendGranted(this.#core, metas);
    else appendFollowed(this.#core, follow, metas);
  }

  /** Under the append grant a follower acknowledged entries; the data plane has counted it already. */
  acknowledged(from: MemberId, index: number, term: number): void {
    const to = this.#core.id;
    this.step({ type: "appendResponse", from, to, term, index, reject: false, hintIndex: 0, hintTerm: 0 });
  }

  /** Under a grant the data plane found entries committed up to index. */
  committedTo(index: number): void {
    const core = this.#core;
    commitUpTo(core, index);
    admitPostponed(core);
  }

  /** Granted entries of `term` are durable up to index. */
  stableTo(index: number, term: number): void {
    this.#core.log.grantedStable(index, term);
    acknowledgeOwn(this.#core);
    admitPostponed(this.#core);
  }

  /** The members to which the data plane should send what it stamps; null: it does, or there is no such grant. */
  toStream(): MemberId[] | null {
    const core = this.#core;
    if (core.grant === null || core.grant.quorum === null) return null;
    const ids = streamable(core);
    const same = ids.length === core.streamed.size && ids.every((id) => core.streamed.has(id));
    return same ? null : ids;
  }

  /** The data plane sends to these members whatever comes after the last entry. */
  streamTo(ids: readonly MemberId[]): void {
    this.#core.streamed = new Set(ids);
  }

  /**
   * Given to a follower that knows its leader. While it is out the data plane takes that leader's appends: withdraw it
   * before stepping what `needsGrantWithdrawn` names, before a tick that `mayCampaignNext`, and before any call that
   * starts an election or forgets the leader. null: not now, or it is already out.
   */
  takeFollowGrant(): FollowGrant | null {
    return takeFollowGrant(this.#core);
  }

  /** The data plane stopped giving entries their place, and all it did was told. */
  grantWithdrawn(): void {
    const core = this.#core;
    core.grant = null;
    core.follow = null;
    core.streamed = new Set();
    autoLeave(core);
  }

  /** The append grant is out. */
  get holdsGrant(): boolean {
    return this.#core.grant !== null;
  }

  get holdsFollowGrant(): boolean {
    return this.#core.follow !== null;
  }

  // --- outputs ---

  get hasReady(): boolean {
    return this.#output.hasReady;
  }

  /** Everything since the last call; see Ready for the order in which it must be handled. */
  ready(): Ready {
    return this.#output.ready();
  }

  get term(): number {
    return this.#core.term;
  }

  get lead(): MemberId {
    return this.#core.lead;
  }

  get role(): Role {
    return this.#core.role;
  }

  get committed(): number {
    return this.#core.log.committed;
  }

  get lastIndex(): number {
    return this.#core.log.lastIndex;
  }

  get appliedIndex(): number {
    return this.#core.log.applied;
  }

  get firstIndex(): number {
    return this.#core.log.firstIndex;
  }

  get isSoleVoter(): boolean {
    return this.#core.tracker.isSoleVoter(this.#core.id);
  }

  get isPromotable(): boolean {
    return this.#core.isPromotable;
  }

  /** The term of a log entry; null: compacted or not there. */
  entryTerm(index: number): number | null {
    return this.#core.log.term(index);
  }

  /** A log entry; null: compacted or not there. */
  entryAt(index: number): Readonly<Entry> | null {
    return this.#core.log.entry(index);
  }

  status(): RaftStatus {
    return statusOf(this.#core);
  }
}
