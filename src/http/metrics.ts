// /metrics: what the control plane counts, behind what the data plane counts.

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { Counter, Gauge, Registry } from "prom-client";
import type { Auth, AuthFigures } from "../auth/auth.js";
import { alarmName } from "../cluster/alarms.js";
import { GATES, STAGE_GATES } from "../config/gates.js";
import type { StoreStatus } from "../native/binding.js";
import { isLearner, type ServiceContext } from "../services/context.js";
import { ETCD_VERSION } from "../version.js";
import { counter, counters, fact, gauge, gauges } from "./collected.js";
import { chooseEncoding } from "./encoding.js";
import { answer, type HttpAnswer, withHeaders } from "./message.js";
import { registerProcess } from "./processmetrics.js";

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

const compress = promisify(gzip);

/** What only the composition root knows. */
export interface MetricSources {
  readonly lessor: { readonly expiredTotal: number };
  readonly links: { readonly tally: { readonly lateHeartbeats: number } };
  readonly auth: Pick<Auth, "revision" | "figures">;
  /** Tokens that this member knows. */
  readonly authTokens: () => number;
  readonly context: ServiceContext;
  /** When certificates end, and how often new files could not be used. */
  readonly tls: {
    ends(): Iterable<{ readonly role: string; readonly file: string; readonly endMs: number }>;
    reloadFailures(): Iterable<readonly [role: string, failures: number]>;
  };
  readonly gates: ReadonlyMap<string, boolean>;
  /** The data plane's metrics as text. */
  native(): string;
}

export class Metrics {
  readonly registry = new Registry();
  readonly #leaderChanges: Counter;
  readonly #scrapes: Counter<"code">;
  readonly #scraping: Gauge;
  readonly #promotions: Counter;
  readonly #promotionRefusals: Counter<"Reason">;
  readonly #snapshotsInProgress: Gauge;
  readonly #readProcess: () => void;
  #sources: MetricSources | null = null;

  constructor() {
    this.#leaderChanges = new Counter({
      name: "etcd_server_leader_changes_seen_total",
      help: "Leader changes that this member saw.",
      registers: [this.registry],
    });
    this.#promotions = new Counter({
      name: "etcd_server_learner_promote_successes",
      help: "Learners that this member promoted as the leader.",
      registers: [this.registry],
    });
    this.#promotionRefusals = new Counter({
      name: "etcd_server_learner_promote_failures",
      help: "Promotions that this member refused as the leader.",
      labelNames: ["Reason"],
      registers: [this.registry],
    });
    this.#snapshotsInProgress = new Gauge({
      name: "etcd_server_snapshot_apply_in_progress_total",
      help: "1 while a store from the leader takes the place of the own one.",
      registers: [this.registry],
    });
    this.#scraping = new Gauge({
      name: "promhttp_metric_handler_requests_in_flight",
      help: "Scrapes that run.",
      registers: [this.registry],
    });
    this.#scrapes = new Counter({
      name: "promhttp_metric_handler_requests_total",
      help: "Scrapes by status code.",
      labelNames: ["code"],
      registers: [this.registry],
    });
    for (const code of ["200", "500", "503"]) this.#scrapes.inc({ code }, 0);
    this.#readProcess = registerProcess(this.registry);
  }

  leaderChanged(): void {
    this.#leaderChanges.inc();
  }

  /** A promotion by this member; null: it was made. */
  promotionDecided(refusal: Error | null): void {
    if (refusal === null) this.#promotions.inc();
    else this.#promotionRefusals.inc({ Reason: refusal.message });
  }

  applyingSnapshot(on: boolean): void {
    this.#snapshotsInProgress.set(on ? 1 : 0);
  }

  /** Adds what needs a running member. */
  attach(sources: MetricSources): void {
    this.#sources = sources;
    registerServer(this.registry, sources);
    registerStore(this.registry, sources.context);
    registerAuth(this.registry, sources);
    registerTls(this.registry, sources.tls);
    registerGates(this.registry, sources.gates);
  }

  /** `accepted` is the client's Accept-Encoding. */
  async serve(accepted: string): Promise<HttpAnswer> {
    this.#scraping.inc();
    try {
      this.#readProcess();
      const own = withoutEmptyFamilies(await this.registry.metrics());
      const given = answer(200, METRICS_TYPE, `${this.#sources?.native() ?? ""}${own}`);
      this.#scrapes.inc({ code: "200" });
      if (chooseEncoding(accepted) === "identity") return given;
      // On a thread of its own: it takes milliseconds.
      return withHeaders({ ...given, body: await compress(given.body) }, [["Content-Encoding", "gzip"]]);
    } finally {
      this.#scraping.dec();
    }
  }
}

