// Replica: one member of the replicated log. Drives raft with ticks, events of the data plane and messages of peers,
// and offers the services what they need: proposals, read indices, leadership. All time comes from the clock.

import { limits } from "../limits.js";
import type { Caller, NativeEngine, NativeEvent, NativeLog, OpKind, Recovered } from "../native/binding.js";
import {
  EntryKind,
  type MemberId,
  NONE,
  type Raft,
  type RaftStatus,
  type SnapshotMeta,
  type SoftState,
} from "../raft/index.js";
import { ControlApplier } from "./apply.js";
import { createRaft } from "./bootstrap.js";
import type { Timer } from "./clock.js";
import type { ControlCommand, MembershipChange } from "./commands.js";
import { CompactionPolicy } from "./compaction.js";
import { RaftDriver } from "./driver.js";
import { replicaErrors } from "./errors.js";
import { type Leadership, LeadershipWatch } from "./leadership.js";
import type { ReplicaOptions } from "./options.js";
import { promised, type Reply } from "./pending.js";
import { Proposer } from "./proposer.js";
import { ReadIndexer } from "./reads.js";

export type { Leadership } from "./leadership.js";
export type { OtherEvent, ReplicaOptions } from "./options.js";

const readRetryMs = 500;
const randomOriginBelow = 2 ** 47;

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #engine: NativeEngine;
  readonly #log: NativeLog;
  readonly #raft: Raft;
  readonly #driver: RaftDriver;
  readonly #applier: ControlApplier;
  readonly #proposer: Proposer;
  readonly #reads: ReadIndexer;
  readonly #leadership: LeadershipWatch;
  readonly #compaction: CompactionPolicy;
  #appliedWaiters: { index: number; reply: Reply<void> }[] = [];
  #applied: number;
  /** The data plane was told to install it, and has not done so yet. */
  #installing: SnapshotMeta | null = null;
  #ticker: Timer | null = null;
  #campaigned = false;
  #stopped = false;

  constructor(engine: NativeEngine, recovered: Recovered, options: ReplicaOptions) {
    this.#options = options;
    this.#engine = engine;
    this.#log = engine.log;
    const { clock, random, heartbeatMs } = options;
    const origin = random(randomOriginBelow).toString(36);
    this.#raft = createRaft(engine.log, recovered, options);
    this.#applied = recovered.appliedIndex;
    this.#compaction = this.#createCompaction(recovered.appliedIndex);
    this.#leadership = new LeadershipWatch(
      options.id,
      clock,
      options.electionMs,
      options.transport,
      () => this.#raft.status().confState.voters,
    );
    const timeoutMs = options.requestTimeoutMs;
    const timedOut = (startedMs: number) => this.#leadership.timeoutError(startedMs);
    const proposalTimedOut = (startedMs: number) => this.#leadership.proposalTimeoutError(startedMs);
    this.#driver = this.#createDriver(recovered.appliedIndex);
    const leaderOutOfReach = () => this.#leaderOutOfReach();
    const proposing = { clock, heartbeatMs, timeoutMs, origin, timedOut: proposalTimedOut, leaderOutOfReach };
    this.#proposer = new Proposer(engine, this.#driver, proposing);
    this.#reads = new ReadIndexer(
      (input) => this.#driver.act(input),
      clock,
      { timeoutMs, retryMs: readRetryMs },
      1 + random(randomOriginBelow),
      timedOut,
    );
    const { handlers, membership } = options;
    this.#applier = new ControlApplier(this.#raft, origin, handlers, membership, this.#proposer.controls);
  }

  #createCompaction(applied: number): CompactionPolicy {
    const raft = this.#raft;
    const log = {
      entryBytes: (index: number) => raft.entryAt(index)?.bytes ?? 0,
      get compactedIndex() {
        return raft.firstIndex - 1;
      },
    };
    return new CompactionPolicy(this.#options.logRetention, log, applied);
  }

  #createDriver(applied: number): RaftDriver {
    return new RaftDriver(
      this.#raft,
      this.#engine,
      this.#options.transport,
      this.#options.appendGrant,
      {
        event: (event) => this.#handleEvent(event),
        passedOn: (entry) => this.#proposer.passedOn(entry),
        softState: (state) => this.#handleSoftState(state),
        termChanged: () => this.#announce(),
        reads: (states, dropped) => this.#driver.later(() => this.#reads.answered(states, dropped)),
        snapshotInstalled: (snapshot) => {
          this.#compaction.restarted(snapshot.index);
          this.#installing = snapshot;
          this.#options.snapshotInstalled(snapshot, this.#applied);
        },
        idle: () => this.#idle(),
        applied: (index) => this.#handleApplied(index),
      },
      applied,
    );
  }

  /** Begins to tick and to apply what is known to be committed. A single voter campaigns at once. */
  start(): void {
    const { clock, heartbeatMs, transport } = this.#options;
    transport?.attach({
      message: (message) => {
        if (!this.#stopped) this.#driver.receive(message);
      },
      unreachable: (id) => {
        if (!this.#stopped) this.#driver.act((raft) => raft.reportUnreachable(id));
      },
      refused: (id) => {
        if (!this.#stopped) this.#driver.unsettle((raft) => raft.memberGone(id));
      },
      later: (call) => this.#driver.later(call),
      snapshotSent: (id, arrived) => {
        if (!this.#stopped) this.#driver.act((raft) => raft.reportSnapshot(id, arrived));
      },
    });
    this.#announce();
    this.#ticker = clock.every(heartbeatMs, () => this.#driver.tick());
    this.wake();
    this.#driver.act(() => {});
  }

  /** Lets time pass at once, up to before an election: what was waited for is there. */
  advanceTicks(ticks: number): void {
    if (this.#stopped) return;
    for (let tick = 0; tick < ticks; tick += 1) this.#driver.tick();
  }

  /** To be called by the wake of NativeEngine: takes all events, and passes on those of others. */
  wake(): void {
    if (!this.#stopped) this.#driver.wake();
  }

  /** Fails everything that waits, and ends the ticks. The engine is closed by its owner. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ticker?.cancel();
    this.#reads.stop();
    this.#proposer.stop();
    this.#leadership.stop();
    for (const { reply } of this.#appliedWaiters.splice(0)) reply.failed(replicaErrors.stopped());
  }

  // --- requests of the services ---

  /** Resolves with the result of the handler on this member. @throws ReplicaError */
  proposeControl(command: ControlCommand): Promise<unknown> {
    return promised((reply) => this.proposeControlThen(command, reply));
  }

  proposeControlThen(command: ControlCommand, reply: Reply<unknown>): void {
    if (!this.#isStoppedFor(reply)) this.#proposer.control(command, reply);
  }

  /** Resolves when the configuration is in force on this member. @throws ReplicaError */
  proposeConfChange(change: MembershipChange): Promise<unknown> {
    return promised((reply) => this.proposeConfChangeThen(change, reply));
  }

  proposeConfChangeThen(change: MembershipChange, reply: Reply<unknown>): void {
    if (!this.#isStoppedFor(reply)) this.#proposer.confChange(change, reply);
  }

  /** One operation of the store as this caller; resolves with the encoded response. @throws ReplicaError with the store's status */
  proposeOp(kind: OpKind, request: Uint8Array, caller: Caller): Promise<Uint8Array> {
    return promised((reply) => this.proposeOpThen(kind, request, caller, reply));
  }

  proposeOpThen(kind: OpKind, request: Uint8Array, caller: Caller, reply: Reply<Uint8Array>): void {
    if (!this.#isStoppedFor(reply)) this.#proposer.operation(kind, request, caller, reply);
  }

  /** Resolves when this member has applied everything that was committed when the call was made. @throws ReplicaError */
  readIndex(): Promise<void> {
    return promised((reply) => this.readIndexThen(reply));
  }

  readIndexThen(reply: Reply<void>): void {
    if (this.#isStoppedFor(reply)) return;
    if (this.#reads.size + this.#appliedWaiters.length >= limits.pendingRequestsMax) {
      reply.failed(replicaErrors.tooManyRequests());
      return;
    }
    this.#requestRead({
      done: (index) => this.#awaitApplied(index, reply),
      failed: reply.failed,
    });
  }

  /** Resolves when everything is applied here that this member knows to be committed; asks nobody. @throws ReplicaError */
  caughtUp(): Promise<void> {
    return promised((reply) => {
      if (this.#isStoppedFor(reply)) return;
      if (this.#raft.holdsGrant) this.#driver.learn();
      this.#driver.act(() => {});
      this.#awaitApplied(this.#raft.committed, reply);
    });
  }

  #awaitApplied(index: number, reply: Reply<void>): void {
    if (this.#applied >= index) {
      reply.done();
      return;
    }
    this.#appliedWaiters.push({ index, reply });
    this.#log.awaitApplied(index);
  }

  /** Whether this index is applied here by then; false also if too many wait already. */
  appliedWithin(index: number, ms: number): Promise<boolean> {
    if (this.#applied >= index) return Promise.resolve(true);
    if (this.#stopped || this.#appliedWaiters.length >= limits.pendingRequestsMax) return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, () => {
        this.#appliedWaiters = this.#appliedWaiters.filter((other) => other !== waiter);
        resolve(false);
      });
      const settled = (applied: boolean) => {
        timer.cancel();
        resolve(applied);
      };
      const waiter = { index, reply: { done: () => settled(true), failed: () => settled(false) } };
      this.#appliedWaiters.push(waiter);
      this.#log.awaitApplied(index);
    });
  }

  #requestRead(reply: Reply<number>): void {
    // The data plane may have committed and answered more than raft knows.
    if (this.#raft.holdsGrant) this.#driver.learn();
    this.#reads.request(reply);
    this.#driver.act(() => {});
  }

  #isStoppedFor(reply: Reply<never>): boolean {
    if (this.#stopped) reply.failed(replicaErrors.stopped());
    return this.#stopped;
  }

  /** Resolves when `to` leads. @throws ReplicaError: not leader, bad transferee, or it took too long */
  transferLeader(to: MemberId): Promise<void> {
    return promised((reply) => this.transferLeaderThen(to, reply));
  }

  transferLeaderThen(to: MemberId, reply: Reply<void>): void {
    if (!this.isLeader) reply.failed(replicaErrors.notLeader());
    else if (to === this.#options.id) reply.done();
    else if (!this.#raft.status().confState.voters.includes(to)) {
      reply.failed(replicaErrors.badTransferee());
    } else {
      this.#leadership.awaitLeader(to, this.#options.requestTimeoutMs, reply);
      this.#driver.transferLeader(to);
    }
  }

  // --- state ---

  /** The leader as this member knows it; NONE: none. */
  leader(): MemberId {
    return this.#raft.lead;
  }

  term(): number {
    return this.#raft.term;
  }

  get isLeader(): boolean {
    return this.#raft.role === "leader";
  }

  get appliedIndex(): number {
    return this.#applied;
  }

  /** Proposals, own ones and those of other members, that wait for their place in the log or for a leader. */
  get waitingProposals(): number {
    return this.#proposer.waiting;
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  /** The term of an entry of the log; null: compacted or not there. */
  entryTerm(index: number): number | null {
    return this.#raft.entryTerm(index);
  }

  /** Returns what ends the subscription. */
  onLeaderChanged(listener: (leadership: Leadership) => void): () => void {
    return this.#leadership.subscribe(listener);
  }

  // --- events ---

  #handleEvent(event: NativeEvent): void {
    switch (event.type) {
      case "batch":
        this.#proposer.batch(event.payload, event.bytes);
        break;
      case "control": {
        // A snapshot overtook the entry; the data plane no longer waits for an answer.
        if (event.index <= this.#raft.appliedIndex) break;
        const { writes, reply } = this.#applier.apply(event);
        this.#log.controlApplied(event.index, writes);
        if (event.kind === EntryKind.ConfChange) this.#announce();
        const answer = () => this.#driver.later(reply);
        // The data plane stores the writes on a thread of its own, and asks them without the log (permissions, alarms):
        // who is answered must find them there.
        if (writes.length > 0) this.#awaitApplied(event.index, { done: answer, failed: answer });
        else answer();
        break;
      }
      case "flushed":
        this.#compact(event.index);
        break;
      case "readRequest":
        this.#reads.request({
          done: (index) => this.#log.readIndexReady(event.ctx, index),
          failed: (error) => this.#log.readIndexFailed(event.ctx, error.status),
        });
        break;
      case "proposed":
        this.#driver.later(() => this.#proposer.operationAnswered(event.token, event.data, event.error));
        break;
      case "appended":
      case "acknowledged":
      case "committed":
      case "stable":
      case "persisted":
      case "applied":
        throw new Error(`${event.type} belongs to the driver`);
      default:
        this.#options.otherEvent(event);
    }
  }

  /** What is forwarded over a broken link is lost, and its fate unknown: better to wait for the link or a new leader. */
  #leaderOutOfReach(): boolean {
    const { transport, clock } = this.#options;
    if (this.isLeader || this.#raft.lead === NONE || transport === null) return false;
    return !transport.connectedSince(this.#raft.lead, clock.nowMs());
  }

  #handleSoftState({ lead, role }: SoftState): void {
    this.#announce();
    if (this.#leadership.note(lead)) this.#driver.later(() => this.#reads.leaderChanged());
    const leadership = { leader: lead, term: this.#raft.term, isLeader: role === "leader" };
    this.#driver.later(() => this.#leadership.tell(leadership));
  }

  #announce(): void {
    const { confState } = this.#raft.status();
    this.#engine.setServing({
      term: this.#raft.term,
      hasLeader: this.#raft.lead !== NONE,
      isLearner: confState.learners.includes(this.#options.id),
    });
  }

  #handleApplied(index: number): void {
    this.#applied = Math.max(this.#applied, index);
    const installing = this.#installing;
    if (installing !== null && index >= installing.index) {
      this.#installing = null;
      this.#options.snapshotApplied(installing);
    }
    const ready = this.#appliedWaiters.filter((waiter) => waiter.index <= this.#applied);
    if (ready.length === 0) return;
    this.#appliedWaiters = this.#appliedWaiters.filter((waiter) => waiter.index > this.#applied);
    if (this.#appliedWaiters.length > 0) {
      this.#log.awaitApplied(Math.min(...this.#appliedWaiters.map(({ index }) => index)));
    }
    this.#driver.later(() => {
      for (const { reply } of ready) reply.done();
    });
  }

  #idle(): boolean {
    if (this.#raft.isSoleVoter && !this.#campaigned && this.#raft.isPromotable) {
      this.#campaigned = true;
      this.#driver.unsettle((raft) => raft.campaign());
      return true;
    }
    const proposed = this.#proposer.advance();
    return this.#reads.advance(this.#raft) || proposed;
  }

  /** Keeps what followers may still need; the rest is in the store, durably. */
  #compact(flushed: number): void {
    const durable = Math.min(flushed, this.#raft.appliedIndex);
    const due = this.#compaction.due(durable, this.#raft.retentionFloor);
    if (due === null) return;
    if (due.upTo !== null) this.#compactLog(due.upTo);
    this.#options.logCompacted(due);
  }

  #compactLog(upTo: number): void {
    const term = this.#raft.entryTerm(upTo);
    if (term === null) throw new Error(`entry ${upTo} is not in the log`);
    this.#raft.compact(upTo);
    this.#log.compact(upTo, term);
  }
}
