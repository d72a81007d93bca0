// /metrics: what the control plane counts, behind what the data plane counts.

import { readdirSync, readFileSync } from "node:fs";
import { Counter, Gauge, Registry } from "prom-client";
import { alarmName } from "../cluster/alarms.js";
import { GATES } from "../config/gates.js";
import { ETCD_VERSION } from "../config/help.js";
import type { StoreStatus } from "../native/binding.js";
import { isLearner, type ServiceContext } from "../services/context.js";
import { answer, type HttpAnswer } from "./message.js";
import { type PeerFigures, registerPeers } from "./peermetrics.js";

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/** What only the composition root knows. */
export interface MetricSources {
  readonly lessor: { readonly expiredTotal: number };
  /** The links to the other members. */
  readonly links: PeerFigures;
  readonly context: ServiceContext;
  readonly gates: ReadonlyMap<string, boolean>;
  /** The data plane's metrics as text. */
  native(): string;
}

/** Registers a gauge that is read when it is scraped. */
function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

/** One gauge that is always 1 and whose label is the fact. */
function fact(registry: Registry, name: string, help: string, label: string, value: string): void {
  new Gauge({ name, help, labelNames: [label], registers: [registry] }).set({ [label]: value }, 1);
}

export class Metrics {
  readonly registry = new Registry();
  readonly #leaderChanges: Counter;
  readonly #scrapes: Counter<"code">;
  readonly #scraping: Gauge;
  readonly #promotions: Counter;
  readonly #promotionRefusals: Counter<"Reason">;
  readonly #snapshotsInProgress: Gauge;
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
    registerProcess(this.registry);
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
    registerPeers(this.registry, sources.context, sources.links);
    registerStore(this.registry, sources.context);
    registerGates(this.registry, sources.gates);
  }

  async serve(): Promise<HttpAnswer> {
    this.#scrapes.inc({ code: "200" });
    this.#scraping.inc();
    const own = await this.registry.metrics().finally(() => this.#scraping.dec());
    return answer(200, METRICS_TYPE, `${this.#sources?.native() ?? ""}${withoutEmptyFamilies(own)}`);
  }
}

/** A metric whose labels were never used has no line yet, and as with etcd no head either. */
function withoutEmptyFamilies(text: string): string {
  return text.replace(/# HELP [^\n]*\n# TYPE [^\n]*\n(?=\n|# HELP|$)/g, "");
}

function registerServer(registry: Registry, { context, lessor }: MetricSources): void {
  new Counter({
    name: "etcd_debugging_server_lease_expired_total",
    help: "Leases that this leader revoked because they had expired.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(lessor.expiredTotal);
    },
  });
  const id = context.memberId.toString(16);
  fact(registry, "etcd_server_version", "Version of etcd that this server stands for.", "server_version", ETCD_VERSION);
  fact(registry, "etcd_server_id", "Id of this member.", "server_id", id);
  new Gauge({
    name: "etcd_cluster_version",
    help: "Version that the cluster runs.",
    labelNames: ["cluster_version"],
    registers: [registry],
    collect() {
      const version = context.membership.clusterVersion;
      if (version === null) return;
      this.reset();
      this.set({ cluster_version: version.replace(/\.\d+$/, "") }, 1);
    },
  });
  gauge(registry, "etcd_server_has_leader", "1 if a leader is known.", () => (context.raft().leader === 0n ? 0 : 1));
  gauge(registry, "etcd_server_is_leader", "1 if this member leads.", () =>
    context.raft().leader === context.memberId ? 1 : 0,
  );
  gauge(registry, "etcd_server_is_learner", "1 if this member is a learner.", () => (isLearner(context) ? 1 : 0));
  gauge(registry, "etcd_server_quota_backend_bytes", "Quota in force, in bytes.", () => context.quotaBytes);
  new Gauge({
    name: "etcd_debugging_server_alarms",
    help: "1 for an alarm that is set.",
    labelNames: ["server_id", "alarm_type"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { memberId, type } of context.alarms.list()) {
        this.set({ server_id: memberId.toString(16), alarm_type: alarmName(type) }, 1);
      }
    },
  });
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

function registerGates(registry: Registry, gates: ReadonlyMap<string, boolean>): void {
  const enabled = new Gauge({
    name: "etcd_server_feature_enabled",
    help: "1 for a feature gate that is on.",
    labelNames: ["name", "stage"],
    registers: [registry],
  });
  for (const { name, stage } of GATES) enabled.set({ name, stage }, gates.get(name) ? 1 : 0);
}

const CLOCK_TICKS_A_SECOND = 100;
const PAGE_BYTES = 4096;

const RECEIVED_COLUMN = 0;
const SENT_COLUMN = 8;

/** The sum of a column of /proc/net/dev: one line for each interface behind two of headings. */
function networkBytes(column: number): number {
  const interfaces = readFileSync("/proc/self/net/dev", "utf8").trim().split("\n").slice(2);
  const figures = interfaces.map((line) =>
    line
      .slice(line.indexOf(":") + 1)
      .trim()
      .split(/\s+/),
  );
  return figures.reduce((sum, each) => sum + Number(each[column]), 0);
}

/** Metrics of the process, from /proc; where there is none they are left out. */
function registerProcess(registry: Registry): void {
  const stat = () => {
    const text = readFileSync("/proc/self/stat", "utf8");
    // The command in brackets may hold blanks; the fields are counted behind it, the first being number 3.
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  };
  const field = (number: number) => Number(stat()[number - 3] ?? 0);
  const readLimit = (name: string) => {
    const line = readFileSync("/proc/self/limits", "utf8")
      .split("\n")
      .find((each) => each.startsWith(name));
    const value = line?.slice(26).trim().split(/\s+/)[0];
    return value === "unlimited" ? 2 ** 64 : Number(value ?? 0);
  };
  const openFds = () => readdirSync("/proc/self/fd").length;
  try {
    stat();
  } catch {
    return;
  }
  const startSeconds = Date.now() / 1000 - process.uptime();
  const cpu = () => (field(14) + field(15)) / CLOCK_TICKS_A_SECOND;
  new Counter({
    name: "process_cpu_seconds_total",
    help: "CPU time of the process in seconds.",
    registers: [registry],
    collect() {
      this.reset();
      this.inc(cpu());
    },
  });
  const network = (name: string, help: string, column: number) => {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(networkBytes(column));
      },
    });
  };
  network("process_network_receive_bytes_total", "Bytes that the process's network has received.", RECEIVED_COLUMN);
  network("process_network_transmit_bytes_total", "Bytes that the process's network has sent.", SENT_COLUMN);
  gauge(registry, "process_open_fds", "Open files.", openFds);
  gauge(registry, "process_max_fds", "Limit of open files.", () => readLimit("Max open files"));
  gauge(registry, "os_fd_used", "Open files.", openFds);
  gauge(registry, "os_fd_limit", "Limit of open files.", () => readLimit("Max open files"));
  gauge(registry, "process_resident_memory_bytes", "Resident memory.", () => field(24) * PAGE_BYTES);
  gauge(registry, "process_virtual_memory_bytes", "Virtual memory.", () => field(23));
  gauge(registry, "process_virtual_memory_max_bytes", "Limit of virtual memory.", () => readLimit("Max address space"));
  gauge(registry, "process_start_time_seconds", "Start, in seconds since 1970.", () => startSeconds);
}
