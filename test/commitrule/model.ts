// Plays a transcript on the simulation's data plane (test/sim/fakes).

import { EntryKind, type PersistEntry } from "../../src/native/binding.js";
import { dataPlaneRoundMin, type MemberId, type Message } from "../../src/raft/index.js";
import { FakeDisk } from "../sim/fakes/disk.js";
import { FakeEngine } from "../sim/fakes/engine.js";
import { MemberClock, Scheduler } from "../sim/scheduler.js";
import { type Command, formatOutcome } from "./commands.js";

const own = 1n;
/** Time passes only when the disk is let, and then as much as one sync takes. */
const syncMs = 1_000;
const farAwayMs = 2 ** 40;

class Model {
  readonly #scheduler = new Scheduler();
  readonly #disk = new FakeDisk();
  readonly #engine: FakeEngine;
  #sent: Message[] = [];
  #answered: string[] = [];
  /** The read index that raft was asked for. */
  #asked: number | null = null;
  /** The numbers of the rounds that were begun. */
  readonly #rounds: number[] = [];

  constructor() {
    const timing = { syncMs: () => syncMs, applyMs: () => 0, wakeMs: () => 0, marksMs: () => 0 };
    const hooks = {
      wake: () => {},
      send: (message: Message) => this.#sent.push(message),
      written: () => {},
      applied: () => {},
      answered: (token: number, outcome: number | null) =>
        this.#answered.push(`${token}${outcome === null ? "!" : ""}`),
      fast: () => {},
    };
    const clock = new MemberClock(this.#scheduler, 1);
    this.#engine = new FakeEngine(this.#disk, clock, { ...timing, flushEveryMs: farAwayMs }, hooks, 1, own);
  }

  play(command: Command): string {
    const taken = this.#do(command);
    this.#settle();
    const sent = this.#describeSent();
    const reads = this.#answered.splice(0).sort();
    return formatOutcome(taken, { committed: this.#engine.committed, reads }, sent);
  }

  #do(command: Command): boolean {
    const engine = this.#engine;
    switch (command.do) {
      case "persist":
        this.#persist(command);
        return true;
      case "grant":
        engine.grant(command.term, command.next, command.quorum);
        return true;
      case "withdraw":
        return engine.revokeGrant() === this.#last;
      case "stream":
        return engine.stream(command.last, command.members);
      case "stamp":
        engine.proposeControl(EntryKind.Empty, new Uint8Array());
        return true;
      case "disk":
        while (this.#disk.unsynced.length > 0) this.#scheduler.run(syncMs);
        return true;
      case "ack":
      case "reject":
        return this.#acknowledge(command);
      case "heard": {
        const readSeq = this.#rounds.at(-1 - command.back);
        if (readSeq === undefined) throw new Error("no such round");
        const { from, term } = command;
        return engine.receive({ type: "heartbeatResponse", from, to: own, term, readSeq });
      }
      case "read":
        return this.#read(command.token);
      case "repeat":
        engine.repeatRead();
        return true;
      case "commit":
        engine.commit(command.index);
        return true;
      case "ready":
        engine.readIndexReady(this.#takeAsked(), command.index);
        return true;
      case "failed":
        engine.readIndexFailed(this.#takeAsked(), { code: 14, message: "etcdserver: request timed out" });
        return true;
    }
  }

  /** The end of the log as raft and the network know it. */
  get #last(): number {
    const { unsynced, durable } = this.#disk;
    const written = unsynced.flatMap((record) => (record.type === "write" ? record.entries : []));
    return written.at(-1)?.index ?? durable.lastIndex;
  }

  #persist({ seq, term, commit, first, kinds }: Command & { do: "persist" }): void {
    const entries = kinds.map((kind, i): PersistEntry => ({ index: first + i, term, kind, payload: 0, data: null }));
    this.#engine.persist(seq, { term, vote: own, commit }, entries);
  }

  #acknowledge({ do: what, from, term, index }: Command & { do: "ack" | "reject" }): boolean {
    const reject = what === "reject";
    return this.#engine.receive({
      type: "appendResponse",
      from,
      to: own,
      term,
      index,
      reject,
      hintIndex: 0,
      hintTerm: 0,
    });
  }

  #read(token: number): boolean {
    this.#engine.read({ type: "get", key: "" }, token);
    return this.#answered.length > 0;
  }

  #takeAsked(): number {
    const asked = this.#asked;
    if (asked === null) throw new Error("no read index was asked for");
    this.#asked = null;
    return asked;
  }

  /** Everything that takes no time. */
  #settle(): void {
    let events = 0;
    do {
      this.#scheduler.run(0);
      const drained = this.#engine.drain();
      events = drained.length;
      for (const event of drained) {
        if (event.type === "control") this.#engine.controlApplied(event.index, []);
        else if (event.type === "readRequest") this.#asked = event.ctx;
      }
    } while (events > 0);
  }

  #describeSent(): string[] {
    const sent: string[] = [];
    // Only the last to each: how often it is told depends on how the disk grouped what it was given.
    const told = new Map<MemberId, string>();
    for (const message of this.#sent.splice(0)) {
      const { to, term } = message;
      if (message.type === "append") {
        const { prevIndex, prevTerm, commit, entries } = message;
        sent.push(`${to}:append/${term}/${prevIndex}/${prevTerm}/${commit}/${entries.length}`);
      } else if (message.type !== "heartbeat") {
        sent.push(`${to}:${message.type}`);
      } else if (message.readSeq === dataPlaneRoundMin) {
        told.set(to, `${to}:commit/${term}/${message.commit}`);
      } else {
        if (this.#rounds.at(-1) !== message.readSeq) this.#rounds.push(message.readSeq);
        sent.push(`${to}:round/${term}/${message.commit}`);
      }
    }
    const members = [...told.keys()].sort((a, b) => Number(a - b));
    return [...sent, ...members.map((id) => told.get(id) as string)];
  }
}

/** What came of each command. */
export function playOnModel(commands: readonly Command[]): string[] {
  const model = new Model();
  return commands.map((command) => model.play(command));
}
