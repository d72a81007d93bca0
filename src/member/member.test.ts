// Whole members with the real addon, in this process: start, services, restart, what refuses to start.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import type { NativeEvent } from "../native/binding.js";
import { loadBinding } from "../native/load.js";
import { grpc } from "../proto/index.js";
import { authService, clusterService, healthService, kvService, maintenanceService } from "../services/definitions.js";
import { Bench, type Place } from "./tests/kit.js";

const QUOTA_BYTES = 4 << 20;
// The sums of etcd 3.7.3 after the same requests, as `etcdctl endpoint hashkv` shows them.
const FIRST_HASH = 3560048439;
const COMPACTED_HASH = 2985412826;

const bench = new Bench();
afterEach(() => bench.close());

const create = (where: Place, more: string[] = []) => bench.create(() => more, where).member;
const started = async (where: Place, more: string[] = []) => (await bench.start(() => more, where)).member;
const connect = ({ client }: Place) => bench.connect(client);
const messages = () => bench.messages();

describe("a member", () => {
  it("serves, keeps what it acknowledged over a restart, and has the same ids", async () => {
    const where = await bench.place();
    const first = await started(where);
    const call = connect(where);
    const put = await call(kvService.put, { key: Buffer.from("a"), value: Buffer.from("b") });
    const before = await call(maintenanceService.status, {});
    await first.stop();

    const again = await started(where, ["--initial-cluster-token=ignored-now"]);
    const range = await connect(where)(kvService.range, { key: Buffer.from("a") });
    expect(range.kvs?.[0]?.value).toEqual(Buffer.from("b"));
    expect(range.header?.memberId).toEqual(put.header?.memberId);
    expect(range.header?.clusterId).toEqual(before.header?.clusterId);
    expect(messages()).toContain("server has already been initialized");
    await again.stop();
  });

  it("may be stopped at any moment of its start, and starts again", async () => {
    const where = await bench.place();
    for (const delayMs of [0, 1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120]) {
      const member = create(where);
      const start = member.start().catch((error: Error) => error.message);
      await setTimeout(delayMs);
      await member.stop();
      expect([undefined, "the member was stopped while it started"]).toContain(await start);
    }
    await started(where);
    await connect(where)(kvService.put, { key: Buffer.from("a"), value: Buffer.from("b") });
  });

  it("lets clients wait, connected, until it serves", async () => {
    const where = await bench.place();
    const member = create(where);
    await member.start();
    // Asked before there is a leader.
    const range = connect(where)(kvService.range, { key: Buffer.from("a") });
    const version = fetch(`http://127.0.0.1:${where.client}/version`);
    expect((await range).header?.raftTerm?.toNumber()).toBe(2);
    expect((await version).status).toBe(200);
  });

  it("serves nobody as long as there is no quorum", async () => {
    const where = await bench.place();
    const other = `m2=http://127.0.0.1:${where.other}`;
    const member = create(where, [`--initial-cluster=m1=http://127.0.0.1:${where.peer},${other}`]);
    await member.start();
    const asked = [
      connect(where)(kvService.range, { key: Buffer.from("a"), serializable: true }),
      fetch(`http://127.0.0.1:${where.client}/health`),
    ];
    const waits = Symbol("waits");
    expect(await Promise.race([...asked, setTimeout(1_500, waits)])).toBe(waits);
    await member.stop();
    await expect(member.ready).rejects.toThrow("the member was stopped while it started");
    for (const answer of await Promise.allSettled(asked)) expect(answer.status).toBe("rejected");
    expect(messages()).not.toContain("ready to serve client requests");
  });

  it("answers Status, MemberList and Alarm with every field", async () => {
    const where = await bench.place();
    await started(where);
    const call = connect(where);
    const given = await call(maintenanceService.status, {});
    expect(given).toMatchObject({ version: "3.7.3", storageVersion: "3.7.0", isLearner: false, errors: [] });
    expect(given.leader).toEqual(given.header?.memberId);
    expect(given.dbSizeQuota?.toNumber()).toBe(2 * 1024 ** 3);
    expect(given.dbSize?.toNumber()).toBeGreaterThan(0);
    expect(given.raftTerm?.toNumber()).toBe(2);
    expect(given.downgradeInfo).toMatchObject({ enabled: false });

    const unapplied = async () => {
      const { raftIndex, raftAppliedIndex } = await call(maintenanceService.status, {});
      return Number(raftIndex) - Number(raftAppliedIndex);
    };
    // The entry that let clients in may be on its way yet.
    await expect.poll(unapplied).toBe(0);

    const list = await call(clusterService.memberList, { linearizable: true });
    expect(list.header?.revision?.toNumber()).toBe(0);
    expect(list.members).toMatchObject([
      {
        name: "m1",
        peerURLs: [`http://127.0.0.1:${where.peer}`],
        clientURLs: [`http://127.0.0.1:${where.client}`],
        isLearner: false,
      },
    ]);
    const alarms = await call(maintenanceService.alarm, {});
    expect(alarms.alarms).toEqual([]);
  });

  it("sets and clears alarms, over a restart too", async () => {
    const where = await bench.place();
    const first = await started(where);
    const memberID = (await connect(where)(maintenanceService.status, {})).header?.memberId;
    await connect(where)(maintenanceService.alarm, { action: 1, memberID, alarm: 2 });
    await first.stop();
    await started(where);
    const call = connect(where);
    const set = await call(maintenanceService.alarm, {});
    expect(set.alarms).toMatchObject([{ memberID, alarm: 2 }]);
    expect((await call(maintenanceService.status, {})).errors).toEqual([`memberID:${memberID}  alarm:CORRUPT`]);
    expect(await (await fetch(`http://127.0.0.1:${where.client}/health`)).text()).toBe(
      '{"health":"false","reason":"ALARM CORRUPT"}\n',
    );
    await expect(call(kvService.put, { key: Buffer.from("a") })).rejects.toMatchObject({ code: status.DATA_LOSS });
    await call(maintenanceService.alarm, { action: 2, memberID, alarm: 2 });
    await call(kvService.put, { key: Buffer.from("a") });
    expect((await call(maintenanceService.alarm, {})).alarms).toEqual([]);
    expect((await fetch(`http://127.0.0.1:${where.client}/health`)).status).toBe(200);
  });

  it("raises NOSPACE when the quota refuses a write, and serves again once it has room and is disarmed", async () => {
    const where = await bench.place();
    await started(where, [`--quota-backend-bytes=${QUOTA_BYTES}`]);
    const call = connect(where);
    const put = (key: number) =>
      call(kvService.put, { key: Buffer.from(`k${key}`), value: Buffer.alloc(QUOTA_BYTES / 4) });
    const refused = { code: status.RESOURCE_EXHAUSTED, details: "etcdserver: mvcc: database space exceeded" };
    // The database grows with its commits, so how many are let in is not said.
    const fill = async () => {
      for (let key = 0; ; key++) await put(key);
    };
    await expect(fill()).rejects.toMatchObject(refused);
    const alarms = async () => (await call(maintenanceService.alarm, {})).alarms ?? [];
    await expect.poll(alarms, { timeout: 10_000 }).toHaveLength(1);
    const [set] = await alarms();
    expect(set).toMatchObject({ alarm: 1 });
    expect(messages()).toContain("message exceeded backend quota; raising alarm");
    expect((await fetch(`http://127.0.0.1:${where.client}/health`)).status).toBe(503);
    await expect(call(kvService.put, { key: Buffer.from("small") })).rejects.toMatchObject(refused);

    const deleted = await call(kvService.deleteRange, { key: Buffer.from("k"), rangeEnd: Buffer.from("l") });
    await call(kvService.compact, { revision: deleted.header?.revision });
    await call(maintenanceService.defragment, {});
    expect(messages()).toContain("finished defragmenting directory");
    await call(maintenanceService.alarm, { action: 2, memberID: set?.memberID, alarm: 1 });
    await call(kvService.put, { key: Buffer.from("small") });
    expect(await alarms()).toEqual([]);
  });

  it("answers HashKV as etcd does on the same history, and refuses revisions that are not there", async () => {
    const where = await bench.place();
    await started(where);
    const call = connect(where);
    const put = (key: string, value: string) =>
      call(kvService.put, { key: Buffer.from(key), value: Buffer.from(value) });
    const del = (key: string) => call(kvService.deleteRange, { key: Buffer.from(key) });
    await put("a", "1\n");
    const first = await call(maintenanceService.hashKv, {});
    expect(first).toMatchObject({ hash: FIRST_HASH });
    expect(first.compactRevision?.toNumber()).toBe(-1);
    await put("b", "2\n");
    await del("a");
    await put("a", "3\n");
    await call(kvService.compact, { revision: first.header?.revision?.add(2), physical: true });
    const hashed = await call(maintenanceService.hashKv, { revision: first.header?.revision?.add(3) });
    expect(hashed.compactRevision?.toNumber()).toBe(4);
    expect(hashed.hashRevision?.toNumber()).toBe(5);
    expect(hashed.hash).toBe(COMPACTED_HASH);
    expect((await call(maintenanceService.hash, {})).hash).toBe(hashed.hash);
    const code = status.OUT_OF_RANGE;
    await expect(call(maintenanceService.hashKv, { revision: 3 })).rejects.toMatchObject({
      code,
      details: "etcdserver: mvcc: required revision has been compacted",
    });
    await expect(call(maintenanceService.hashKv, { revision: 9 })).rejects.toMatchObject({
      code,
      details: "etcdserver: mvcc: required revision is a future revision",
    });
    const metrics = await (await fetch(`http://127.0.0.1:${where.client}/metrics`)).text();
    for (const line of [
      "etcd_mvcc_put_total 3",
      "etcd_mvcc_delete_total 1",
      "etcd_mvcc_hash_rev_duration_seconds_count 3",
    ]) {
      expect(metrics.split("\n")).toContain(line);
    }
  });

  it("answers gRPC health, and says by name what it does not have", async () => {
    const where = await bench.place();
    await started(where);
    const call = connect(where);
    const { SERVING } = grpc.health.v1.HealthCheckResponse.ServingStatus;
    expect(await call(healthService.check, {})).toMatchObject({ status: SERVING });
    expect(await call(healthService.list, {})).toMatchObject({ statuses: { "": { status: SERVING } } });
    await expect(call(healthService.check, { service: "other" })).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: "unknown service",
    });
    await expect(call(maintenanceService.downgrade, {})).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: "netcd does not have etcdserverpb.Maintenance/Downgrade yet",
    });
  });

  it("answers of users and roles what is true while there are none", async () => {
    const where = await bench.place();
    await started(where);
    const call = connect(where);
    expect(await call(authService.authStatus, {})).toMatchObject({ enabled: false });
    await call(authService.authDisable, {});
    expect(await call(authService.userList, {})).toMatchObject({ users: [] });
    expect(await call(authService.roleList, {})).toMatchObject({ roles: [] });
    const refusals = [
      [call(authService.authenticate, { name: "a", password: "b" }), "etcdserver: authentication is not enabled"],
      [call(authService.userGet, { name: "a" }), "etcdserver: user name not found"],
      [call(authService.roleGet, { role: "a" }), "etcdserver: role name not found"],
    ] as const;
    for (const [refused, details] of refusals) {
      await expect(refused).rejects.toMatchObject({ code: status.FAILED_PRECONDITION, details });
    }
  });

  it("answers HTTP on the client, peer and metrics URLs", async () => {
    const where = await bench.place();
    const metrics = where.other;
    await started(where, [`--listen-metrics-urls=http://127.0.0.1:${metrics}`]);
    const get = async (port: number, path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return { code: response.status, text: await response.text() };
    };
    const version = '{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}';
    // As with etcd, a member serves before the cluster's version is decided.
    await expect.poll(() => get(where.client, "/version")).toEqual({ code: 200, text: version });
    expect(await get(where.peer, "/version")).toEqual({ code: 200, text: version });
    expect(await get(metrics, "/health")).toEqual({ code: 200, text: '{"health":"true","reason":""}' });
    expect((await get(metrics, "/version")).code).toBe(404);
    expect((await get(where.peer, "/health")).code).toBe(404);
    expect(await get(where.client, "/readyz")).toEqual({ code: 200, text: "ok\n" });
    const scrape = (await get(metrics, "/metrics")).text;
    for (const name of ["etcd_server_is_leader 1", "etcd_mvcc_db_total_size_in_bytes", "process_open_fds"]) {
      expect(scrape).toContain(name);
    }
    const names = [...scrape.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]);
    expect(new Set(names).size).toBe(names.length);
  });

  it("is not asked for good answers to probes, and counts them", async () => {
    const urls: string[] = [];
    const binding = loadBinding();
    class Watched extends binding.NativeEngine {
      override drain(): NativeEvent[] {
        const events = super.drain();
        for (const event of events) if (event.type === "http") urls.push(event.url);
        return events;
      }
    }
    const watched = new Bench({ ...binding, NativeEngine: Watched });
    onTestFinished(() => watched.close());
    const { place: where } = await watched.start(({ other }) => [`--listen-metrics-urls=http://127.0.0.1:${other}`]);
    const metrics = where.other;
    const get = (port: number, path: string) => fetch(`http://127.0.0.1:${port}${path}`);
    const statusOf = async (port: number, path: string) => (await get(port, path)).status;
    for (const port of [where.client, metrics]) {
      for (const path of ["/health", "/health?exclude=NOSPACE&serializable=true", "/livez", "/readyz"]) {
        expect(await statusOf(port, path)).toBe(200);
      }
    }
    for (const port of [where.client, where.peer]) expect(await statusOf(port, "/version")).toBe(200);
    const withCors = await get(where.client, "/health");
    expect(withCors.headers.get("access-control-allow-origin")).toBe("*");
    expect((await get(metrics, "/health")).headers.get("access-control-allow-origin")).toBeNull();
    expect(urls).toEqual([]);
    expect(await statusOf(metrics, "/readyz?verbose")).toBe(200);
    const scrape = await (await get(metrics, "/metrics")).text();
    expect(urls).toEqual(["/readyz?verbose", "/metrics"]);
    for (const line of [
      "etcd_server_health_success 6",
      'etcd_server_healthcheck{type="livez",name="serializable_read"} 1',
      'etcd_server_healthchecks_total{type="livez",name="serializable_read",status="success"} 2',
      'etcd_server_healthchecks_total{type="readyz",name="linearizable_read",status="success"} 3',
    ]) {
      expect(scrape.split("\n")).toContain(line);
    }
  });

  it("logs the lines that tools wait for, in etcd's order", async () => {
    const where = await bench.place();
    const member = await started(where);
    await member.stop();
    const wanted = [
      "Initialize and start etcd server",
      "configuring peer listeners",
      "configuring client listeners",
      "starting an etcd server",
      "starting local member",
      "now serving peer/client/metrics",
      "published local member to cluster through raft",
      "ready to serve client requests",
      "serving client traffic insecurely; this is strongly discouraged!",
      "closing etcd server",
      "skipped leadership transfer for single voting member cluster",
      "closed etcd server",
    ];
    expect(messages().filter((message) => wanted.includes(String(message)))).toEqual(wanted);
    expect(messages().filter((message) => /elected leader/.test(String(message)))).toHaveLength(1);
  });
});

