// The lessor against a lease table that is a map, on a clock that the test moves.

import { beforeEach, describe, expect, it } from "vitest";
import type { Clock, Timer } from "../replica/clock.js";
import { replicaErrors } from "../replica/errors.js";
import { EXPIRY_INTERVAL_MS } from "./expiry.js";
import { type LeaseTable, Lessor, type LessorOptions } from "./lessor.js";

class FakeClock implements Clock {
  now = 0;
  readonly #timers = new Set<{ at: number; call: () => void; every: number | null }>();

  nowMs = () => this.now;
  after = (ms: number, call: () => void) => this.#add(ms, call, null);
  every = (ms: number, call: () => void) => this.#add(ms, call, ms);

  #add(ms: number, call: () => void, every: number | null): Timer {
    const timer = { at: this.now + ms, call, every };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /** Moves on; timers run in order, and what they resolve before the next. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      await settle();
      const next = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.now = Math.max(this.now, next.at);
      if (next.every === null) this.#timers.delete(next);
      else next.at = this.now + next.every;
      next.call();
    }
    this.now = until;
  }

  /** The process was stopped: what was due runs once, late. */
  async stall(ms: number): Promise<void> {
    this.now += ms;
    await this.pass(0);
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

class FakeTable implements LeaseTable {
  readonly calls: string[] = [];
  overdue: bigint[] = [];
  due: { id: bigint; remainingTtlSeconds: number }[] = [];
  renewals: ReturnType<LeaseTable["renew"]>["outcome"][] = [];
  asked: number[] = [];

  promote = (extendMs: number, checkpointMs: number | null) => this.#note(`promote ${extendMs} ${checkpointMs}`);
  demote = () => this.#note("demote");
  attend = () => this.#note("attend");
  expired = (max: number) => {
    this.asked.push(max);
    return this.overdue.splice(0, max);
  };
  checkpoints = (max: number) => this.due.splice(0, max);
  renew = () => {
    const outcome = this.renewals.shift() ?? "unknown";
    return { outcome, ttlSeconds: outcome === "renewed" ? 60 : 0 };
  };
  times = (id: bigint) => (id === 7n ? { grantedTtlSeconds: 60, expiresInMs: 12_999 } : null);
  keys = () => [Buffer.from("k")];
  renewed = (renewal: number, ttl: number, error: { message: string } | null) =>
    this.#note(`renewed ${renewal} ${ttl} ${error?.message ?? ""}`.trim());

  #note(call: string): void {
    this.calls.push(call);
  }
}

let clock: FakeClock;
let table: FakeTable;
let replica: {
  isLeader: boolean;
  leader: () => bigint;
  readIndex: () => Promise<void>;
  caughtUp: () => Promise<void>;
};
let revoked: bigint[];
let answerRevoke: (() => void)[];
let warnings: string[];

beforeEach(() => {
  clock = new FakeClock();
  table = new FakeTable();
  replica = { isLeader: true, leader: () => 1n, readIndex: async () => {}, caughtUp: async () => {} };
  revoked = [];
  answerRevoke = [];
  warnings = [];
});

function lessor(changes: Partial<LessorOptions> = {}): Lessor {
  return new Lessor({
    table,
    replica,
    clock,
    electionMs: 1_000,
    requestTimeoutMs: 7_000,
    checkpointIntervalMs: null,
    revoke: (id) => {
      revoked.push(id);
      return new Promise((resolve) => answerRevoke.push(resolve));
    },
    checkpoint: async () => {},
    forwarder: null,
    log: { warn: (message) => warnings.push(message) },
    ...changes,
  });
}

const ids = (count: number) => Array.from({ length: count }, (_, i) => BigInt(i + 1));

describe("expiry", () => {
  it("revokes at most 1000 leases a second, and no more than that are in flight", async () => {
    const it = lessor();
    it.leadershipChanged(true);
    table.overdue = ids(100_000);
    await clock.pass(EXPIRY_INTERVAL_MS);
    expect(revoked).toHaveLength(500);
    await clock.pass(10 * EXPIRY_INTERVAL_MS);
    expect(revoked).toHaveLength(500);
    for (const answer of answerRevoke.splice(0, 200)) answer();
    await clock.pass(EXPIRY_INTERVAL_MS);
    expect(table.asked.at(-1)).toBe(200);
    expect([revoked.length, it.expiredTotal]).toEqual([700, 200]);
  });

  it("goes on after a failed revocation, which it reports", async () => {
    const it = lessor({ revoke: () => Promise.reject(replicaErrors.timeout()) });
    it.leadershipChanged(true);
    table.overdue = [1n];
    await clock.pass(EXPIRY_INTERVAL_MS);
    await clock.pass(EXPIRY_INTERVAL_MS);
    expect(warnings).toEqual(["failed to revoke lease"]);
    expect([table.asked, it.expiredTotal]).toEqual([[500, 500], 0]);
  });

  it("runs on the leader only", async () => {
    const it = lessor({ checkpointIntervalMs: 300_000 });
    await clock.pass(5_000);
    expect(table.asked).toEqual([]);
    it.leadershipChanged(true);
    it.leadershipChanged(true);
    it.leadershipChanged(false);
    await clock.pass(5_000);
    expect(table.calls).toEqual(["promote 1000 300000", "demote"]);
    expect(table.asked).toEqual([]);
  });

  it("writes due checkpoints, one proposal at a time", async () => {
    const written: bigint[][] = [];
    const it = lessor({
      checkpointIntervalMs: 300_000,
      checkpoint: async (due) => void written.push(due.map(({ id }) => id)),
    });
    it.leadershipChanged(true);
    table.due = ids(1_001).map((id) => ({ id, remainingTtlSeconds: 5 }));
    await clock.pass(EXPIRY_INTERVAL_MS);
    await clock.pass(EXPIRY_INTERVAL_MS);
    expect(written.map((one) => one.length)).toEqual([1_000, 1]);
  });

  it("asks the others after a stall before it trusts that it leads", async () => {
    let reads = 0;
    replica.readIndex = async () => {
      reads += 1;
      if (reads === 1) throw replicaErrors.timeout();
    };
    lessor().leadershipChanged(true);
    table.overdue = [1n];
    await clock.stall(20_000);
    expect([reads, table.calls, revoked]).toEqual([1, ["promote 1000 null"], []]);
    expect(warnings).toEqual(["failed to confirm leadership for leases after a stall"]);
    await clock.stall(20_000);
    expect([reads, table.calls.at(-1), revoked]).toEqual([2, "attend", []]);
    await clock.pass(EXPIRY_INTERVAL_MS);
    expect(revoked).toEqual([1n]);
  });
});

describe("renewal", () => {
  it("answers what the data plane asked", async () => {
    const it = lessor();
    table.renewals = ["renewed", "unknown"];
    it.handleRenewal(1, 7n);
    await settle();
    it.handleRenewal(2, 8n);
    await settle();
    expect(table.calls).toEqual(["renewed 1 60", "renewed 2 0"]);
  });

  it("waits for the revocation of an expired lease, and makes a checkpointed one whole first", async () => {
    const written: unknown[] = [];
    const it = lessor({ checkpoint: async (due) => void written.push(due) });
    table.renewals = ["expired", "expired", "unknown"];
    it.handleRenewal(1, 7n);
    await clock.pass(60);
    expect(table.calls).toEqual([]);
    await clock.pass(60);
    expect(table.calls).toEqual(["renewed 1 0"]);
    table.renewals = ["checkpointed", "renewed"];
    it.handleRenewal(2, 7n);
    await settle();
    expect(table.calls.at(-1)).toBe("renewed 2 60");
    expect(written).toEqual([[{ id: 7n, remainingTtlSeconds: 0 }]]);
  });

  it("ends with the error when what is committed is not applied within a second", async () => {
    replica.readIndex = () => new Promise(() => {});
    lessor().handleRenewal(1, 7n);
    await clock.pass(999);
    expect(table.calls).toEqual([]);
    await clock.pass(1);
    const late = "etcdserver: request timed out, waiting for the applied index took too long";
    expect(table.calls).toEqual([`renewed 1 0 ${late}`]);
  });

  it("tells the time of a lease that there is without the others, and asks them before it says that there is none", async () => {
    replica.readIndex = () => new Promise(() => {});
    const it = lessor();
    expect((await it.timeToLive(7n, false))?.ttlSeconds).toBe(12);
    const none = it.timeToLive(8n, false).then(String, ({ message }) => message);
    await clock.pass(1_000);
    expect(await none).toBe("etcdserver: request timed out, waiting for the applied index took too long");
    replica.readIndex = async () => {};
    expect(await it.timeToLive(8n, false)).toBeNull();
  });

  it("fails without a leader after the request timeout, and asks a new leader when there is one", async () => {
    replica.isLeader = false;
    replica.leader = () => 0n;
    const renewed: bigint[] = [];
    const it = lessor({
      forwarder: {
        renew: async (leader) => {
          renewed.push(leader);
          if (renewed.length === 1) throw replicaErrors.notLeader();
          return 42;
        },
        timeToLive: async () => null,
      },
    });
    it.handleRenewal(1, 7n);
    await clock.pass(7_100);
    expect(table.calls).toEqual(["renewed 1 0 etcdserver: no leader"]);
    it.handleRenewal(2, 7n);
    await clock.pass(1_000);
    replica.leader = () => 9n;
    await clock.pass(200);
    expect([renewed, table.calls.at(-1)]).toEqual([[9n, 9n], "renewed 2 42"]);
  });
});

describe("time to live", () => {
  it("is in whole seconds, with keys when asked, and null for a lease that there is not", async () => {
    const it = lessor();
    const status = { ttlSeconds: 12, grantedTtlSeconds: 60 };
    expect(await it.timeToLive(7n, false)).toEqual({ ...status, keys: null });
    expect(await it.timeToLive(7n, true)).toEqual({ ...status, keys: [Buffer.from("k")] });
    expect(await it.timeToLive(8n, true)).toBe(null);
  });
});
