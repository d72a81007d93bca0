// Three members on the fake data plane: what callers of a replica get to see when the cluster is well and when not.

import { describe, expect, test } from "vitest";
import { LeadershipWatch } from "../../src/replica/leadership.js";
import type { Reply } from "../../src/replica/pending.js";
import { ProposalQueue } from "../../src/replica/proposals.js";
import type { Replica } from "../../src/replica/replica.js";
import type { PeerTransport } from "../../src/replica/transport.js";
import { Invariants } from "./checks.js";
import { SimMember, type World } from "./member.js";
import { Network } from "./network.js";
import { Random } from "./random.js";
import { MemberClock, Scheduler } from "./scheduler.js";

class Trio {
  readonly scheduler = new Scheduler();
  readonly random = new Random(11);
  readonly network = new Network(this.scheduler, this.random, {
    dropChance: 0,
    duplicateChance: 0,
    delayMsMin: 0.5,
    delayMsMax: 2,
  });
  readonly answers = new Map<number, number | null>();
  readonly members: SimMember[];

  constructor(appendGrant = true) {
    let origins = 0;
    const world: World = {
      scheduler: this.scheduler,
      network: this.network,
      random: this.random,
      invariants: new Invariants(),
      settings: {
        preVote: true,
        fastChance: appendGrant ? 1 : 0,
        heartbeatMs: 50,
        electionMs: 500,
        requestTimeoutMs: 6_000,
        logRetention: { snapshotCount: 1, catchUpEntries: 5, bytesMax: Number.POSITIVE_INFINITY },
        syncMsMax: 1,
      },
      nextOrigin: () => ++origins,
      answered: (token, outcome) => this.answers.set(token, outcome),
      fast: () => {},
      rights: () => {},
    };
    const initial = [1n, 2n, 3n].map((id) => ({ id, context: null }));
    this.members = initial.map(({ id }) => new SimMember(id, world, initial));
    for (const member of this.members) member.start();
    this.scheduler.run(3_000);
  }

  get leader(): SimMember {
    const found = this.members.find(({ running }) => running?.replica.isLeader === true);
    if (found === undefined) throw new Error("no leader");
    return found;
  }

  get followers(): SimMember[] {
    return this.members.filter((member) => member !== this.leader);
  }

  cutOff(member: SimMember): void {
    for (const { id } of this.members) {
      if (id === member.id) continue;
      this.network.cut(id, member.id);
      this.network.cut(member.id, id);
    }
  }

  /** What a request came to within `ms`: its value, or the text of its error. */
  outcome<T>(ms: number, start: (reply: Reply<T>) => void): T | string {
    let got: { value: T | string } | null = null;
    start({
      done: (value) => {
        got = { value };
      },
      failed: ({ code, message }) => {
        got = { value: `${code} ${message}` };
      },
    });
    this.scheduler.run(ms);
    const settled = got as { value: T | string } | null;
    return settled === null ? "pending" : settled.value;
  }
}

function replicaOf(member: SimMember): Replica {
  if (member.running === null) throw new Error("down");
  return member.running.replica;
}

const version = { type: "clusterVersion", version: "3.7.0" } as const;