describe("a member does not start", () => {
  it("on a port that is taken", async () => {
    const where = await bench.place();
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(where.client, "127.0.0.1", resolve));
    const refusal = `listen tcp 127.0.0.1:${where.client}: bind: address already in use`;
    await expect(create(where).start()).rejects.toThrow(refusal);
    await new Promise((resolve) => blocker.close(resolve));
  });

  it("without its name in the cluster, or with other URLs", async () => {
    const where = await bench.place();
    await expect(create(where, ["--initial-cluster=x=http://127.0.0.1:1"]).start()).rejects.toThrow(
      `couldn't find local name "m1" in the initial cluster configuration`,
    );
    await expect(create(where, ["--initial-cluster=m1=http://127.0.0.1:1"]).start()).rejects.toThrow(
      /^--initial-cluster has m1=http:\/\/127.0.0.1:1 but missing from --initial-advertise-peer-urls=/,
    );
  });

  it("in a directory that is a file, or with a damaged identity", async () => {
    const where = await bench.place();
    const { folder } = where;
    writeFileSync(join(folder, "data"), "");
    const path = join(folder, "data");
    await expect(create(where).start()).rejects.toThrow(`readdirent ${path}: not a directory`);
    await expect(create(where, [`--data-dir=${path}/below`]).start()).rejects.toThrow(
      `open ${path}/below: not a directory`,
    );
    rmSync(join(folder, "data"));
    mkdirSync(join(folder, "data/member"), { recursive: true });
    writeFileSync(join(folder, "data/member/identity.json"), "{}");
    await expect(create(where).start()).rejects.toThrow("is damaged or of a newer version");
  });
});