/** A metric whose labels were never used has no line yet, and as with etcd no head either. */
function withoutEmptyFamilies(text: string): string {
  return text.replace(/# HELP [^\n]*\n# TYPE [^\n]*\n(?=\n|# HELP|$)/g, "");
}

function registerServer(registry: Registry, { context, lessor, links }: MetricSources): void {
  counter(
    registry,
    "etcd_debugging_server_lease_expired_total",
    "Leases that this leader revoked because they had expired.",
    () => lessor.expiredTotal,
  );
  counter(
    registry,
    "etcd_server_heartbeat_send_failures_total",
    "Heartbeats that this member sent late as the leader.",
    () => links.tally.lateHeartbeats,
  );
  const Local = context.memberId.toString(16);
  fact(registry, "etcd_server_version", "Version of etcd that this server stands for.", "server_version", ETCD_VERSION);
  fact(registry, "etcd_server_id", "Id of this member.", "server_id", Local);
  gauges(registry, "etcd_network_known_peers", "1 for every member.", ["Local", "Remote"], () =>
    context.membership.members().map(({ id }) => [{ Local, Remote: id.toString(16) }, 1]),
  );
  gauges(registry, "etcd_cluster_version", "Version that the cluster runs.", ["cluster_version"], () => {
    const version = context.membership.clusterVersion;
    return version === null ? [] : [[{ cluster_version: version.replace(/\.\d+$/, "") }, 1]];
  });
  gauge(registry, "etcd_server_has_leader", "1 if a leader is known.", () => (context.raft().leader === 0n ? 0 : 1));
  gauge(registry, "etcd_server_is_leader", "1 if this member leads.", () =>
    context.raft().leader === context.memberId ? 1 : 0,
  );
  gauge(registry, "etcd_server_is_learner", "1 if this member is a learner.", () => (isLearner(context) ? 1 : 0));
  gauge(registry, "etcd_server_quota_backend_bytes", "Quota in force, in bytes.", () => context.quotaBytes);
  gauges(registry, "etcd_debugging_server_alarms", "1 for an alarm that is set.", ["server_id", "alarm_type"], () =>
    context.alarms
      .list()
      .map(({ memberId, type }) => [{ server_id: memberId.toString(16), alarm_type: alarmName(type) }, 1]),
  );
}

/** The store's own figures. */
function registerStore(registry: Registry, context: ServiceContext): void {
  const add = (name: string, help: string, read: (status: StoreStatus) => number) =>
    gauge(registry, name, help, () => read(context.store()));
  add("etcd_mvcc_db_total_size_in_bytes", "Size of the database file.", (status) => status.dbSize);
  add("etcd_mvcc_db_total_size_in_use_in_bytes", "Used part of the database file.", (status) => status.dbSizeInUse);
  add("etcd_debugging_mvcc_keys_total", "Keys that exist.", (status) => status.keys);
  add("etcd_debugging_mvcc_current_revision", "Revision of the store.", (status) => status.revision);
  add("etcd_debugging_mvcc_compact_revision", "Revision of the last compaction, -1 if there was none.", (status) =>
    status.compactRevision > 0 ? status.compactRevision : -1,
  );
}

function registerAuth(registry: Registry, { auth, authTokens }: MetricSources): void {
  gauge(registry, "etcd_debugging_auth_revision", "The current revision of auth store.", () => auth.revision);
  gauge(registry, "netcd_auth_tokens", "Tokens that this member knows.", authTokens);
  const add = (name: string, help: string, figure: keyof AuthFigures) =>
    counter(registry, name, help, () => auth.figures[figure]);
  add("netcd_auth_failed_logins_total", "Logins with a wrong name or password.", "failedLogins");
  add("netcd_auth_delayed_logins_total", "Logins that had to wait because others had failed.", "delayedLogins");
  add("netcd_auth_refused_logins_total", "Logins that were refused because too many waited.", "refusedLogins");
  add("netcd_auth_hashings_total", "Passwords that bcrypt compared or hashed.", "hashings");
  add("netcd_auth_cached_logins_total", "Logins whose password was known to be right.", "cachedLogins");
}

function registerTls(registry: Registry, tls: MetricSources["tls"]): void {
  gauges(
    registry,
    "netcd_certificate_expiry_seconds",
    "Seconds until the first certificate in a file ends; below zero it has ended.",
    ["role", "file"],
    () => [...tls.ends()].map(({ role, file, endMs }) => [{ role, file }, (endMs - Date.now()) / 1_000]),
  );
  counters(
    registry,
    "netcd_tls_reload_failures_total",
    "Times that new TLS files could not be used, and those of before stayed in use.",
    ["role"],
    () => [...tls.reloadFailures()].map(([role, failures]) => [{ role }, failures]),
  );
}

function registerGates(registry: Registry, gates: ReadonlyMap<string, boolean>): void {
  const enabled = new Gauge({
    name: "etcd_server_feature_enabled",
    help: "1 for a feature gate that is on.",
    labelNames: ["name", "stage"],
    registers: [registry],
  });
  for (const { name, stage } of [...STAGE_GATES, ...GATES]) enabled.set({ name, stage }, gates.get(name) ? 1 : 0);
}