describe.each([true, false])("three members, append grant %s", (appendGrant) => {
  test("a control command is applied through the leader and through a follower", () => {
    const trio = new Trio(appendGrant);
    for (const member of trio.members) {
      const replica = replicaOf(member);
      expect(trio.outcome(500, (reply) => replica.proposeControlThen(version, reply))).toBeNull();
    }
  });

  test("every member knows the leader, and a new one after a transfer", () => {
    const trio = new Trio(appendGrant);
    const [target] = trio.followers as [SimMember];
    const old = replicaOf(trio.leader);
    const heard: bigint[] = [];
    old.onLeaderChanged(({ leader }) => heard.push(leader));
    expect(trio.outcome(1_000, (reply) => old.transferLeaderThen(target.id, reply))).toBeUndefined();
    expect(trio.leader.id).toBe(target.id);
    expect(heard.at(-1)).toBe(target.id);
    for (const member of trio.members) expect(replicaOf(member).leader()).toBe(target.id);
  });

  test("what was passed on to a leader that is being moved away is done", () => {
    const trio = new Trio(appendGrant);
    let puts = 0;
    for (let moves = 0; moves < 10; moves += 1) {
      const [target] = trio.followers as [SimMember];
      replicaOf(trio.leader).transferLeaderThen(target.id, { done: () => {}, failed: () => {} });
      for (let step = 0; step < 20; step += 1) {
        for (const { running } of trio.members) {
          puts += 1;
          running?.engine.execute({ type: "put", key: "k", value: puts }, puts);
        }
        trio.scheduler.run(1);
      }
      trio.scheduler.run(200);
      expect(trio.leader).toBe(target);
    }
    const unanswered = Array.from({ length: puts }, (_, at) => at + 1).filter((token) => trio.answers.get(token) !== 1);
    expect(unanswered).toEqual([]);
    for (const { running } of trio.members) expect(running?.engine.payloadCount).toBe(0);
  });

  test("a member that was down for long gets a snapshot", () => {
    const trio = new Trio(appendGrant);
    const [lagging] = trio.followers as [SimMember];
    lagging.crash();
    const { engine } = trio.leader.running as NonNullable<SimMember["running"]>;
    for (let value = 1; value <= 40; value += 1) {
      engine.execute({ type: "put", key: "k", value }, value);
      trio.scheduler.run(20);
    }
    trio.scheduler.run(500);
    expect(replicaOf(trio.leader).status().firstIndex).toBeGreaterThan(20);
    lagging.start();
    trio.scheduler.run(3_000);
    expect(lagging.running?.engine.store.registers.get("k")).toBe(40);
    expect(replicaOf(lagging).status().firstIndex).toBeGreaterThan(20);
  });

  test("payloads of entries that a member had already are dropped", () => {
    const trio = new Trio(appendGrant);
    trio.network.conditions.duplicateChance = 1;
    const { engine } = trio.leader.running as NonNullable<SimMember["running"]>;
    for (let value = 1; value <= 20; value += 1) {
      engine.execute({ type: "put", key: "k", value }, value);
      trio.scheduler.run(20);
    }
    for (const { running } of trio.members) expect(running?.engine.payloadCount).toBe(0);
  });
});

