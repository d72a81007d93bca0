// What the data plane is told to answer by itself, what is left to be answered here, and that both are counted as one.

import { Registry } from "prom-client";
import { beforeEach, describe, expect, it } from "vitest";
import { Alarms, AlarmType } from "../cluster/alarms.js";
import { Membership } from "../cluster/membership.js";
import { Logger } from "../log/logger.js";
import type { ProbeCounts } from "../native/binding.js";
import { HealthEndpoints } from "./health.js";
import { HealthTally } from "./healthtally.js";
import { httpRequest } from "./message.js";
import { probes } from "./probes.js";

const OPEN = { cors: ["*"], hostWhitelist: ["*"] };

let alarms: Alarms;
let reads: string[];
let broken: Error | null;
/** The data plane's answers. */
let elsewhere: ProbeCounts;
let registry: Registry;
let endpoints: HealthEndpoints;
let lines: string[];

beforeEach(() => {
  alarms = new Alarms();
  reads = [];
  broken = null;
  elsewhere = { health: 0, livez: 0, readyz: 0 };
  registry = new Registry();
  lines = [];
  const log = new Logger({
    level: "info",
    format: "json",
    outputs: [{ write: (line: string) => void lines.push(line), close: () => {} }],
  });
  const read = (kind: string) => async () => {
    reads.push(kind);
    if (broken !== null) throw broken;
  };
  const context = {
    memberId: 1n,
    membership: new Membership(2n),
    alarms,
    raft: () => ({ term: 2, leader: 0n, committed: 4, applied: 4 }),
    serializableRead: read("store"),
    linearizable: read("quorum"),
  };
  endpoints = new HealthEndpoints(context, log, new HealthTally(registry, () => elsewhere));
});

const targets = (listener: string, rules = OPEN) =>
  probes(endpoints.goodAnswers(), rules)
    .filter((probe) => probe.listener === listener)
    .map(({ target }) => target);

function ask(url: string, failedRead: string | null = null) {
  const request = { method: "GET", url, headers: [], body: new Uint8Array(), role: "metrics", failedRead } as const;
  return endpoints.serve(httpRequest(request));
}

describe("what the data plane answers", () => {
  it("is asked for where clients and probes come in, not by members", () => {
    expect(targets("metrics")).toEqual(targets("client"));
    expect(targets("metrics")).toContain("/health");
    expect(targets("metrics")).toContain("/health?exclude=NOSPACE&serializable=true");
    expect(targets("metrics").slice(-2)).toEqual(["/livez", "/readyz"]);
    expect(targets("peer")).toEqual([]);
  });

  it("says what must hold", () => {
    const needs = Object.fromEntries(
      probes(endpoints.goodAnswers(), OPEN).map((probe) => [
        probe.target,
        [probe.needsLeader, probe.needsVote, probe.readsStore, probe.readsQuorum],
      ]),
    );
    expect(needs).toMatchObject({
      "/health": [true, false, false, true],
      "/health?serializable=true": [false, false, true, false],
      "/livez": [false, false, true, false],
      "/readyz": [false, true, true, true],
    });
  });

  it("is nothing that an alarm makes untrue", () => {
    alarms.activate({ memberId: 1n, type: AlarmType.NoSpace });
    expect(targets("metrics")).toEqual([
      "/health?exclude=NOSPACE",
      "/health?exclude=NOSPACE&serializable=false",
      "/health?exclude=NOSPACE&serializable=true",
      "/livez",
      "/readyz",
    ]);
    alarms.activate({ memberId: 1n, type: AlarmType.Corrupt });
    expect(targets("metrics")).toEqual(["/livez"]);
  });

  it.each([
    { cors: ["*"], hostWhitelist: ["good.example"] },
    { cors: ["http://good.example"], hostWhitelist: ["*"] },
  ])("is nothing of the client port where headers count: %j", (rules) => {
    expect(targets("client", rules)).toEqual([]);
    expect(targets("metrics", rules)).toEqual(targets("metrics"));
  });
});

describe("a request that has waited for a linearizable read in vain", () => {
  const reason = "etcdserver: request timed out";

  it("is answered with the reason and reads no more", async () => {
    expect(await ask("/health", reason)).toMatchObject({
      status: 503,
      body: `{"health":"false","reason":"RANGE ERROR:${reason}"}\n`,
    });
    expect(reads).toEqual([]);
    const ready = await ask("/readyz", reason);
    expect(ready?.status).toBe(503);
    expect(ready?.body).toContain(`[-]linearizable_read failed: ${reason}\n`);
    expect(reads).toEqual(["store"]);
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["/health error", "Health check error"]);
  });

  it("has passed the question whether there is a leader", async () => {
    expect((await ask("/health"))?.body).toContain("RAFT NO LEADER");
  });
});

describe("the counters", () => {
  const scraped = async () => (await registry.metrics()).split("\n").filter((line) => /^etcd_server_health/.test(line));

  it("begin with those that have no labels", async () => {
    expect(await scraped()).toEqual(["etcd_server_health_success 0", "etcd_server_health_failures 0"]);
  });

  it("add up what was answered here and by the data plane", async () => {
    elsewhere = { health: 5, livez: 7, readyz: 0 };
    await ask("/health?serializable=true");
    await ask("/livez?verbose");
    await ask("/readyz/non_learner");
    await ask("/health");
    expect(await scraped()).toEqual([
      "etcd_server_health_success 6",
      "etcd_server_health_failures 1",
      'etcd_server_healthcheck{type="livez",name="serializable_read"} 1',
      'etcd_server_healthcheck{type="readyz",name="non_learner"} 1',
      'etcd_server_healthchecks_total{type="livez",name="serializable_read",status="success"} 8',
      'etcd_server_healthchecks_total{type="readyz",name="non_learner",status="success"} 1',
    ]);
    elsewhere = { ...elsewhere, readyz: 2 };
    const totals = (await scraped()).filter((line) => /checks_total.*readyz/.test(line));
    expect(totals.map((line) => /name="(\w+)".* (\d+)$/.exec(line)?.slice(1))).toEqual([
      ["data_corruption", "2"],
      ["serializable_read", "2"],
      ["linearizable_read", "2"],
      ["non_learner", "3"],
    ]);
  });

  it("know the last result, whoever had it", async () => {
    const state = async () => (await scraped()).filter((line) => /^etcd_server_healthcheck\{/.test(line));
    elsewhere = { ...elsewhere, livez: 3 };
    broken = new Error("boom");
    await ask("/livez");
    expect(await state()).toEqual(['etcd_server_healthcheck{type="livez",name="serializable_read"} 0']);
    expect(await scraped()).toContain(
      'etcd_server_healthchecks_total{type="livez",name="serializable_read",status="error"} 1',
    );
    elsewhere = { ...elsewhere, livez: 4 };
    expect(await state()).toEqual(['etcd_server_healthcheck{type="livez",name="serializable_read"} 1']);
  });
});
