// One simulated run, from one seed: a cluster, clients and trouble for a while, then repair, and the checks of the
// end: the cluster serves again, all members agree, and the clients' history is linearizable.

import { Invariants, Violation } from "./checks.js";
import { Clients } from "./clients.js";
import type { FastStep } from "./fakes/fastpath.js";
import { checkLinearizable } from "./linearizability.js";
import { type MemberSettings, type RightsStep, SimMember, type World } from "./member.js";
import { Nemesis } from "./nemesis.js";
import { Network } from "./network.js";
import { hashStart, hashText, Random } from "./random.js";
import { Scheduler } from "./scheduler.js";

export interface SimulationResult {
  seed: number;
  /** Of everything that happened; the same seed gives the same. */
  hash: number;
  /** null: no invariant was broken. */
  failure: string | null;
  steps: number;
  simulatedMs: number;
  operations: number;
  acknowledged: number;
  elections: number;
  applied: number;
  /** What data planes did without raft. */
  fast: Record<FastStep, number>;
  /** How often users and roles were changed by entries, on every member, and by stores. */
  rights: Record<RightsStep, number>;
  troubles: Record<string, number>;
}

const troubleMs = 12_000;
const repairMs = 5_000;
const finalTriesMax = 20;
/** Payloads that a member may still hold in the end: of batches on their way when everything stops. */
const payloadsLeftMax = 4;
const heartbeatMs = 50;
const electionMs = 500;
const requestTimeoutMs = 6_000;

class Simulation implements World {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly invariants = new Invariants();
  readonly network: Network;
  readonly settings: MemberSettings;
  readonly members: SimMember[] = [];
  readonly clients: Clients;
  readonly nemesis: Nemesis;
  readonly #fast: Record<FastStep, number> = { append: 0, commit: 0, read: 0 };
  readonly #rights: Record<RightsStep, number> = { changed: 0, brought: 0 };
  #nextId = 1n;
  #origins = 0;

  constructor(readonly seed: number) {
    this.random = new Random(seed);
    this.settings = {
      preVote: this.random.chance(0.7),
      fastChance: this.random.pick([0, 0.5, 1, 1]),
      heartbeatMs,
      electionMs,
      requestTimeoutMs,
      logRetention: {
        snapshotCount: this.random.pick([1, 10, 200]),
        catchUpEntries: this.random.pick([5, 20, 1000]),
        bytesMax: this.random.pick([2_000, Number.POSITIVE_INFINITY]),
      },
      syncMsMax: this.random.pick([2, 2, 20, 100]),
    };
    this.network = new Network(this.scheduler, this.random, {
      dropChance: 0,
      duplicateChance: 0,
      delayMsMin: 0.2,
      delayMsMax: 5,
    });
    this.clients = new Clients(this.scheduler, this.random, () => this.members);
    this.nemesis = new Nemesis(this.scheduler, this.random, this.network, this);
  }

  nextOrigin(): number {
    this.#origins += 1;
    return this.#origins;
  }

  answered(token: number, outcome: number | null): void {
    this.clients.answered(token, outcome);
  }

  fast(what: FastStep): void {
    this.#fast[what] += 1;
  }

  rights(what: RightsStep): void {
    this.#rights[what] += 1;
  }

  addMember(): SimMember {
    const member = new SimMember(this.#takeId(), this, null);
    this.members.push(member);
    member.start();
    return member;
  }

  #takeId(): bigint {
    const id = this.#nextId;
    this.#nextId += 1n;
    return id;
  }

  run(): void {
    const ids = Array.from({ length: this.random.pick([1, 3, 3, 3, 5]) }, () => this.#takeId());
    const initial = ids.map((id) => ({ id, context: null }));
    for (const id of ids) this.members.push(new SimMember(id, this, initial));
    for (const member of this.members) member.start();
    this.clients.start(this.random.pick([2, 4, 8]), this.random.pick([50, 250]));
    this.nemesis.start();
    this.scheduler.run(troubleMs);
    this.nemesis.end();
    this.scheduler.run(repairMs);
    this.clients.stop();
    this.#expectService();
    this.#expectAgreement();
    const { linearizable, decided, key } = checkLinearizable(this.clients.history);
    if (!decided) throw new Violation(`linearizability of ${key} could not be decided`);
    if (!linearizable) throw new Violation(`the history of ${key} is not linearizable`);
  }

  #leader(): SimMember | null {
    const leaders = this.members.filter(({ running }) => running?.replica.isLeader === true);
    leaders.sort((a, b) => (b.running?.replica.term() ?? 0) - (a.running?.replica.term() ?? 0));
    return leaders[0] ?? null;
  }

