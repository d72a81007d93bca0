// Records a transcript: a leader's life from a seed, led by the real raft. It is told everything that its data plane is
// told, counts by itself and never hears what the data plane found committed. So what it comes to is what every data
// plane must come to.

import { EntryKind } from "../../src/native/binding.js";
import {
  type ConfChange,
  type ConfState,
  type Grant,
  type MemberId,
  Raft,
  type Ready,
  type SteppedMessage,
} from "../../src/raft/index.js";
import type { Random } from "../sim/random.js";
import { type Command, formatCommand, type Outcome } from "./commands.js";
import { Paper } from "./paper.js";

export const own: MemberId = 1n;

/** A read whose index is not known yet. */
interface OpenRead {
  token: number;
  /** The data plane runs its round by itself. */
  granted: boolean;
}

export interface Recording {
  commands: Command[];
  /** What must come of each. */
  expected: Outcome[];
}

export class Recorder {
  readonly commands: Command[] = [];
  readonly expected: Outcome[] = [];
  readonly #raft: Raft;
  readonly #paper: Paper;
  conf: ConfState;
  readonly #changes = new Map<number, ConfChange>();
  #grant: Grant | null = null;
  #stampedIn: { term: number; index: number } | null = null;
  readonly #writes: number[] = [];
  #told = 0;
  // What the data plane knows.
  #committed = 0;
  #durable = 0;
  /** Reads whose index it knows, and that wait until it is applied. */
  #indexed: { token: number; index: number }[] = [];
  #failed: number[] = [];
  #open: OpenRead | null = null;
  #tokens = 0;
  /** The rounds that the data plane has begun, and raft's number of its newest. */
  rounds = 0;
  #raftRound = 0;

