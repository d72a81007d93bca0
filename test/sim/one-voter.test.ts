// One voter alone, on the fake data plane: bootstrap, writes with and without the grant, control entries, restarts.

import { describe, expect, test } from "vitest";
import { limits } from "../../src/limits.js";
import { type MetaWrite, OpKind } from "../../src/native/binding.js";
import { type ControlCommand, decodeJson } from "../../src/replica/commands.js";
import type { LogCompaction } from "../../src/replica/compaction.js";
import type { Reply } from "../../src/replica/pending.js";
import { Replica } from "../../src/replica/replica.js";
import { handlersThat, membership } from "./controlplane.js";
import { FakeDisk } from "./fakes/disk.js";
import { FakeEngine } from "./fakes/engine.js";
import { encodeOperation } from "./fakes/store.js";
import { Random } from "./random.js";
import { MemberClock, Scheduler } from "./scheduler.js";

class Alone {
  readonly scheduler = new Scheduler();
  readonly disk = new FakeDisk();
  readonly random = new Random(7);
  readonly answers = new Map<number, number | null>();
  readonly commands: ControlCommand[] = [];
  /** What each command writes. */
  readonly writes: MetaWrite[] = [];
  readonly compactions: LogCompaction[] = [];
  clock = new MemberClock(this.scheduler, 1);
  engine!: FakeEngine;
  replica!: Replica;
  #runs = 0;

  constructor(private readonly appendGrant: boolean) {
    this.boot();
  }

  boot(): void {
    this.#runs += 1;
    this.clock = new MemberClock(this.scheduler, 1);
    const timing = { syncMs: () => 1, applyMs: () => 0.1, wakeMs: () => 0.05, marksMs: () => 1, flushEveryMs: 100 };
    this.engine = new FakeEngine(
      this.disk,
      this.clock,
      timing,
      {
        wake: () => this.replica.wake(),
        send: (message) => {
          throw new Error(`a sole voter sent ${message.type}`);
        },
        written: () => {},
        applied: () => {},
        answered: (token, outcome) => this.answers.set(token, outcome),
        fast: (what) => {
          throw new Error(`${what} of a sole voter`);
        },
      },
      this.#runs,
      1n,
    );
    const handlers = handlersThat((command) => {
      this.commands.push(command);
      return command.type;
    }, this.writes);
    this.replica = new Replica(this.engine, this.engine.recovered(), {
      id: 1n,
      heartbeatMs: 100,
      electionMs: 1000,
      requestTimeoutMs: 7_000,
      preVote: true,
      appendGrant: this.appendGrant,
      logRetention: { snapshotCount: 150, catchUpEntries: 100, bytesMax: Number.POSITIVE_INFINITY },
      initialMembers: [{ id: 1n, context: { name: "alone" } }],
      handlers,
      membership,
      transport: null,
      clock: this.clock,
      random: (below) => this.random.below(below),
      otherEvent: (event) => {
        throw new Error(`unexpected ${event.type}`);
      },
      snapshotInstalled: () => {
        throw new Error("a snapshot without peers");
      },
      snapshotApplied: () => {
        throw new Error("a snapshot without peers");
      },
      logCompacted: (compaction) => this.compactions.push(compaction),
    });
    this.replica.start();
  }

  crash(): void {
    this.replica.stop();
    this.clock.kill();
    this.disk.crash(this.random);
  }

  /** Starts, lets 50 ms pass, and returns what came of it. */
  outcome<T>(start: (reply: Reply<T>) => void): T {
    let got: { value: T } | { error: Error } | null = null;
    start({
      done: (value) => {
        got = { value };
      },
      failed: (error) => {
        got = { error };
      },
    });
    this.scheduler.run(50);
    const settled = got as { value: T } | { error: Error } | null;
    if (settled === null) throw new Error("no answer");
    if ("error" in settled) throw settled.error;
    return settled.value;
  }
}

