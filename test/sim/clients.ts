// Clients that write, swap and read registers through arbitrary members, and write down what they saw.

import type { Operation } from "./fakes/store.js";
import type { HistoryEntry } from "./linearizability.js";
import type { SimMember } from "./member.js";
import type { Random } from "./random.js";
import type { Scheduler } from "./scheduler.js";

const answerTimeoutMs = 2_000;
const keys = ["a", "b", "c"];

export class Clients {
  readonly history: HistoryEntry[] = [];
  readonly #waiting = new Map<number, (outcome: number | null) => void>();
  #nextToken = 1;
  #nextValue = 1;
  #event = 0;
  #running = true;
  #thinkMsMax = 0;
  /** Values seen lately by key, so that a swap has a chance. */
  readonly #lastSeen = new Map<string, number>();
  acknowledged = 0;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly members: () => readonly SimMember[],
  ) {}

  /** `thinkMsMax`: how long a client waits between an answer and its next request. */
  start(count: number, thinkMsMax: number): void {
    this.#thinkMsMax = thinkMsMax;
    for (let client = 0; client < count; client += 1) this.#think(client);
  }

  stop(): void {
    this.#running = false;
  }

  answered(token: number, outcome: number | null): void {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    waiting?.(outcome);
  }

  #think(client: number): void {
    this.scheduler.after(this.random.between(0, this.#thinkMsMax), () => {
      if (this.#running) this.#request(client);
    });
  }

  #request(client: number): void {
    const up = this.members().filter(({ running }) => running !== null);
    if (up.length === 0) {
      this.#think(client);
      return;
    }
    this.call(client, this.random.pick(up), this.#draw(), () => this.#think(client));
  }

  #draw(): Operation {
    const key = this.random.pick(keys);
    const kind = this.random.below(10);
    if (kind < 4) return { type: "get", key };
    const value = this.#nextValue;
    this.#nextValue += 1;
    if (kind < 7) return { type: "put", key, value };
    return { type: "cas", key, expected: this.#lastSeen.get(key) ?? 0, value };
  }

  /** A last look at every register, through the given member. `done` gets the number of unanswered looks. */
  finalReads(member: SimMember, done: (unanswered: number) => void): void {
    let left = keys.length;
    let unanswered = 0;
    for (const key of keys) {
      this.call(-1, member, { type: "get", key }, (outcome) => {
        if (outcome === null) unanswered += 1;
        left -= 1;
        if (left === 0) done(unanswered);
      });
    }
  }

  finalWrite(member: SimMember, done: (outcome: number | null) => void): void {
    const value = this.#nextValue;
    this.#nextValue += 1;
    this.call(-1, member, { type: "put", key: "a", value }, done);
  }

  call(client: number, member: SimMember, op: Operation, done: (outcome: number | null) => void): void {
    const { running } = member;
    if (running === null) throw new Error("a call to a member that is down");
    const token = this.#nextToken;
    this.#nextToken += 1;
    const entry: HistoryEntry = {
      client,
      op,
      outcome: null,
      calledAt: this.#event++,
      returnedAt: Number.POSITIVE_INFINITY,
    };
    const timer = this.scheduler.after(answerTimeoutMs, () => {
      this.#waiting.delete(token);
      this.history.push(entry);
      done(null);
    });
    this.#waiting.set(token, (outcome) => {
      timer.cancel();
      if (outcome !== null) this.#note(entry, outcome);
      done(outcome);
    });
    if (op.type === "get") running.engine.read(op, token);
    else running.engine.execute(op, token);
  }

  /** A refused request leaves no trace: it never took effect. */
  #note(entry: HistoryEntry, outcome: number): void {
    entry.outcome = outcome;
    entry.returnedAt = this.#event++;
    this.history.push(entry);
    this.acknowledged += 1;
    const { op } = entry;
    if (op.type === "get") this.#lastSeen.set(op.key, outcome);
    else if (outcome === 1) this.#lastSeen.set(op.key, op.value);
  }
}