  constructor(
    conf: ConfState,
    private readonly random: Random,
    /** How often the grant is given when it may be. */
    private readonly grantChance: number,
  ) {
    this.conf = conf;
    this.#paper = new Paper(own, conf);
    const options = {
      id: own,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: false,
      checkQuorum: false,
      leaseReads: false,
      messageBytesMax: 1_000,
      inflightMessagesMax: 4,
      inflightBytesMax: 1_000,
      uncommittedBytesMax: 1_000,
      random: () => 0,
    };
    this.#raft = new Raft(options, {
      hardState: { term: 0, vote: 0n, commit: 0 },
      confState: conf,
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: [],
      applied: 0,
    });
  }

  get leads(): boolean {
    return this.#raft.role === "leader";
  }

  get term(): number {
    return this.#raft.term;
  }

  get last(): number {
    return this.#raft.lastIndex;
  }

  get committed(): number {
    return this.#raft.committed;
  }

  /** The grant of a leader with other voters is out. */
  get holdsQuorumGrant(): boolean {
    return this.#grant !== null && this.#grant.quorum !== null;
  }

  get holdsGrant(): boolean {
    return this.#grant !== null;
  }

  get reads(): boolean {
    return this.#open !== null;
  }

  // --- what happens to a leader ---

  /** Wins an election, if it may. */
  lead(): void {
    this.#raft.campaign();
    this.#settle();
    if (this.#raft.role === "candidate") this.disk();
    for (const from of this.conf.voters) {
      if (this.#raft.role !== "candidate" || from === own) continue;
      this.#step({ type: "voteResponse", from, to: own, term: this.term, reject: false });
    }
    this.#settle();
  }

  propose(): void {
    if (this.#grant !== null) {
      const { term } = this.#grant;
      const index = this.last + 1;
      this.#raft.appendGranted([{ index, term, kind: EntryKind.Empty, bytes: 0 }]);
      this.#paper.append(index, term);
      this.#stampedIn = { term, index };
      this.#record({ do: "stamp" });
    } else {
      this.#raft.propose([{ kind: EntryKind.Empty, bytes: 0, payload: null, leavesJoint: false }]);
    }
    this.#settle();
  }

  change(change: ConfChange): void {
    if (this.#grant !== null) this.withdraw();
    const entry = { kind: EntryKind.ConfChange, bytes: 0, payload: null, leavesJoint: false };
    if (this.#raft.propose([entry]) === "appended") this.#changes.set(this.last, change);
    this.#settle();
  }

  /** A term above the own one ends the leadership. */
  acknowledge(from: MemberId, term: number, index: number): void {
    this.#step({ type: "appendResponse", from, to: own, term, index, reject: false, hintIndex: 0, hintTerm: 0 });
    this.#paper.acknowledge(from, term, index);
    this.#record({ do: "ack", from, term, index });
    this.#settle();
  }

  reject(from: MemberId, index: number): void {
    const { term } = this;
    const hint = { hintIndex: index, hintTerm: term };
    this.#step({ type: "appendResponse", from, to: own, term, index, reject: true, ...hint });
    this.#record({ do: "reject", from, term, index });
    this.#settle();
  }

  /** Another member leads the next term, and `count` entries of its own take the place of those after `kept`. */
  follow(leader: MemberId, kept: number, count: number): void {
    const term = this.term + 1;
    const entries = Array.from({ length: count }, (_, i) => {
      return { index: kept + 1 + i, term, kind: EntryKind.Empty, bytes: 0, payload: null };
    });
    const prevTerm = this.#raft.entryTerm(kept) ?? 0;
    const { committed: commit } = this;
    this.#step({ type: "append", from: leader, to: own, term, prevIndex: kept, prevTerm, commit, entries });
    if (count > 0) for (const index of this.#changes.keys()) if (index > kept) this.#changes.delete(index);
    this.#settle();
  }

  disk(): void {
    this.#durable = this.last;
    const stamped = this.#stampedIn;
    if (stamped !== null) this.#raft.stableTo(stamped.index, stamped.term);
    this.#stampedIn = null;
    const written = this.#writes.splice(0).at(-1);
    if (written !== undefined) this.#raft.persisted(written);
    if (this.#grant?.quorum === null && stamped !== null) this.#committed = this.#raft.committed;
    this.#record({ do: "disk" });
    this.#settle();
  }

  withdraw(): void {
    this.#grant = null;
    if (this.#open !== null) this.#open.granted = false;
    this.#record({ do: "withdraw" });
    this.#raft.grantWithdrawn();
  }

  // --- reads ---

  read(): void {
    if (this.#open !== null) return;
    this.#tokens += 1;
    const token = this.#tokens;
    if (!this.#raft.readIndex(token)) return;
    const granted = this.#grant !== null;
    this.#open = { token, granted };
    if (this.holdsQuorumGrant) this.rounds += 1;
    this.#inspect({ do: "read", token });
    this.#settle();
  }

  /** An answer to the round of the newest read, or to one of those `back` before it. */
  hear(from: MemberId, term: number, back: number): void {
    const readSeq = this.#raftRound - back;
    if (readSeq > 0) this.#step({ type: "heartbeatResponse", from, to: own, term, readSeq });
    // A round of raft's own is none of the data plane's.
    const ofRaft = this.#open !== null && !this.#open.granted;
    if (this.holdsGrant && !ofRaft && this.rounds > back) this.#inspect({ do: "heard", from, term, back });
    this.#settle();
  }

  repeat(): void {
    this.#record({ do: "repeat" });
    this.#settle();
  }

  // --- the driver's part (src/replica/driver.ts) ---

  #step(message: SteppedMessage): void {
    if (this.#raft.needsGrantWithdrawn(message)) this.withdraw();
    this.#raft.step(message);
  }

  #settle(): void {
    for (;;) {
      if (this.#raft.grantExpired) this.withdraw();
      else if (this.#raft.hasReady) this.#handle(this.#raft.ready());
      else if (this.#raft.committed > this.#told) this.#tell();
      else if (!this.#apply()) break;
    }
    if (this.#grant === null && this.random.chance(this.grantChance)) this.#takeGrant();
    this.#stream();
  }

  #takeGrant(): void {
    this.#grant = this.#raft.takeGrant();
    if (this.#grant === null) return;
    const { term, nextIndex: next, quorum } = this.#grant;
    this.#record({ do: "grant", term, next, quorum });
  }

  #stream(): void {
    const members = this.#raft.toStream();
    if (members === null) return;
    this.#raft.streamTo(members);
    this.#record({ do: "stream", last: this.last, members });
  }

  #handle(ready: Ready): void {
    if (ready.persist) this.#persist(ready);
    if (this.#raft.committed > this.#told) this.#tell();
    this.#noteRounds(ready);
    for (const { index } of ready.readStates) {
      this.#giveIndex(index);
      this.#record({ do: "ready", index });
    }
    for (const _ of ready.droppedReads) {
      if (this.#open !== null) this.#failed.push(this.#open.token);
      this.#open = null;
      this.#record({ do: "failed" });
    }
  }

  #persist({ seq, hardState, entries }: Ready): void {
    for (const { index, term } of entries) this.#paper.append(index, term);
    this.#writes.push(seq);
    const first = entries[0]?.index ?? 0;
    if (first > 0) this.#durable = Math.min(this.#durable, first - 1);
    const kinds = entries.map(({ kind }) => kind);
    this.#record({ do: "persist", seq, term: this.term, commit: hardState?.commit ?? this.#told, first, kinds });
  }

  #noteRounds({ messages }: Ready): void {
    for (const message of messages) {
      if (message.type === "heartbeat") this.#raftRound = Math.max(this.#raftRound, message.readSeq);
    }
  }

  #tell(): void {
    this.#told = this.#raft.committed;
    this.#committed = Math.max(this.#committed, this.#told);
    this.#record({ do: "commit", index: this.#told });
  }

  /** Applies what the data plane applies. */
  #apply(): boolean {
    const upTo = Math.min(this.#committed, this.#durable);
    const index = this.#raft.appliedIndex + 1;
    if (index > upTo) return false;
    const change = this.#changes.get(index);
    if (change !== undefined) {
      this.conf = this.#raft.applyConfChange(change);
      this.#paper.configure(this.conf);
    }
    this.#raft.applied(index);
    return true;
  }

  /** A command that may bring the read index, which raft tells with the next Ready. */
  #inspect(command: Command): void {
    const ready = this.#raft.hasReady ? this.#raft.ready() : null;
    const own = this.#open?.granted === true;
    if (ready === null || !own) {
      this.#record(command);
      if (ready !== null) this.#handle(ready);
      return;
    }
    for (const { index } of ready.readStates) this.#giveIndex(index);
    this.#record(command);
    this.#handle({ ...ready, readStates: [] });
  }

  #giveIndex(index: number): void {
    if (this.#open === null) throw new Error("a read index that nobody asked for");
    this.#indexed.push({ token: this.#open.token, index });
    this.#open = null;
  }

  #played(command: Command): string {
    return [...this.commands, command].map(formatCommand).join("; ");
  }

  #record(command: Command): void {
    const { committed } = this.#raft;
    if (this.leads) this.#paper.count(this.term, this.#durable);
    // Entries from before the grant are raft's to commit; behind them the data plane counts like raft.
    if (this.holdsQuorumGrant && committed >= (this.#grant?.nextIndex ?? 0)) {
      this.#committed = Math.max(this.#committed, committed);
    }
    if (committed !== this.#paper.committed) {
      const { committed: paper } = this.#paper;
      throw new Error(`raft has committed ${committed}, by its paper it is ${paper} (${this.#played(command)})`);
    }
    const applied = Math.min(this.#committed, this.#durable);
    const answered = this.#indexed.filter(({ index }) => index <= applied).map(({ token }) => `${token}`);
    this.#indexed = this.#indexed.filter(({ index }) => index > applied);
    const failed = this.#failed.splice(0).map((token) => `${token}!`);
    this.commands.push(command);
    this.expected.push({ committed: this.#committed, reads: [...answered, ...failed].sort() });
  }
}
