// The HTTP endpoints against a member that is only its state: bodies, headers and codes as etcd has them.

import { gunzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { Alarms, AlarmType } from "../cluster/alarms.js";
import { Membership } from "../cluster/membership.js";
import { resolveGates } from "../config/gates.js";
import { rpcError } from "../errors.js";
import { Logger } from "../log/logger.js";
import type { ProbeCounts } from "../native/binding.js";
import type { RaftStatus } from "../raft/index.js";
import { PeerTally } from "../replica/peertally.js";
import type { ServiceContext } from "../services/context.js";
import { Users } from "../services/tests/users.js";
import { type HttpAnswer, httpRequest, type ListenerRole } from "./message.js";
import { Metrics } from "./metrics.js";
import { HttpRouter } from "./router.js";

const MEMBER = 0xbdae9bbc11dd390dn;

class FakeMember implements ServiceContext {
  auth = new Users({ enabled: false }).auth;
  permissions = { read: () => {}, readLease: () => {} };
  readonly memberId = MEMBER;
  readonly clusterId = 0xd1cfaf999eb97a2an;
  readonly membership = new Membership(this.clusterId);
  readonly alarms = new Alarms();
  readonly quotaBytes = 2 * 1024 ** 3;
  leader = MEMBER;
  readError: Error | null = null;
  serializableError: Error | null = null;
  reads: string[] = [];

  constructor() {
    this.membership.put({ id: MEMBER, name: "a", peerUrls: [], clientUrls: [], isLearner: false });
    this.membership.setClusterVersion("3.7.0");
  }
  raft = () => ({ term: 2, leader: this.leader, committed: 4, applied: 4 });
  store = () => ({
    revision: 1,
    compactRevision: 0,
    keys: 0,
    dbSize: 20480,
    dbSizeInUse: 16384,
    tailBytes: 0,
    appliedIndex: 4,
    flushedIndex: 4,
  });
  linearizable = async () => {
    this.reads.push("linearizable");
    if (this.readError) throw this.readError;
  };
  serializableRead = async () => {
    this.reads.push("serializable");
    if (this.serializableError) throw this.serializableError;
  };
  changeAlarm = async () => null;
  hashKv = async (revision: number) => {
    if (revision > 1) throw rpcError("futureRevision");
    return { hash: 1084519789, hashRevision: revision, compactRevision: -1, revision: 1 };
  };
  defragment = async () => {};
  propose = () => Promise.reject(new Error("no proposals here"));
  range = () => Promise.reject(new Error("no ranges here"));
  leases = { ttlSecondsMin: 2, nextId: () => 1n, all: () => [], timeToLive: async () => null };
  lessor = {
    renewHere: async (id: bigint) => (id === 7n ? 60 : 0),
    timeToLiveHere: async (id: bigint) => (id === 7n ? { ttlSeconds: 59, grantedTtlSeconds: 60, keys: null } : null),
  };
  watches = { open: () => expect.unreachable("no watches here") };
  transferLeader = async () => {};
  promoted: bigint[] = [];
  promoteError: Error | null = null;
  readonly members = {
    add: async () => ({ id: 1n, name: "", peerUrls: [], clientUrls: [], isLearner: false }),
    remove: async () => {},
    update: async () => {},
    promote: async () => {},
    promoteHere: async (id: bigint) => {
      if (this.promoteError) throw this.promoteError;
      this.promoted.push(id);
    },
  };
}

const RAFT: RaftStatus = {
  id: MEMBER,
  term: 2,
  vote: MEMBER,
  lead: MEMBER,
  role: "leader",
  committed: 4,
  applied: 3,
  firstIndex: 1,
  lastIndex: 4,
  stable: 4,
  transferee: 0n,
  confState: { voters: [MEMBER], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  progress: new Map([
    [MEMBER, { match: 4, next: 5, state: "replicate", isLearner: false, recentActive: true, inflightMessages: 0 }],
  ]),
};

const lines: string[] = [];
let member: FakeMember;
let router: HttpRouter;
let metrics: Metrics;
let tally: PeerTally;
/** Probes that the data plane answered. */
let answered: ProbeCounts;

beforeEach(() => {
  lines.length = 0;
  member = new FakeMember();
  answered = { health: 0, livez: 0, readyz: 0 };
  router = routerWith({ cors: ["*"], hostWhitelist: ["*"] });
});

function routerWith(rules: { cors: string[]; hostWhitelist: string[] }): HttpRouter {
  const output = { write: (line: string) => void lines.push(line), close: () => {} };
  const log = new Logger({ level: "info", format: "json", outputs: [output] });
  metrics = new Metrics();
  tally = new PeerTally(100);
  metrics.attach({
    context: member,
    gates: resolveGates(new Map()),
    native: () => "etcd_mvcc_put_total 1\n",
    lessor: { expiredTotal: 3 },
    auth: {
      revision: 9,
      figures: { failedLogins: 11, delayedLogins: 12, refusedLogins: 13, hashings: 14, cachedLogins: 15 },
    },
    authTokens: () => 16,
    tls: {
      ends: () => [{ role: "client", file: "server.crt", endMs: Date.now() + 60_000 }],
      reloadFailures: () => [["client", 2]],
    },
    links: { tally },
  });
  return new HttpRouter({ context: member, metrics, rules, log, raftStatus: () => RAFT, probeCounts: () => answered });
}

function ask(
  url: string,
  options: {
    method?: string;
    role?: ListenerRole;
    headers?: [string, string][];
    body?: string;
    failedRead?: string;
  } = {},
) {
  const { method = "GET", role = "client", headers = [["Host", "127.0.0.1:2379"]], body = "" } = options;
  const { failedRead = null } = options;
  return router.serve(httpRequest({ method, url, headers, body: Buffer.from(body), role, failedRead }));
}

const header = (given: HttpAnswer, name: string) => given.headers.find(([key]) => key === name)?.[1];
const messages = () => lines.map((line) => JSON.parse(line).msg);

describe("/version", () => {
  it("names server, cluster and storage", async () => {
    const given = await ask("/version");
    expect(given).toMatchObject({
      status: 200,
      body: '{"etcdserver":"3.7.3","etcdcluster":"3.7.0","storage":"3.7.0"}',
    });
    expect(header(given, "Content-Type")).toBe("application/json");
  });

  it("does so on the peer port too, but not on the metrics port", async () => {
    expect((await ask("/version", { role: "peer" })).status).toBe(200);
    expect((await ask("/version", { role: "metrics" })).status).toBe(404);
  });

  it("before the cluster has decided", async () => {
    const fresh = new FakeMember();
    Object.assign(fresh, { membership: new Membership(1n) });
    member = fresh;
    router = routerWith({ cors: ["*"], hostWhitelist: ["*"] });
    expect((await ask("/version")).body).toBe('{"etcdserver":"3.7.3","etcdcluster":"not_decided","storage":"unknown"}');
  });
});

describe("/health", () => {
  it("is true after a linearizable read", async () => {
    const given = await ask("/health");
    expect(given).toMatchObject({ status: 200, body: '{"health":"true","reason":""}' });
    expect(header(given, "Content-Type")).toBe("text/plain; charset=utf-8");
    expect(member.reads).toEqual(["linearizable"]);
  });

  it("reads locally when asked to, even without a leader", async () => {
    member.leader = 0n;
    expect((await ask("/health?serializable=true")).status).toBe(200);
    expect(member.reads).toEqual(["serializable"]);
    const given = await ask("/health");
    expect(given).toMatchObject({ status: 503, body: '{"health":"false","reason":"RAFT NO LEADER"}\n' });
    expect(header(given, "X-Content-Type-Options")).toBe("nosniff");
    expect(messages()).toContain("serving /health false; no leader");
  });

  it("is false with an alarm that is not excluded", async () => {
    member.alarms.activate({ memberId: 1n, type: AlarmType.NoSpace });
    expect((await ask("/health")).body).toBe('{"health":"false","reason":"ALARM NOSPACE"}\n');
    expect((await ask("/health?exclude=NOSPACE")).status).toBe(200);
    member.alarms.activate({ memberId: 1n, type: AlarmType.Corrupt });
    expect((await ask("/health?exclude=NOSPACE")).body).toBe('{"health":"false","reason":"ALARM CORRUPT"}\n');
    expect((await ask("/health?exclude=NOSPACE&exclude=CORRUPT")).status).toBe(200);
    member.alarms.activate({ memberId: 1n, type: 77 });
    expect((await ask("/health?exclude=NOSPACE&exclude=CORRUPT")).body).toContain("ALARM UNKNOWN");
  });

  it("is false when the read fails", async () => {
    member.readError = new Error("etcdserver: request timed out");
    expect((await ask("/health")).body).toBe(
      '{"health":"false","reason":"RANGE ERROR:etcdserver: request timed out"}\n',
    );
  });

  it("answers GET only", async () => {
    for (const path of ["/health", "/livez", "/readyz", "/version"]) {
      const given = await ask(path, { method: "HEAD" });
      expect(given).toMatchObject({ status: 405, body: "Method Not Allowed\n" });
      expect(header(given, "Allow")).toBe("GET");
    }
  });
});

describe("/livez and /readyz", () => {
  it("say ok, or every check", async () => {
    expect(await ask("/livez")).toMatchObject({ status: 200, body: "ok\n" });
    expect((await ask("/livez?verbose")).body).toBe("[+]serializable_read ok\nok\n");
    const ready = await ask("/readyz?verbose=1");
    expect(header(ready, "X-Content-Type-Options")).toBe("nosniff");
    expect(String(ready.body).split("\n").sort()).toEqual(
      [
        "",
        "[+]data_corruption ok",
        "[+]linearizable_read ok",
        "[+]non_learner ok",
        "[+]serializable_read ok",
        "ok",
      ].sort(),
    );
  });

  it("say what failed", async () => {
    member.serializableError = new Error("boom");
    expect(await ask("/livez")).toMatchObject({ status: 503, body: "[-]serializable_read failed: boom\n\n" });
    expect(messages()).toContain("Health check error");
    expect((await ask("/livez?exclude=serializable_read&verbose")).body).toBe("ok\n");
  });

  it("fail for corruption and for learners", async () => {
    member.alarms.activate({ memberId: 1n, type: AlarmType.Corrupt });
    expect((await ask("/readyz/data_corruption")).body).toBe("[-]data_corruption failed: alarm activated: CORRUPT\n\n");
    member.membership.put({ id: MEMBER, name: "a", peerUrls: [], clientUrls: [], isLearner: true });
    expect((await ask("/readyz/non_learner")).body).toBe("[-]non_learner failed: not supported for learner\n\n");
  });

  it("have a path for every check and none else", async () => {
    expect((await ask("/readyz/linearizable_read?verbose")).body).toBe("[+]linearizable_read ok\nok\n");
    for (const path of [
      "/readyz/foo",
      "/livez/linearizable_read",
      "/livez/",
      "/readyz/a/b",
      "/",
      "/v2/keys",
      "/healthz",
    ]) {
      expect(await ask(path)).toMatchObject({ status: 404, body: "404 page not found\n" });
    }
  });

  it("warn of checks that cannot be excluded", async () => {
    expect((await ask("/readyz?exclude=foo")).status).toBe(200);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      msg: "some health checks cannot be excluded",
      "missing-health-checks": '"foo"',
    });
  });
});

