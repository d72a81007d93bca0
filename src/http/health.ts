// /health, /livez and /readyz: whether this member serves, with etcd's bodies.

import { Counter, Gauge, type Registry } from "prom-client";
import { AlarmType, alarmName } from "../cluster/alarms.js";
import type { Logger } from "../log/logger.js";
import { isLearner, type ServiceContext } from "../services/context.js";
import { answer, errorAnswer, type HttpAnswer, type HttpRequest, methodNotAllowed, TEXT } from "./message.js";

/** A check throws its reason. */
type Check = (context: ServiceContext) => Promise<void>;

const CHECKS: Readonly<Record<string, Check>> = {
  data_corruption: async (context) => {
    if (context.alarms.has(AlarmType.Corrupt)) throw new Error("alarm activated: CORRUPT");
  },
  serializable_read: (context) => context.serializableRead(),
  linearizable_read: (context) => context.linearizable(),
  non_learner: async (context) => {
    if (isLearner(context)) throw new Error("not supported for learner");
  },
};

/** Checks of each endpoint, in the order in which they are listed. */
const ENDPOINTS: Readonly<Record<string, readonly string[]>> = {
  livez: ["serializable_read"],
  readyz: ["data_corruption", "serializable_read", "linearizable_read", "non_learner"],
};

export class HealthEndpoints {
  readonly #context: ServiceContext;
  readonly #log: Logger;
  readonly #successes: Counter;
  readonly #failures: Counter;
  readonly #state: Gauge<"type" | "name">;
  readonly #runs: Counter<"type" | "name" | "status">;

  constructor(context: ServiceContext, log: Logger, registry: Registry) {
    this.#context = context;
    this.#log = log;
    const registers = [registry];
    this.#successes = new Counter({
      name: "etcd_server_health_success",
      help: "Answers of /health that were good.",
      registers,
    });
    this.#failures = new Counter({
      name: "etcd_server_health_failures",
      help: "Answers of /health that were not good.",
      registers,
    });
    this.#state = new Gauge({
      name: "etcd_server_healthcheck",
      help: "The last result of each check: 1 good, 0 not.",
      labelNames: ["type", "name"],
      registers,
    });
    this.#runs = new Counter({
      name: "etcd_server_healthchecks_total",
      help: "Checks that ran, by result.",
      labelNames: ["type", "name", "status"],
      registers,
    });
  }

  /** The answer if the path is one of these endpoints, else null. */
  async serve(request: HttpRequest): Promise<HttpAnswer | null> {
    if (request.path === "/health") return this.#health(request);
    const [, type = "", name, ...rest] = request.path.split("/");
    const checks = ENDPOINTS[type];
    if (!checks || rest.length > 0) return null;
    if (name === undefined) return this.#checks(request, type, checks, true);
    return checks.includes(name) ? this.#checks(request, type, [name], false) : null;
  }

  async #health(request: HttpRequest): Promise<HttpAnswer> {
    if (request.method !== "GET") {
      this.#log.warn("/health error", { "status-code": 405 });
      return methodNotAllowed();
    }
    const reason = await this.#unhealthy(request.query);
    if (reason === null) {
      this.#successes.inc();
      return answer(200, TEXT, JSON.stringify({ health: "true", reason: "" }));
    }
    this.#failures.inc();
    const body = JSON.stringify({ health: "false", reason });
    this.#log.warn("/health error", { output: body, "status-code": 503 });
    return errorAnswer(503, body);
  }

  /** Alarms, then the leader, then a read; the first that is not good. */
  async #unhealthy(query: URLSearchParams): Promise<string | null> {
    const excluded = query.getAll("exclude");
    for (const alarm of this.#context.alarms.list()) {
      const name = alarmName(alarm.type);
      if (excluded.includes(name)) continue;
      this.#log.warn("serving /health false due to an alarm", { alarm: name });
      return `ALARM ${name}`;
    }
    const local = query.get("serializable") === "true";
    if (!local && this.#context.raft().leader === 0n) {
      this.#log.warn("serving /health false; no leader");
      return "RAFT NO LEADER";
    }
    try {
      await (local ? this.#context.serializableRead() : this.#context.linearizable());
      return null;
    } catch (error) {
      return `RANGE ERROR:${(error as Error).message}`;
    }
  }

  async #checks(
    request: HttpRequest,
    type: string,
    checks: readonly string[],
    mayExclude: boolean,
  ): Promise<HttpAnswer> {
    if (request.method !== "GET") {
      this.#log.warn("Health request error", { path: request.path, "status-code": 405 });
      return methodNotAllowed();
    }
    const excluded = new Set(mayExclude ? request.query.getAll("exclude") : []);
    const unknown = [...excluded].filter((name) => !checks.includes(name));
    if (unknown.length > 0) {
      const quoted = unknown.map((name) => JSON.stringify(name)).join(", ");
      this.#log.warn("some health checks cannot be excluded", { "missing-health-checks": quoted });
    }
    const lines = await Promise.all(
      checks.filter((name) => !excluded.has(name)).map((name) => this.#runCheck(type, name)),
    );
    const report = lines.map((line) => line.text).join("");
    if (lines.some((line) => !line.good)) {
      this.#log.error("Health check error", { path: request.path, reason: report, "status-code": 503 });
      return errorAnswer(503, report);
    }
    const good = errorAnswer(200, "ok");
    return request.query.has("verbose") ? { ...good, body: `${report}ok\n` } : good;
  }

  async #runCheck(type: string, name: string): Promise<{ good: boolean; text: string }> {
    let reason: string | null = null;
    try {
      await CHECKS[name]?.(this.#context);
    } catch (error) {
      reason = (error as Error).message;
    }
    this.#state.set({ type, name }, reason === null ? 1 : 0);
    this.#runs.inc({ type, name, status: reason === null ? "success" : "error" });
    if (reason === null) return { good: true, text: `[+]${name} ok\n` };
    return { good: false, text: `[-]${name} failed: ${reason}\n` };
  }
}
