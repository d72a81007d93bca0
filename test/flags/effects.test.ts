// Flags whose effect no other test shows: each is changed, and the difference is seen.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import {
  authService,
  clusterService,
  kvService,
  leaseService,
  maintenanceService,
} from "../../src/services/definitions.js";
import { Bench, type Place } from "./kit.js";

const bench = new Bench();
afterEach(() => bench.close());

const bytes = (text: string) => Buffer.from(text);
const put = (size: number) => ({ key: bytes("k"), value: Buffer.alloc(size) });
const txnOf = (count: number) => ({
  success: Array.from({ length: count }, (_, nth) => ({ requestPut: { key: bytes(`k${nth}`), value: bytes("v") } })),
});

describe("where things are", () => {
  it("--data-dir and --wal-dir", async () => {
    const { place, call } = await bench.start(({ folder }) => [`--wal-dir=${folder}/wal`]);
    await call(kvService.put, put(1));
    expect(readdirSync(join(place.folder, "wal")).length).toBeGreaterThan(0);
    expect(existsSync(join(place.folder, "data/member/wal"))).toBe(false);
    expect(existsSync(join(place.folder, "data/member/store.mdb"))).toBe(true);
  });

  it("--listen-client-http-urls takes HTTP away from the client URLs", async () => {
    const { get, call, place } = await bench.start(({ other }) => [
      `--listen-client-http-urls=http://127.0.0.1:${other}`,
    ]);
    await call(kvService.put, put(1));
    expect((await get("/version", place.other)).status).toBe(200);
    await expect(get("/version")).rejects.toThrow();
  });

  it("--name, --initial-cluster-token and the URLs that are told", async () => {
    // The same URLs each time: they make ids as well.
    const where = await bench.place();
    const clusterWith = async (token: string, data: string) => {
      const told = (place: Place) => [
        "--name=other",
        `--data-dir=${place.folder}/${data}`,
        `--initial-cluster=other=http://127.0.0.1:${place.peer}`,
        `--initial-cluster-token=${token}`,
        `--advertise-client-urls=http://127.0.0.1:${place.client},http://other.example:1`,
      ];
      const { call, place, member } = await bench.start(told, where);
      const { header, members } = await call(clusterService.memberList, {});
      expect(members?.[0]).toMatchObject({
        name: "other",
        peerURLs: [`http://127.0.0.1:${place.peer}`],
        clientURLs: [`http://127.0.0.1:${place.client}`, "http://other.example:1"],
      });
      await member.stop();
      return String(header?.clusterId);
    };
    const first = await clusterWith("a", "first");
    expect(await clusterWith("a", "second")).toBe(first);
    expect(await clusterWith("b", "third")).not.toBe(first);
  });
});

describe("what is allowed", () => {
  it("--max-txn-ops and --max-request-bytes", async () => {
    const { call } = await bench.start(() => ["--max-txn-ops=2", "--max-request-bytes=1000"]);
    await call(kvService.txn, txnOf(2));
    await expect(call(kvService.txn, txnOf(3))).rejects.toThrow("etcdserver: too many operations in txn request");
    await call(kvService.put, put(900));
    await expect(call(kvService.put, put(1100))).rejects.toThrow("etcdserver: request is too large");
  });

  it("--max-learners, also at a restart", async () => {
    const learner = { isLearner: true, peerURLs: ["http://127.0.0.1:1"] };
    const refused = await bench.start(() => ["--max-learners=0"]);
    await expect(refused.call(clusterService.memberAdd, learner)).rejects.toThrow(
      "too many learner members in cluster",
    );
    const taken = await bench.start(() => ["--max-learners=1"]);
    await taken.call(clusterService.memberAdd, learner);
    await taken.member.stop();
    const again = bench.launch(() => ["--max-learners=0"], taken.place);
    await expect(again).rejects.toThrow("membership: too many learner members in cluster");
    await expect(bench.launch(() => ["--max-learners=-1"])).rejects.toThrow("membership: too many learner");
  });

  it("--max-concurrent-streams=0 is no limit", async () => {
    const { call } = await bench.start(() => ["--max-concurrent-streams=0"]);
    await Promise.all(Array.from({ length: 20 }, () => call(kvService.put, put(1))));
  });

  it("--cors", async () => {
    const { get } = await bench.start(() => ["--cors=http://good.example:1"]);
    const allowed = async (origin: string) =>
      (await get("/version", undefined, { Origin: origin })).headers.get("access-control-allow-origin");
    expect(await allowed("http://good.example:1")).toBe("http://good.example:1");
    expect(await allowed("http://evil.example:1")).toBeNull();
  });

  it("--host-whitelist", async () => {
    const closed = await bench.start(() => ["--host-whitelist=good.example"]);
    expect((await closed.get("/version")).status).toBe(421);
    const open = await bench.start(() => ["--host-whitelist=good.example,127.0.0.1"]);
    expect((await open.get("/version")).status).toBe(200);
  });
});

