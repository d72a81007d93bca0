// One member of a simulated cluster: the real replica on a fake data plane, which can crash and start again.

import { EntryKind } from "../../src/native/binding.js";
import type { MemberId, Message } from "../../src/raft/index.js";
import type { LogRetention } from "../../src/replica/compaction.js";
import type { InitialMember } from "../../src/replica/options.js";
import { Replica } from "../../src/replica/replica.js";
import type { PeerSink, PeerTransport } from "../../src/replica/transport.js";
import type { Invariants } from "./checks.js";
import { handlersThat, membership } from "./controlplane.js";
import { FakeDisk } from "./fakes/disk.js";
import { FakeEngine, type FakeTiming } from "./fakes/engine.js";
import type { FastStep } from "./fakes/fastpath.js";
import type { Address, Network } from "./network.js";
import type { Random } from "./random.js";
import { Rights } from "./rights.js";
import { MemberClock, type Scheduler } from "./scheduler.js";

/** What is drawn once for a whole run. */
export interface MemberSettings {
  preVote: boolean;
  /** How likely a member, each time it starts, has the fast path: all, none, or some of them. */
  fastChance: number;
  heartbeatMs: number;
  electionMs: number;
  requestTimeoutMs: number;
  logRetention: LogRetention;
  /** A sync takes up to so long on a disk that is well. */
  syncMsMax: number;
}

export interface World {
  scheduler: Scheduler;
  network: Network;
  random: Random;
  invariants: Invariants;
  settings: MemberSettings;
  /** Names each run of each member. */
  nextOrigin(): number;
  answered(token: number, outcome: number | null): void;
  /** A data plane did this without raft. */
  fast(what: FastStep): void;
  /** An entry changed users or roles on a member, or another member's store brought others. */
  rights(what: RightsStep): void;
}

export type RightsStep = "changed" | "brought";

interface Running {
  clock: MemberClock;
  engine: FakeEngine;
  rights: Rights;
  replica: Replica;
}

/** The longest that a slow disk takes for a sync. */
const stallMsMax = 3_000;

export class SimMember {
  readonly disk = new FakeDisk();
  running: Running | null = null;
  /** Syncs take this many times as long; the nemesis changes it. */
  diskSlowness = 1;
  #address: Address | null = null;
  /** It was told that it left the cluster, and is never started again. */
  retired = false;

  constructor(
    readonly id: MemberId,
    private readonly world: World,
    private readonly initialMembers: readonly InitialMember[] | null,
  ) {}

  start(): void {
    const { scheduler, random } = this.world;
    // Clocks run up to 10 % fast or slow, another way after each start.
    const clock = new MemberClock(scheduler, random.between(0.9, 1.1));
    const engine = this.#createEngine(clock);
    const { syncMsMax: _, fastChance, ...replicaSettings } = this.world.settings;
    const recovered = engine.recovered();
    const rights = new Rights(recovered.meta, () => this.world.rights("changed"));
    const replica: Replica = new Replica(engine, recovered, {
      id: this.id,
      ...replicaSettings,
      appendGrant: random.chance(fastChance),
      initialMembers: this.initialMembers,
      handlers: { ...handlersThat(() => null), auth: (command) => rights.apply(command) },
      membership,
      transport: this.#createTransport(engine, rights),
      clock,
      random: (below) => random.below(below),
      otherEvent: (event) => {
        throw new Error(`unexpected event ${event.type}`);
      },
      snapshotInstalled: () => {},
      snapshotApplied: () => {},
      logCompacted: () => {},
    });
    this.running = { clock, engine, rights, replica };
    replica.onLeaderChanged(({ isLeader, term }) => {
      if (isLeader) this.world.invariants.leads(this.id, term, replica);
    });
    replica.start();
  }

  #createEngine(clock: MemberClock): FakeEngine {
    const { random, invariants, settings } = this.world;
    const { syncMsMax } = settings;
    const timing: FakeTiming = {
      syncMs: () => Math.min(stallMsMax, random.between(0.1, syncMsMax) * this.diskSlowness),
      applyMs: () => random.between(0.01, 1),
      wakeMs: () => random.between(0.01, 0.5),
      marksMs: () => random.between(0.01, 20),
      flushEveryMs: 200,
    };
    return new FakeEngine(
      this.disk,
      clock,
      timing,
      {
        wake: () => this.running?.replica.wake(),
        send: (message) => this.#send([message]),
        written: (entry, prevTerm) => invariants.written(this.id, entry, prevTerm),
        applied: (entry, hash) => {
          invariants.applied(this.id, entry, hash);
          if (entry.kind === EntryKind.Control) this.#checkRights(entry.index);
        },
        answered: (token, outcome) => this.world.answered(token, outcome),
        fast: (what) => this.world.fast(what),
      },
      this.world.nextOrigin(),
      this.id,
    );
  }

  #checkRights(index: number): void {
    if (this.running === null) return;
    const { engine, rights } = this.running;
    rights.check(this.id, index, engine.store.metaRows);
  }

  #createTransport(engine: FakeEngine, rights: Rights): PeerTransport {
    const { network } = this.world;
    this.#address = null;
    return {
      attach: (sink: PeerSink) => {
        this.#address = {
          engine,
          deliver: (message: Message) => {
            if (engine.receive(message)) return;
            // What the data plane did before is in the queue in front of it.
            this.running?.replica.wake();
            sink.message(message);
          },
          refused: (id) => sink.refused(id),
          snapshotSent: (to, arrived) => sink.snapshotSent(to, arrived),
        };
        network.join(this.id, this.#address);
      },
      send: (messages) => this.#send(messages),
      connectedSince: () => true,
      installSnapshot: (snapshot) => {
        if (rights.replace(engine.stagedRows)) this.world.rights("brought");
        engine.installSnapshot(snapshot.index);
      },
    };
  }

  #send(messages: readonly Message[]): void {
    if (this.#address !== null) this.world.network.send(this.#address, messages);
  }

  crash(): void {
    if (this.running === null) return;
    const { clock, replica } = this.running;
    this.running = null;
    this.world.network.leave(this.id);
    clock.kill();
    replica.stop();
    this.disk.crash(this.world.random);
  }
}
