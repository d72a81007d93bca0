// What goes wrong in a simulated cluster: partitions, crashes, slow disks, bad links, and membership changes and
// transfers in the middle of it.

import type { ConfChange, ConfChangeStep, MemberId } from "../../src/raft/index.js";
import type { Reply } from "../../src/replica/pending.js";
import type { SimMember } from "./member.js";
import type { Network } from "./network.js";
import type { Random } from "./random.js";
import { drawChanges } from "./rights.js";
import type { Scheduler } from "./scheduler.js";

export interface Cluster {
  members: readonly SimMember[];
  /** Starts a member that no configuration knows yet. */
  addMember(): SimMember;
}

const pauseMsMin = 20;
const retirePollMs = 200;
/** So long after changes of users were asked for a member ends at the latest: they are in the log by then, or not. */
const rightsCrashMsMax = 50;
const membersMax = 7;

export class Nemesis {
  #running = true;
  #changing = false;
  /** Each run has its own mix: with all kinds at once the rare sequences of a few would never come up. */
  readonly #kinds: [string, () => void][] = [];
  readonly #pauseMsMax: number;
  readonly #downMsMax: number;
  /** How often each kind of trouble was made. */
  readonly counts = new Map<string, number>();

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly network: Network,
    private readonly cluster: Cluster,
  ) {
    this.#pauseMsMax = random.pick([200, 800, 1_500, 3_000]);
    this.#downMsMax = random.pick([100, 1_000, 4_000]);
    const all = this.#allKinds();
    while (this.#kinds.length === 0) this.#kinds.push(...all.filter(() => random.chance(0.5)));
    // Without repairs nothing would work for most of the time.
    const repairs = Math.ceil(this.#kinds.length / 4);
    for (let i = 0; i < repairs; i += 1) this.#kinds.push(["heal", () => this.#repair()]);
  }

  start(): void {
    this.scheduler.after(this.random.between(pauseMsMin, this.#pauseMsMax), () => {
      if (!this.#running) return;
      this.#strike();
      this.start();
    });
  }

  /** Everything is repaired, and nothing more goes wrong. */
  end(): void {
    this.#running = false;
    this.#repair();
    this.network.conditions.dropChance = 0;
    for (const member of this.cluster.members) {
      member.diskSlowness = 1;
      if (member.running === null && !member.retired) member.start();
    }
  }

  #repair(): void {
    this.network.heal();
  }

  #allKinds(): [string, () => void][] {
    return [
      ["split", () => this.#split()],
      ["oneWay", () => this.#oneWay()],
      ["bridge", () => this.#bridge()],
      ["isolateLeader", () => this.#isolateLeader()],
      ["crash", () => this.#crashOne()],
      ["crashLeader", () => this.#crashLeader()],
      ["crashAll", () => this.#crashAll()],
      ["slowDisk", () => this.#slowDisk()],
      ["links", () => this.#badLinks()],
      ["transfer", () => this.#transfer()],
      ["members", () => this.#changeMembers()],
      ["members", () => this.#changeMembers()],
      ["rights", () => this.#changeRights()],
      ["rights", () => this.#changeRights()],
    ];
  }

  #strike(): void {
    const [name, strike] = this.random.pick(this.#kinds);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    strike();
  }

  get #ids(): MemberId[] {
    return this.cluster.members.map(({ id }) => id);
  }

  #cutBoth(a: MemberId, b: MemberId): void {
    this.network.cut(a, b);
    this.network.cut(b, a);
  }

  #split(): void {
    this.#repair();
    const left = this.#ids.filter(() => this.random.chance(0.5));
    for (const a of left) for (const b of this.#ids) if (!left.includes(b)) this.#cutBoth(a, b);
  }

  #oneWay(): void {
    const from = this.random.pick(this.#ids);
    const all = this.random.chance(0.5);
    for (const to of this.#ids) {
      if (to !== from && (all || this.random.chance(0.5))) this.network.cut(from, to);
    }
  }

  /** Two halves that only one member connects. */
  #bridge(): void {
    this.#repair();
    const middle = this.random.pick(this.#ids);
    const rest = this.#ids.filter((id) => id !== middle);
    const left = rest.filter((_id, at) => at % 2 === 0);
    for (const a of left) for (const b of rest) if (!left.includes(b)) this.#cutBoth(a, b);
  }

  #leaders(): SimMember[] {
    return this.cluster.members.filter(({ running }) => running?.replica.isLeader === true);
  }

  #isolateLeader(): void {
    for (const { id } of this.#leaders()) {
      for (const other of this.#ids) if (other !== id) this.#cutBoth(id, other);
    }
  }

  #crash(member: SimMember): void {
    if (member.running === null) return;
    member.crash();
    this.scheduler.after(this.random.between(1, this.#downMsMax), () => {
      if (member.running === null && !member.retired) member.start();
    });
  }

  #crashOne(): void {
    this.#crash(this.random.pick(this.cluster.members));
  }

  #crashLeader(): void {
    for (const member of this.#leaders()) this.#crash(member);
  }

  #crashAll(): void {
    for (const member of this.cluster.members) this.#crash(member);
  }

  #slowDisk(): void {
    const member = this.random.pick(this.cluster.members);
    member.diskSlowness = this.random.chance(0.3) ? 1 : this.random.between(5, 300);
  }

  #badLinks(): void {
    const { conditions } = this.network;
    conditions.dropChance = this.random.pick([0, 0, 0.01, 0.1, 0.3]);
    conditions.duplicateChance = this.random.pick([0, 0.05, 0.3]);
    conditions.delayMsMax = this.random.pick([2, 10, 50, 200]);
  }

  #transfer(): void {
    for (const { running } of this.#leaders()) {
      const to = this.random.pick(this.#ids);
      running?.replica.transferLeaderThen(to, { done: () => {}, failed: () => {} });
    }
  }

  /** Changes of users and roles through one member, while it or another is down: it may need the store for what it missed. */
  #changeRights(): void {
    const up = this.cluster.members.filter(({ running }) => running !== null);
    if (up.length === 0) return;
    const through = this.random.pick(up);
    const { replica, rights } = through.running as NonNullable<SimMember["running"]>;
    for (const change of drawChanges(this.random, rights.caller(this.random))) {
      replica.proposeControlThen(change, { done: () => {}, failed: () => {} });
    }
    if (this.random.chance(0.5)) this.scheduler.after(this.random.between(0, rightsCrashMsMax), () => this.#crashOne());
  }

  /** One change at a time; the next waits for the outcome of this one. */
  #changeMembers(): void {
    const up = this.cluster.members.filter(({ running }) => running !== null);
    if (this.#changing || up.length === 0) return;
    const through = this.random.pick(up);
    const { replica } = through.running as NonNullable<SimMember["running"]>;
    const { confState } = replica.status();
    if (confState.voters.length === 0) return;
    if (confState.votersOutgoing.length > 0 && !confState.autoLeave) {
      this.#propose(through, { transition: "auto", steps: [] });
      return;
    }
    this.#propose(through, this.#drawChange(confState.voters, confState.learners));
  }

  #drawChange(voters: MemberId[], learners: MemberId[]): ConfChange {
    const steps: ConfChangeStep[] = [];
    const count = this.random.chance(0.4) ? 2 : 1;
    while (steps.length < count) {
      const step = this.#drawStep(voters, learners);
      if (!steps.some(({ id }) => id === step.id)) steps.push(step);
      else if (voters.length + learners.length <= count) break;
    }
    const transition = this.random.pick(["auto", "auto", "jointImplicit", "jointExplicit"] as const);
    return { transition, steps };
  }

  #drawStep(voters: MemberId[], learners: MemberId[]): ConfChangeStep {
    const kind = this.random.below(10);
    if (kind < 4 && this.cluster.members.length < membersMax) {
      const { id } = this.cluster.addMember();
      return { type: kind < 2 ? "addVoter" : "addLearner", id };
    }
    if (kind < 7 && learners.length > 0) return { type: "addVoter", id: this.random.pick(learners) };
    if (kind < 8) return { type: "addLearner", id: this.random.pick(voters) };
    return { type: "remove", id: this.random.pick([...voters, ...learners]) };
  }

  #propose(through: SimMember, change: ConfChange): void {
    this.#changing = true;
    const reply: Reply<unknown> = {
      done: () => {
        this.#changing = false;
        this.#retire(change);
      },
      failed: () => {
        this.#changing = false;
      },
    };
    through.running?.replica.proposeConfChangeThen({ change, context: null }, reply);
  }

  /** Some removed members are switched off, others go on and must not disturb. */
  #retire({ transition, steps }: ConfChange): void {
    if (transition === "jointExplicit" || steps.length > 1 || transition === "jointImplicit") return;
    for (const { type, id } of steps) {
      const member = this.cluster.members.find((other) => other.id === id);
      if (type !== "remove" || member === undefined || !this.random.chance(0.5)) continue;
      this.#retireWhenKnown(member);
    }
  }

  /**
   * A member that was told of its removal may be the only one that knows it to be committed. It goes when a majority
   * of those that stay knows too; before that they may still need its vote.
   */
  #retireWhenKnown(member: SimMember): void {
    this.scheduler.after(retirePollMs, () => {
      if (!this.#running) return;
      const knowing = this.cluster.members.filter(({ running }) => {
        const voters = running?.replica.status().confState.voters ?? [];
        return voters.length > 0 && !voters.includes(member.id);
      });
      const voters = knowing[0]?.running?.replica.status().confState.voters ?? [];
      const there = voters.filter((id) => knowing.some((other) => other.id === id)).length;
      if (2 * there <= voters.length) {
        this.#retireWhenKnown(member);
        return;
      }
      member.retired = true;
      member.crash();
    });
  }
}