describe.each([true, false])("one voter, append grant %s", (appendGrant) => {
  test("leads within a few syncs of its first start, in term 2", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    expect(alone.replica.isLeader).toBe(true);
    expect(alone.replica.term()).toBe(2);
    expect(alone.replica.leader()).toBe(1n);
    expect(alone.engine.serving).toEqual({ term: 2, hasLeader: true, isLearner: false });
  });

  test("answers requests that came before there was a leader", () => {
    const alone = new Alone(appendGrant);
    alone.engine.execute({ type: "put", key: "a", value: 5 }, 1);
    alone.engine.read({ type: "get", key: "a" }, 2);
    alone.scheduler.run(50);
    expect(alone.answers.get(1)).toBe(1);
    expect(alone.answers.has(2)).toBe(true);
    alone.engine.read({ type: "get", key: "a" }, 3);
    alone.scheduler.run(50);
    expect(alone.answers.get(3)).toBe(5);
  });

  test("applies control commands once, and tells the caller", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    const command: ControlCommand = { type: "clusterVersion", version: "3.7.0" };
    const result = alone.outcome<unknown>((reply) => alone.replica.proposeControlThen(command, reply));
    expect(result).toBe("clusterVersion");
    expect(alone.commands).toEqual([command]);
  });

  test("tells the caller of a control command when the data plane has what it wrote", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    alone.writes.push({ table: "auth", key: new Uint8Array([1]), value: new Uint8Array([1]) });
    const apply = alone.engine.controlApplied.bind(alone.engine);
    let isStored = false;
    alone.engine.controlApplied = (index, writes) => {
      alone.clock.after(10, () => {
        isStored = true;
        apply(index, writes);
      });
    };
    const command: ControlCommand = { type: "clusterVersion", version: "3.7.0" };
    const wasStored = alone.outcome<boolean>(({ done, failed }) =>
      alone.replica.proposeControlThen(command, { done: () => done(isStored), failed }),
    );
    expect(wasStored).toBe(true);
  });

  test("keeps bigints of commands through the log", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    const command: ControlCommand = {
      type: "memberAttributes",
      id: 2n ** 63n + 1n,
      name: "x",
      clientUrls: [],
    };
    alone.outcome<unknown>((reply) => alone.replica.proposeControlThen(command, reply));
    expect(alone.commands).toEqual([command]);
  });

  test("keeps every acknowledged write through 50 crashes", () => {
    const alone = new Alone(appendGrant);
    let value = 0;
    for (let round = 0; round < 50; round += 1) {
      alone.scheduler.run(30);
      for (let i = 0; i < 20; i += 1) {
        value += 1;
        alone.engine.execute({ type: "put", key: "k", value }, value);
        alone.scheduler.run(alone.random.between(0, 2));
      }
      const acknowledged = Math.max(0, ...[...alone.answers.keys()].filter((token) => token < 5000));
      alone.crash();
      alone.boot();
      alone.scheduler.run(100);
      alone.engine.read({ type: "get", key: "k" }, 5000 + round);
      alone.scheduler.run(100);
      expect(alone.answers.get(5000 + round)).toBeGreaterThanOrEqual(acknowledged);
    }
    expect(value).toBe(1000);
  });

  test("adds a learner: the change is in force when the caller hears of it", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    const run = () =>
      alone.outcome<unknown>((reply) =>
        alone.replica.proposeConfChangeThen(
          { change: { transition: "auto", steps: [{ type: "addVoter", id: 1n }] }, context: null },
          reply,
        ),
      );
    expect(run()).toMatchObject({ voters: [1n], learners: [] });
  });

  test("readIndex and proposeOp answer by promise", async () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    const read = alone.replica.readIndex();
    alone.scheduler.run(50);
    await expect(read).resolves.toBeUndefined();
    const op = encodeOperation({ type: "put", key: "a", value: 1 });
    const put = alone.replica.proposeOp(OpKind.Put, op, "internal");
    alone.scheduler.run(50);
    expect(decodeJson(await put)).toBe(1);
    alone.replica.stop();
    await expect(alone.replica.readIndex()).rejects.toThrow("etcdserver: server stopped");
    await expect(
      alone.replica.proposeOp(OpKind.Put, encodeOperation({ type: "put", key: "a", value: 1 }), "internal"),
    ).rejects.toThrow("etcdserver: server stopped");
  });

  test("appliedWithin says whether an index is applied in time, and keeps nothing of who gave up", async () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(50);
    const at = alone.replica.appliedIndex;
    await expect(alone.replica.appliedWithin(at, 0)).resolves.toBe(true);
    const soon = alone.replica.appliedWithin(at + 1, 100);
    const later = alone.replica.appliedWithin(at + 2, 100);
    void alone.replica.proposeOp(OpKind.Put, encodeOperation({ type: "put", key: "a", value: 1 }), "internal");
    alone.scheduler.run(99);
    await expect(soon).resolves.toBe(true);
    alone.scheduler.run(2);
    await expect(later).resolves.toBe(false);
    // As many again as may wait: those that gave up have left their places.
    const waiting = Array.from({ length: limits.pendingRequestsMax }, () => alone.replica.appliedWithin(at + 9, 10));
    await expect(alone.replica.appliedWithin(at + 9, 10)).resolves.toBe(false);
    alone.scheduler.run(11);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([false]));
    const stopped = alone.replica.appliedWithin(at + 9, 100);
    alone.replica.stop();
    await expect(stopped).resolves.toBe(false);
    await expect(alone.replica.appliedWithin(at + 9, 100)).resolves.toBe(false);
  });

  test("compacts the log behind the flushed store", () => {
    const alone = new Alone(appendGrant);
    alone.scheduler.run(20);
    for (let i = 1; i <= 1500; i += 1) {
      alone.engine.execute({ type: "put", key: "k", value: i }, i);
      alone.scheduler.run(2);
    }
    alone.scheduler.run(500);
    const { firstIndex, lastIndex } = alone.replica.status();
    expect(lastIndex - firstIndex).toBeLessThan(300);
    expect(lastIndex - firstIndex).toBeGreaterThanOrEqual(99);
    expect(alone.compactions.length).toBeGreaterThan(3);
    for (const { snapshotIndex, previousSnapshotIndex, upTo, forced } of alone.compactions) {
      expect(snapshotIndex - previousSnapshotIndex).toBeGreaterThanOrEqual(150);
      expect(upTo).toBe(snapshotIndex - 100);
      expect(forced).toBe(false);
    }
    alone.crash();
    alone.boot();
    alone.scheduler.run(50);
    expect(alone.replica.isLeader).toBe(true);
    alone.engine.read({ type: "get", key: "k" }, 9999);
    alone.scheduler.run(50);
    expect(alone.answers.get(9999)).toBe(1500);
  });
});