describe("what the data plane answers by itself", () => {
  it("is what would be answered here", async () => {
    const probes = router.probes();
    const targets = probes.map(({ listener, target }) => `${listener} ${target}`);
    for (const expected of [
      "client /version",
      "peer /version",
      "client /health",
      "metrics /livez",
      "metrics /readyz",
    ]) {
      expect(targets).toContain(expected);
    }
    expect(targets).not.toContain("metrics /version");
    expect(new Set(targets).size).toBe(targets.length);
    for (const { listener, target, headers, body } of probes) {
      expect(await ask(target, { role: listener })).toEqual({ status: 200, headers, body });
    }
  });

  it("follows the cluster's version", () => {
    const bodies = () => router.probes().flatMap(({ kind, body }) => (kind === "version" ? [body] : []));
    member.membership.setClusterVersion("3.6.0");
    expect(bodies()).toEqual(Array(2).fill('{"etcdserver":"3.7.3","etcdcluster":"3.6.0","storage":"3.7.0"}'));
  });
});

describe("access", () => {
  it("is open to all origins by default, on the client port", async () => {
    const given = await ask("/version");
    expect(header(given, "Access-Control-Allow-Origin")).toBe("*");
    expect(header(given, "Access-Control-Allow-Methods")).toBe("POST, GET, OPTIONS, PUT, DELETE");
    expect(header(await ask("/health", { role: "metrics" }), "Access-Control-Allow-Origin")).toBeUndefined();
    expect(await ask("/anything", { method: "OPTIONS" })).toMatchObject({ status: 200, body: "" });
  });

  it("names the origin when there is a list", async () => {
    router = routerWith({ cors: ["http://good.example:1"], hostWhitelist: ["*"] });
    const from = (origin: string) => ask("/version", { headers: [["Origin", origin]] });
    expect(header(await from("http://good.example:1"), "Access-Control-Allow-Origin")).toBe("http://good.example:1");
    expect(header(await from("http://bad.example:1"), "Access-Control-Allow-Origin")).toBeUndefined();
  });

  it("refuses hosts that are not listed", async () => {
    router = routerWith({ cors: ["*"], hostWhitelist: ["good.example", "::1"] });
    const to = (host: string) => ask("/version", { headers: [["host", host]] });
    expect((await to("good.example:2379")).status).toBe(200);
    expect((await to("good.example")).status).toBe(200);
    expect((await to("[::1]:2379")).status).toBe(200);
    const refused = await to("evil.example:2379");
    expect(refused.status).toBe(421);
    expect(String(refused.body)).toMatch(
      /^\netcd received your request[\s\S]*--host-whitelist "evil.example"[\s\S]*\n\n$/,
    );
    expect(header(refused, "Access-Control-Allow-Origin")).toBeUndefined();
    expect(messages()).toEqual(["rejecting HTTP request to prevent DNS rebinding attacks"]);
  });
});