describe("what is measured", () => {
  it("--metrics=extensive", async () => {
    const scrape = async (metrics: string) => {
      const { call, get } = await bench.start(() => [`--metrics=${metrics}`]);
      await call(kvService.put, put(1));
      return (await get("/metrics")).text();
    };
    const name = "grpc_server_handling_seconds_bucket";
    expect(await scrape("extensive")).toContain(name);
    expect(await scrape("basic")).not.toContain(name);
  });
});

describe("what is written down of requests", () => {
  const linesOf = (path: string) =>
    readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const putOf = (key: string) => ({ key: bytes(key), value: bytes("secret") });

  it("--audit-log-path and --audit-policy-file", async () => {
    const { call, member, place, get } = await bench.start(({ folder }) => [`--audit-log-path=${folder}/audit.log`]);
    await call(kvService.put, putOf("noise/a"));
    await call(kvService.range, { key: bytes("noise/a") });
    await call(clusterService.memberAdd, { isLearner: true, peerURLs: ["http://127.0.0.1:1"] });
    expect(await (await get("/metrics")).text()).toContain("netcd_audit_dropped_total 0");
    await member.stop();
    const path = join(place.folder, "audit.log");
    const [put, added, ...others] = linesOf(path);
    expect(put).toMatchObject({
      user: null,
      cn: null,
      rpc: kvService.put.path,
      key: "noise/a",
      revision: 2,
      code: "OK",
    });
    expect(put?.["time"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(put?.["address"]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(added).toMatchObject({
      rpc: clusterService.memberAdd.path,
      peerURLs: ["http://127.0.0.1:1"],
      isLearner: true,
    });
    expect(others).toEqual([]);
    expect(readFileSync(path, "utf8")).not.toContain("secret");

    const policy = join(place.folder, "policy.yaml");
    writeFileSync(policy, "rules:\n  - {prefixes: [noise/], level: none}\n  - {verbs: [read, Put], level: metadata}\n");
    const again = await bench.start(
      ({ folder }) => [`--audit-log-path=${folder}/audit2.log`, `--audit-policy-file=${policy}`],
      place,
    );
    await again.call(kvService.put, putOf("noise/a"));
    await again.call(kvService.put, putOf("b"));
    await again.call(kvService.range, { key: bytes("b") });
    await again.call(kvService.deleteRange, { key: bytes("b") });
    await again.member.stop();
    const told = linesOf(join(place.folder, "audit2.log")).map(({ rpc, key }) => [rpc, key]);
    expect(told).toEqual([
      [kvService.put.path, "b"],
      [kvService.range.path, "b"],
    ]);
  });

  it("a member does not start without the audit log that it is to keep", async () => {
    const refused = bench.launch(({ folder }) => [`--audit-log-path=${folder}/none/audit.log`]);
    await expect(refused).rejects.toMatchObject({
      message: "failed to open audit log",
      fields: { path: expect.stringMatching(/none\/audit\.log$/), error: expect.stringContaining("No such file") },
    });
  });
});

describe("elections", () => {
  /** A member whose only companion is away. */
  const alone = (...more: string[]) =>
    bench.launch(({ peer, other }) => [
      `--initial-cluster=m1=http://127.0.0.1:${peer},m2=http://127.0.0.1:${other}`,
      ...more,
    ]);
  it("--initial-election-tick-advance", async () => {
    const message = "starting initial election tick advance";
    expect((await alone()).lines(message)).toHaveLength(1);
    expect((await alone("--initial-election-tick-advance=false")).lines(message)).toEqual([]);
  });

  it("--election-timeout is a lease's least time to live, one and a half of them", async () => {
    const granted = async (...more: string[]) => {
      const { call } = await bench.start(() => more);
      const { TTL } = await call(leaseService.leaseGrant, { TTL: 1 });
      return Number(TTL);
    };
    expect(await granted()).toBe(2);
    expect(await granted("--election-timeout=8000")).toBe(12);
  });

  it("--pre-vote keeps the term of who cannot win, --force-new-cluster makes it lead", async () => {
    const often = ["--heartbeat-interval=10", "--election-timeout=50"];
    const termAfter = async (preVote: boolean) => {
      const lonely = await alone(...often, `--pre-vote=${preVote}`);
      await setTimeout(1_000);
      await lonely.member.stop();
      const forced = await bench.start(() => [...often, "--force-new-cluster"], lonely.place);
      return Number((await forced.call(maintenanceService.status, {})).raftTerm);
    };
    const [kept, grown] = [await termAfter(true), await termAfter(false)];
    expect(kept).toBeLessThan(5);
    expect(grown).toBeGreaterThan(kept);
  });

  it("--heartbeat-interval is how often members hear of the leader", async () => {
    const sentBy = async (...timing: string[]) => {
      const [one, two] = [await bench.place(), await bench.place()];
      const cluster = `--initial-cluster=m1=http://127.0.0.1:${one.peer},m2=http://127.0.0.1:${two.peer}`;
      const members = await Promise.all([
        bench.launch(() => [cluster, ...timing], one),
        bench.launch(() => ["--name=m2", cluster, ...timing], two),
      ]);
      await Promise.all(members.map(({ member }) => member.ready));
      const sent = async () => {
        const scrapes = await Promise.all(members.map(async ({ get }) => (await get("/metrics")).text()));
        const series = scrapes.join("\n").matchAll(/^etcd_network_peer_sent_bytes_total\{[^}]*\} (\S+)$/gm);
        return [...series].reduce((sum, [, value]) => sum + Number(value), 0);
      };
      // What the start itself has to say is over.
      await setTimeout(300);
      const before = await sent();
      await setTimeout(1_000);
      return (await sent()) - before;
    };
    const often = await sentBy("--heartbeat-interval=10", "--election-timeout=500");
    const seldom = await sentBy("--heartbeat-interval=250", "--election-timeout=1250");
    expect(often).toBeGreaterThan(3 * seldom);
  });
});

describe("users", () => {
  it("--bcrypt-cost and --auth-token-ttl", async () => {
    const { call, lines } = await bench.start(() => ["--bcrypt-cost=3", "--auth-token-ttl=3"]);
    expect(lines("use default bcrypt cost instead of the invalid given cost")).toMatchObject([
      { level: "warn", "given-cost": 3, "default-cost": 10 },
    ]);
    await call(authService.userAdd, { name: "root", password: "pw" });
    await call(authService.userGrantRole, { user: "root", role: "root" });
    await call(authService.authEnable, {});
    const { token } = await call(authService.authenticate, { name: "root", password: "pw" });
    const list = () => call(authService.userList, {}, token ?? "");
    expect((await list()).users).toEqual(["root"]);
    await setTimeout(4_000);
    await expect(list()).rejects.toThrow("etcdserver: invalid auth token");
  });

  it("--auth-token that cannot be used ends the start with etcd's words", async () => {
    await expect(bench.launch(() => ["--auth-token=jwt"])).rejects.toThrow("auth: invalid auth options");
  });
});
