// One turn of raft: an input, then everything that raft wants done, in the order that Ready demands. Owns the event
// queue of the data plane and the grants, because a grant is withdrawn in the middle of a turn.

import type { HardState, NativeEngine, NativeEvent, NativeLog, PersistEntry } from "../native/binding.js";
import {
  type Entry,
  EntryKind,
  type MemberId,
  type Message,
  type ProposedEntry,
  type ProposeResult,
  type Raft,
  type ReadState,
  type Ready,
  type SnapshotMeta,
  type SoftState,
  type SteppedMessage,
} from "../raft/index.js";
import type { PeerTransport } from "./transport.js";

/** A payload as this member's raft log carries it: a handle of the data plane, bytes, or none. */
export type PayloadRef = number | Uint8Array | null;

export type Proposable = ProposedEntry & { payload: PayloadRef };

export interface DriverHooks {
  /** One event of the data plane that is not about the driver's own bookkeeping. */
  event(event: NativeEvent): void;
  /** Another member took this one for the leader, and the entry has no place in the log yet. */
  passedOn(entry: Proposable): void;
  softState(state: SoftState): void;
  /** Term or vote changed and nothing else. */
  termChanged(): void;
  reads(states: ReadState[], dropped: number[]): void;
  snapshotInstalled(snapshot: SnapshotMeta): void;
  /** Nothing is left to do in this turn: start what waited for it. True: something was started. */
  idle(): boolean;
  applied(index: number): void;
}

/** Heard by nobody: no client of this process waits for these payloads. */
const superseded = { code: 1, message: "the entry is already in the log or goes no further here" };

interface HeldMessages {
  seq: number;
  messages: Message[];
}

export class RaftDriver {
  #events: NativeEvent[] = [];
  #settling = false;
  #held: HeldMessages[] = [];
  #later: (() => void)[] = [];
  #commit = 0;
  readonly #log: NativeLog;
  #engineApplied: number;
  /** Payloads of the message at hand that no write has used. */
  readonly #arrived = new Set<number>();

  constructor(
    private readonly raft: Raft,
    private readonly engine: Pick<NativeEngine, "drain" | "log">,
    private readonly transport: PeerTransport | null,
    private readonly appendGrant: boolean,
    private readonly hooks: DriverHooks,
    applied: number,
  ) {
    this.#log = engine.log;
    this.#engineApplied = applied;
  }

  /** Runs an input and then everything that follows from it. */
  act<T>(input: (raft: Raft) => T): T {
    const result = input(this.raft);
    this.#settle();
    return result;
  }

  /** Runs a caller's callback at the end of the turn, when raft and the data plane agree again. */
  later(call: () => void): void {
    this.#later.push(call);
    this.#settle();
  }

  /** The data plane has events. */
  wake(): void {
    this.#events.push(...this.engine.drain());
    this.#settle();
  }

  receive(message: Message): void {
    if (message.type === "propose") {
      this.act(() => this.#proposeOthers(message.entries as Proposable[]));
      return;
    }
    this.#noteArrived(message);
    this.act((raft) => {
      if (raft.needsGrantWithdrawn(message)) this.withdrawGrant();
      raft.step(message);
    });
  }

  #proposeOthers(entries: readonly Proposable[]): void {
    if (this.#stampAll(entries)) return;
    for (const entry of entries) this.hooks.passedOn(entry);
  }

  /** A tick of the clock. */
  tick(): void {
    this.act((raft) => {
      if (raft.holdsFollowGrant && raft.mayCampaignNext) this.withdrawGrant();
      raft.tick();
      if (raft.holdsGrant && !raft.isSoleVoter) this.#log.repeatRead();
    });
  }

  /** An input that may start an election or forgets the leader. */
  unsettle(input: (raft: Raft) => void): void {
    this.act((raft) => {
      if (raft.holdsFollowGrant) this.withdrawGrant();
      input(raft);
    });
  }

  #noteArrived(message: SteppedMessage): void {
    if (message.type !== "append") return;
    for (const { payload } of message.entries) {
      if (typeof payload === "number" && payload !== 0) this.#arrived.add(payload);
    }
  }