describe("errors", () => {
  test("proposals without a leader end with the deadline, reads with a timeout", () => {
    const trio = new Trio();
    const [one, two] = trio.followers as [SimMember, SimMember];
    trio.leader.crash();
    one.crash();
    trio.scheduler.run(2_000);
    const replica = replicaOf(two);
    expect(replica.leader()).toBe(0n);
    const proposal = trio.outcome(8_000, (reply) => replica.proposeControlThen(version, reply));
    expect(proposal).toBe("4 context deadline exceeded");
    const read = trio.outcome<void>(8_000, (reply) => replica.readIndexThen(reply));
    expect(read).toBe("14 etcdserver: request timed out");
  });

  test("a read of a leader that steps down ends with the request timeout, not with the leadership", () => {
    const trio = new Trio();
    trio.cutOff(trio.leader);
    const replica = replicaOf(trio.leader);
    const read = trio.outcome<void>(8_000, (reply) => replica.readIndexThen(reply));
    expect(replica.leader()).toBe(0n);
    expect(read).toBe("14 etcdserver: request timed out");
  });

  test("it fails when the next leader is found, as in etcd, and not before", () => {
    const trio = new Trio();
    const { leader } = trio;
    trio.cutOff(leader);
    let outcome: string | undefined = "none";
    replicaOf(leader).readIndexThen({
      done: () => {
        outcome = "done";
      },
      failed: (error) => {
        outcome = error.message;
      },
    });
    trio.scheduler.run(3_000);
    expect([replicaOf(leader).leader(), outcome]).toEqual([0n, "none"]);
    trio.network.heal();
    trio.scheduler.run(2_000);
    expect(outcome).toBe("etcdserver: leader changed");
  });

  test("a read that a lost leader was asked for fails when the next one is elected", () => {
    const trio = new Trio();
    const [follower] = trio.followers as [SimMember];
    trio.cutOff(trio.leader);
    const read = trio.outcome<void>(4_000, (reply) => replicaOf(follower).readIndexThen(reply));
    expect(read).toBe("14 etcdserver: leader changed");
  });

  test("transfers are refused with etcd's reasons", () => {
    const trio = new Trio();
    const [follower] = trio.followers as [SimMember];
    const transfer = (member: SimMember, to: bigint, ms: number) =>
      trio.outcome<void>(ms, (reply) => replicaOf(member).transferLeaderThen(to, reply));
    expect(transfer(follower, follower.id, 10)).toBe("9 etcdserver: not leader");
    expect(transfer(trio.leader, 99n, 10)).toBe("9 etcdserver: bad leader transferee");
    expect(transfer(trio.leader, trio.leader.id, 10)).toBeUndefined();
  });

  test("a conf change that does not fit is refused", () => {
    const trio = new Trio();
    const change = { change: { transition: "auto", steps: [] }, context: null } as const;
    const propose = (reply: Reply<unknown>) =>
      replicaOf(trio.leader).proposeConfChangeThen({ ...change, change: { transition: "auto", steps: [] } }, reply);
    expect(trio.outcome(100, propose)).toMatch(/^9 .*does not fit/);
  });

  test("a stopped member answers everything that waits", () => {
    const trio = new Trio();
    const [follower] = trio.followers as [SimMember];
    const replica = replicaOf(follower);
    trio.cutOff(follower);
    const outcome = trio.outcome(0, (reply) => {
      replica.proposeControlThen(version, reply);
      replica.stop();
    });
    expect(outcome).toBe("14 etcdserver: server stopped");
  });

  test("the line of waiting proposals is bounded", () => {
    const clock = new MemberClock(new Scheduler(), 1);
    const queue = new ProposalQueue(clock, 1_000, () => "noLeader");
    const add = () =>
      queue.add({
        entry: { kind: 2, bytes: 1, payload: new Uint8Array(1), leavesJoint: false },
        refused: () => {},
        forwarded: () => {},
      });
    const taken = Array.from({ length: 1_001 }, add);
    expect(taken.lastIndexOf(true)).toBe(999);
    expect(taken[1_000]).toBe(false);
    expect(queue.waiting).toBe(1_000);
  });
});

describe("why a request timed out", () => {
  function watchWith(connected: boolean) {
    const scheduler = new Scheduler();
    const clock = new MemberClock(scheduler, 1);
    const transport = { connectedSince: () => connected } as unknown as PeerTransport;
    const watch = new LeadershipWatch(1n, clock, 500, transport, () => [1n, 2n, 3n]);
    return { scheduler, watch };
  }

  test("the leader changed while it waited", () => {
    const { scheduler, watch } = watchWith(true);
    scheduler.run(2_000);
    watch.note(2n);
    expect(watch.timeoutError(1_500).message).toMatch(/previous leader failure$/);
    expect(watch.timeoutError(900).message).toBe("etcdserver: request timed out");
    expect(watch.timeoutError(2_500).message).toBe("etcdserver: request timed out");
  });

  test("a proposal that never had a leader ends with the deadline, one that had with a timeout", () => {
    const { scheduler, watch } = watchWith(true);
    expect(watch.proposalTimeoutError(0).message).toBe("context deadline exceeded");
    watch.note(2n);
    scheduler.run(4_000);
    watch.note(0n);
    expect(watch.proposalTimeoutError(3_000).message).toBe("etcdserver: request timed out");
    expect(watch.proposalTimeoutError(4_500).message).toBe("context deadline exceeded");
  });

  test("who waits for a leader when the member stops is told so", () => {
    const { watch } = watchWith(true);
    const heard: string[] = [];
    const failed = ({ message }: { message: string }) => heard.push(message);
    watch.awaitLeader(2n, 7_000, { done: () => heard.push("done"), failed });
    watch.stop();
    watch.note(2n);
    watch.tell({ leader: 2n, term: 2, isLeader: false });
    expect(heard).toEqual(["etcdserver: server stopped"]);
  });

  test.each([1n, 2n])("the connection to leader %s, or its quorum, was lost", (leader) => {
    const { watch } = watchWith(false);
    watch.note(leader);
    expect(watch.timeoutError(5_000).message).toMatch(/connection lost$/);
  });
});