  /** After the repair writes and reads work again, through the leader. */
  #expectService(): void {
    for (let tries = 0; tries < finalTriesMax; tries += 1) {
      const leader = this.#leader();
      if (leader !== null && this.#writesAndReads(leader)) return;
      this.scheduler.run(500);
    }
    throw new Violation(`the repaired cluster does not serve\n${this.#describe()}`);
  }

  /** The members as they stand, for the report of a failure. */
  #describe(): string {
    const lines = this.members.map(({ id, running, retired }) => {
      if (running === null) return `  ${id}: down${retired ? ", retired" : ""}`;
      const { confState, progress, ...status } = running.replica.status();
      const show = (value: unknown) => encodeText({ value });
      const peers = [...(progress ?? [])].map(([peer, state]) => `\n    ${peer}: ${show(state)}`);
      const applied = running.engine.store.appliedIndex;
      return `  ${id}: store ${applied} ${show(status)} ${show(confState)}${peers.join("")}`;
    });
    return lines.join("\n");
  }

  #writesAndReads(member: SimMember): boolean {
    let served = false;
    this.clients.finalWrite(member, (outcome) => {
      if (outcome === null || member.running === null) return;
      this.clients.finalReads(member, (unanswered) => {
        served = unanswered === 0;
      });
    });
    this.scheduler.run(5_000);
    return served;
  }

  /** Every member of the configuration comes to the same index and state. */
  #expectAgreement(): void {
    let differs = "";
    for (let tries = 0; tries < finalTriesMax; tries += 1) {
      this.scheduler.run(500);
      differs = this.#disagreement();
      if (differs === "") return;
    }
    throw new Violation(`${differs}\n${this.#describe()}`);
  }

  /** Empty: there is none. */
  #disagreement(): string {
    const leader = this.#leader();
    if (leader === null || leader.running === null) return "there is no leader";
    const { voters, votersOutgoing, learners } = leader.running.replica.status().confState;
    const inCluster = new Set([...voters, ...votersOutgoing, ...learners]);
    const { appliedIndex, hash } = leader.running.engine.store;
    for (const { id, running } of this.members) {
      if (!inCluster.has(id) || running === null) continue;
      const { store, payloadCount } = running.engine;
      if (store.appliedIndex !== appliedIndex || store.hash !== hash) {
        return `${id} stands at ${store.appliedIndex}, leader ${leader.id} at ${appliedIndex}`;
      }
      if (payloadCount > payloadsLeftMax) return `${id} holds ${payloadCount} payloads`;
    }
    return "";
  }

  result(failure: string | null): SimulationResult {
    const { history, acknowledged } = this.clients;
    let hash = hashText(hashStart, `${this.scheduler.steps}/${this.network.delivered}`);
    for (const { client, op, outcome } of history) {
      hash = hashText(hash, `${client}${op.type}${op.key}${outcome}`);
    }
    hash = hashText(hash, `${this.invariants.hashAt(this.invariants.appliedMax)}`);
    return {
      seed: this.seed,
      hash,
      failure,
      steps: this.scheduler.steps,
      simulatedMs: this.scheduler.nowMs,
      operations: history.length,
      acknowledged,
      elections: this.invariants.elections,
      applied: this.invariants.appliedMax,
      fast: this.#fast,
      rights: this.#rights,
      troubles: Object.fromEntries(this.nemesis.counts),
    };
  }
}

function encodeText(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `${part}` : part));
}

/** Runs one seed. A broken invariant, or an error anywhere, is in `failure` with its stack. */
export function simulate(seed: number): SimulationResult {
  const simulation = new Simulation(seed);
  try {
    simulation.run();
    return simulation.result(null);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return simulation.result(text);
  }
}