  /** Payloads of entries that raft already had would stay in the data plane for ever. */
  #dropUnused(): void {
    this.#log.dropPayloads([...this.#arrived], superseded);
    this.#arrived.clear();
  }

  /** Forgets the payload of another member's entry that goes no further here. */
  drop(payload: PayloadRef): void {
    if (typeof payload === "number" && payload !== 0) this.#log.dropPayloads([payload], superseded);
  }

  /** Brings a proposal into the log, by the data plane if it holds the grant. */
  propose(entry: Proposable): ProposeResult {
    if (this.#stampAll([entry])) return "appended";
    if (this.raft.holdsGrant) this.withdrawGrant();
    return this.raft.propose([entry]);
  }

  /** Under the grant the data plane appends; false: it is not out, or raft must look at an entry itself. */
  #stampAll(entries: readonly Proposable[]): boolean {
    if (!this.raft.holdsGrant || this.raft.grantExpired) return false;
    if (entries.some(({ kind }) => kind === EntryKind.ConfChange)) return false;
    for (const { kind, payload } of entries) {
      if (typeof payload === "number" && payload !== 0) this.#log.stampPayload(kind, payload);
      else this.#log.proposeControl(kind, payload instanceof Uint8Array ? payload : new Uint8Array());
    }
    return true;
  }

  transferLeader(to: MemberId): void {
    this.act((raft) => {
      if (raft.holdsGrant) this.withdrawGrant();
      raft.transferLeader(to);
    });
  }

  /** Ends the grant: what the data plane did under it enters raft before anything else happens. */
  withdrawGrant(): void {
    this.#log.revokeGrant();
    this.learn();
    this.raft.grantWithdrawn();
  }

  /** What the data plane did under a grant by now enters raft before anything that rests on it. */
  learn(): void {
    this.#events.push(...this.engine.drain());
    this.#events = this.#events.filter((event) => !this.#learn(event));
  }

  /** Tells raft what the data plane did under a grant; false: the event is about something else. */
  #learn(event: NativeEvent): boolean {
    switch (event.type) {
      case "appended":
        this.raft.appendGranted(event.entries);
        return true;
      case "acknowledged":
        this.raft.acknowledged(event.from, event.index, event.term);
        return true;
      case "committed":
        this.raft.committedTo(event.index);
        return true;
      default:
        return false;
    }
  }

  #handleEvent(event: NativeEvent): void {
    if (this.#learn(event)) return;
    switch (event.type) {
      case "stable":
        this.raft.stableTo(event.index, event.term);
        break;
      case "persisted":
        this.#release(event.seq);
        this.raft.persisted(event.seq);
        break;
      case "applied":
        this.#engineApplied = Math.max(this.#engineApplied, event.index);
        // Not what a snapshot will bring that is still being installed.
        this.hooks.applied(event.index);
        break;
      default:
        this.hooks.event(event);
    }
  }

  #release(seq: number): void {
    const due = this.#held.filter((held) => held.seq <= seq);
    this.#held = this.#held.filter((held) => held.seq > seq);
    for (const { messages } of due) this.#send(messages);
  }

  #settle(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      while (this.#stepOnce());
    } finally {
      this.#settling = false;
    }
  }

  /** The most urgent of what is left; false: nothing. */
  #stepOnce(): boolean {
    if (this.raft.grantExpired) this.withdrawGrant();
    else if (this.raft.hasReady) this.#handleReady(this.raft.ready());
    else if (this.#arrived.size > 0) this.#dropUnused();
    else if (this.#passApplied() || this.hooks.idle()) return true;
    else if (this.#later.length > 0) this.#later.shift()?.();
    else if (this.#events.length > 0) this.#handleEvent(this.#events.shift() as NativeEvent);
    else return this.#tryGrant() || this.#tryStream();
    return true;
  }

  /** A sole voter's data plane commits by itself, so it may be ahead of what raft knows. */
  #passApplied(): boolean {
    const index = Math.min(this.#engineApplied, this.raft.committed);
    if (index <= this.raft.appliedIndex) return false;
    this.raft.applied(index);
    return true;
  }

  #tryGrant(): boolean {
    if (!this.appendGrant) return false;
    const grant = this.raft.takeGrant();
    if (grant !== null) {
      this.#log.grant(grant.term, grant.nextIndex, grant.quorum);
      return true;
    }
    const follow = this.raft.takeFollowGrant();
    if (follow === null) return false;
    this.#log.follow(follow.term, follow.leader, follow.lastIndex);
    return true;
  }

  #tryStream(): boolean {
    const ids = this.raft.toStream();
    // Refused: what was stamped meanwhile is in the queue, and the turn that takes it tries again.
    if (ids === null || !this.#log.stream(this.raft.lastIndex, ids)) return false;
    this.raft.streamTo(ids);
    return true;
  }

  #handleReady(ready: Ready): void {
    if (ready.softState !== null) this.hooks.softState(ready.softState);
    else if (ready.hardState !== null) this.hooks.termChanged();
    if (ready.snapshot !== null) this.#install(ready.snapshot);
    if (ready.persist) this.#persist(ready.seq, ready.hardState, ready.entries);
    // Before a follower can learn of it: the data plane answers reads by what it knows to be committed. It applies no
    // more of it than is durable here.
    if (this.raft.committed > this.#commit) {
      this.#commit = this.raft.committed;
      this.#log.commit(this.#commit);
    }
    // Behind persist, so that the data plane knows the payloads that the messages name; it does not wait for the sync.
    this.#send(ready.messages);
    if (ready.messagesAfterPersist.length > 0) {
      this.#held.push({ seq: ready.seq, messages: ready.messagesAfterPersist });
    }
    if (ready.readStates.length > 0 || ready.droppedReads.length > 0) {
      this.hooks.reads(ready.readStates, ready.droppedReads);
    }
  }

  #install(snapshot: SnapshotMeta): void {
    if (this.transport === null) throw new Error("a snapshot arrived without a transport");
    this.transport.installSnapshot(snapshot);
    this.#engineApplied = Math.max(this.#engineApplied, snapshot.index);
    this.hooks.snapshotInstalled(snapshot);
  }

  #persist(seq: number, hardState: HardState | null, entries: Entry[]): void {
    for (const { payload } of entries) if (typeof payload === "number") this.#arrived.delete(payload);
    this.#log.persist(seq, hardState, entries.map(toPersist));
  }

  #send(messages: Message[]): void {
    if (messages.length === 0) return;
    if (this.transport === null) throw new Error("a message for a peer without a transport");
    this.transport.send(messages);
  }
}

function toPersist({ index, term, kind, payload }: Entry): PersistEntry {
  const ref = payload as PayloadRef;
  if (typeof ref === "number") return { index, term, kind, payload: ref, data: null };
  return { index, term, kind, payload: 0, data: ref };
}