describe("/metrics", () => {
  it("joins both planes", async () => {
    const given = await ask("/metrics", { method: "HEAD" });
    expect(header(given, "Content-Type")).toBe("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    const text = String(given.body);
    for (const line of [
      "etcd_mvcc_put_total 1",
      'etcd_server_version{server_version="3.7.3"} 1',
      'etcd_server_id{server_id="bdae9bbc11dd390d"} 1',
      'etcd_cluster_version{cluster_version="3.7"} 1',
      "etcd_server_has_leader 1",
      "etcd_server_is_leader 1",
      "etcd_server_is_learner 0",
      "etcd_mvcc_db_total_size_in_bytes 20480",
      "etcd_debugging_mvcc_current_revision 1",
      "etcd_debugging_mvcc_compact_revision -1",
      "etcd_server_quota_backend_bytes 2147483648",
      "etcd_server_leader_changes_seen_total 0",
      'etcd_server_feature_enabled{name="FastLeaseKeepAlive",stage="BETA"} 1',
      'etcd_server_feature_enabled{name="AllBeta",stage="BETA"} 0',
      'etcd_network_known_peers{Local="bdae9bbc11dd390d",Remote="bdae9bbc11dd390d"} 1',
      "etcd_server_health_success 0",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).not.toContain("etcd_server_healthcheck");
    expect(text).toMatch(/^process_open_fds [1-9]\d*$/m);
    expect(text).toMatch(/^process_network_receive_bytes_total \d+$/m);
    expect(text).toMatch(/^process_resident_memory_bytes [1-9]\d+$/m);
  });

  it("counts what happens among members", async () => {
    for (const id of [2n, 3n]) {
      member.membership.put({ id, name: "", peerUrls: [], clientUrls: [], isLearner: false });
    }
    member.alarms.activate({ memberId: 3n, type: AlarmType.NoSpace });
    metrics.promotionDecided(null);
    metrics.promotionDecided(new Error("too early"));
    metrics.applyingSnapshot(true);
    tally.heartbeat(2n, 1, 0);
    tally.heartbeat(2n, 1, 1_000);
    const scraped = String((await ask("/metrics")).body).split("\n");
    for (const line of [
      'etcd_network_known_peers{Local="bdae9bbc11dd390d",Remote="2"} 1',
      'etcd_debugging_server_alarms{server_id="3",alarm_type="NOSPACE"} 1',
      "etcd_debugging_auth_revision 9",
      "netcd_auth_tokens 16",
      "netcd_auth_failed_logins_total 11",
      "netcd_auth_delayed_logins_total 12",
      "netcd_auth_refused_logins_total 13",
      "netcd_auth_hashings_total 14",
      "netcd_auth_cached_logins_total 15",
      "etcd_server_learner_promote_successes 1",
      'etcd_server_learner_promote_failures{Reason="too early"} 1',
      "etcd_server_snapshot_apply_in_progress_total 1",
      "etcd_server_heartbeat_send_failures_total 1",
      "promhttp_metric_handler_requests_in_flight 1",
    ]) {
      expect(scraped).toContain(line);
    }
    metrics.applyingSnapshot(false);
    expect(String((await ask("/metrics")).body)).toContain("etcd_server_snapshot_apply_in_progress_total 0\n");
  });
});

it("/metrics is compressed for those who ask for it", async () => {
  const given = await ask("/metrics", { headers: [["Accept-Encoding", "zstd, gzip"]] });
  expect(header(given, "Content-Encoding")).toBe("gzip");
  expect(gunzipSync(given.body).toString()).toContain("etcd_mvcc_put_total 1\n");
  expect(header(await ask("/metrics"), "Content-Encoding")).toBeUndefined();
});

describe("/debug/vars", () => {
  it("has what etcd publishes", async () => {
    const given = await ask("/debug/vars");
    expect(given.status).toBe(200);
    expect(header(given, "Content-Type")).toBe("application/json; charset=utf-8");
    const text = String(given.body);
    expect(text).toMatch(
      /^\{\n"cmdline": \[.*\],\n"file_descriptor_limit": \d+,\n"memstats": .*,\n"raft.status": .*\n\}\n$/,
    );
    const variables = JSON.parse(text);
    expect(variables.cmdline.slice(1)).toEqual(process.argv.slice(2));
    expect(variables.memstats.Sys).toBeGreaterThan(variables.memstats.HeapAlloc);
    expect(variables["raft.status"]).toEqual({
      id: "bdae9bbc11dd390d",
      term: 2,
      vote: "bdae9bbc11dd390d",
      commit: 4,
      lead: "bdae9bbc11dd390d",
      raftState: "StateLeader",
      applied: 3,
      progress: { bdae9bbc11dd390d: { match: 4, next: 5, state: "StateReplicate" } },
      leadtransferee: "0",
    });
  });

  it("is there for clients alone, and only to be read", async () => {
    for (const role of ["metrics", "peer"] as const) expect((await ask("/debug/vars", { role })).status).toBe(404);
    for (const method of ["HEAD", "POST"]) expect((await ask("/debug/vars", { method })).status).toBe(405);
    for (const path of ["/debug", "/debug/", "/debug/vars/", "/debug/pprof"]) {
      expect((await ask(path)).status).toBe(404);
    }
  });
});

it("paths with double slashes are redirected", async () => {
  const given = await ask("//version");
  expect(given.status).toBe(307);
  expect(header(given, "Location")).toBe("/version");
});

describe("/members/hashkv", () => {
  const hashOf = (body: string, more: { method?: string; headers?: [string, string][] } = {}) =>
    ask("/members/hashkv", { role: "peer", body, ...more });

  it("answers with the hash of the revision that the body names", async () => {
    const given = await hashOf('{"revision":1}');
    expect(given.status).toBe(200);
    expect(header(given, "Content-Type")).toBe("application/json");
    expect(header(given, "X-Etcd-Cluster-Id")).toBe("d1cfaf999eb97a2a");
    expect(given.body).toBe('{"header":{"revision":1},"hash":1084519789,"compact_revision":-1,"hash_revision":1}');
  });

  it.each(["", "x", "[]", '"1"', '{"revision":"1"}', '{"revision":1.5}'])("refuses the body %j", async (body) => {
    expect(await hashOf(body)).toMatchObject({ status: 400, body: "error unmarshalling request\n" });
  });

  it("refuses revisions that are not there, other clusters and methods", async () => {
    expect(await hashOf('{"revision":2}')).toMatchObject({
      status: 400,
      body: "mvcc: required revision is a future revision\n",
    });
    expect(messages()).toContain("failed to get hashKV");
    const other: [string, string][] = [["X-Etcd-Cluster-ID", "1"]];
    expect(await hashOf("{}", { headers: other })).toMatchObject({ status: 412, body: "cluster ID mismatch\n" });
    expect((await hashOf("{}", { method: "POST" })).status).toBe(405);
    expect(await ask("/members/hashkv")).toMatchObject({ status: 404 });
  });
});

describe("/members/promote/", () => {
  const promote = (token: string | null, id = "7") => {
    const headers = token === null ? [] : [["Authorization", token] as [string, string]];
    return ask(`/members/promote/${id}`, { role: "peer", method: "POST", headers });
  };

  it("promotes for everybody while authentication is off", async () => {
    for (const token of [null, "bad"]) expect((await promote(token)).status).toBe(200);
    expect(member.promoted).toEqual([7n, 7n]);
  });

  it("promotes for an admin alone, and says why to others", async () => {
    member.auth = new Users().auth;
    const refusals = [
      [null, 400, "etcdserver: user name is empty\n"],
      ["bad", 401, "etcdserver: invalid auth token\n"],
      ["plain", 403, "etcdserver: permission denied\n"],
    ] as const;
    for (const [token, status, body] of refusals) expect(await promote(token)).toMatchObject({ status, body });
    expect(member.promoted).toEqual([]);
    expect((await promote("root")).status).toBe(200);
    expect(member.promoted).toEqual([7n]);
  });

  it("says what does not fit as etcd does", async () => {
    expect(await promote(null, "x")).toMatchObject({ status: 404, body: "member x not found in cluster\n" });
    member.promoteError = rpcError("learnerNotReady");
    expect((await promote(null)).status).toBe(412);
    member.promoteError = rpcError("notLeader");
    expect((await promote(null)).status).toBe(500);
  });
});
