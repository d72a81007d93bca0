// /health, /livez and /readyz: whether this member serves, with etcd's bodies.

import { AlarmType, alarmName } from "../cluster/alarms.js";
import type { Logger } from "../log/logger.js";
import { isLearner, type ServiceContext } from "../services/context.js";
import { CHECKS_OF, type CheckedEndpoint, type HealthTally } from "./healthtally.js";
import { answer, errorAnswer, type HttpAnswer, type HttpRequest, methodNotAllowed, TEXT } from "./message.js";
import { type KnownAnswer, NOTHING_NEEDED } from "./probes.js";

/** What it depends on whether this member serves. */
export type HealthContext = Pick<
  ServiceContext,
  "memberId" | "membership" | "alarms" | "raft" | "serializableRead" | "linearizable"
>;

/** A check throws its reason. */
type Check = (context: HealthContext, request: HttpRequest) => Promise<void>;

/** Of a request that has waited for one already it is not made again. */
const linearizableRead: Check = async (context, { failedRead }) => {
  if (failedRead !== null) throw new Error(failedRead);
  await context.linearizable();
};

const CHECKS: Readonly<Record<string, Check>> = {
  data_corruption: async (context) => {
    if (context.alarms.has(AlarmType.Corrupt)) throw new Error("alarm activated: CORRUPT");
  },
  serializable_read: (context) => context.serializableRead(),
  linearizable_read: linearizableRead,
  non_learner: async (context) => {
    if (isLearner(context)) throw new Error("not supported for learner");
  },
};

const HEALTHY = answer(200, TEXT, JSON.stringify({ health: "true", reason: "" }));
const ALL_CHECKS_GOOD = errorAnswer(200, "ok");

/** Ways to ask /health that are asked often, as by kubeadm. */
const HEALTH_QUERIES = [
  "",
  "?serializable=false",
  "?serializable=true",
  "?exclude=NOSPACE",
  "?exclude=NOSPACE&serializable=false",
  "?exclude=NOSPACE&serializable=true",
];

const isLocal = (query: URLSearchParams) => query.get("serializable") === "true";

export class HealthEndpoints {
  readonly #context: HealthContext;
  readonly #log: Logger;
  readonly #tally: HealthTally;

  constructor(context: HealthContext, log: Logger, tally: HealthTally) {
    this.#context = context;
    this.#log = log;
    this.#tally = tally;
  }

  /** Those that are good as things are, with what else must hold. */
  goodAnswers(): KnownAnswer[] {
    const health = HEALTH_QUERIES.filter((query) => this.#alarm(new URLSearchParams(query)) === null).map((query) => {
      const local = isLocal(new URLSearchParams(query));
      const needs = { ...NOTHING_NEEDED, needsLeader: !local, readsStore: local, readsQuorum: !local };
      return { kind: "health", target: `/health${query}`, ...needs, answer: HEALTHY } as const;
    });
    const livez = { ...NOTHING_NEEDED, readsStore: true };
    const readyz = { ...livez, needsVote: true, readsQuorum: true };
    const isWhole = !this.#context.alarms.has(AlarmType.Corrupt);
    return [
      ...health,
      { kind: "livez", target: "/livez", ...livez, answer: ALL_CHECKS_GOOD },
      ...(isWhole ? [{ kind: "readyz", target: "/readyz", ...readyz, answer: ALL_CHECKS_GOOD } as const] : []),
    ];
  }

  /** The answer if the path is one of these endpoints, else null. */
  async serve(request: HttpRequest): Promise<HttpAnswer | null> {
    if (request.path === "/health") return this.#health(request);
    const [, type = "", name, ...rest] = request.path.split("/");
    if ((type !== "livez" && type !== "readyz") || rest.length > 0) return null;
    const checks = CHECKS_OF[type];
    if (name === undefined) return this.#checks(request, type, checks, true);
    return checks.includes(name) ? this.#checks(request, type, [name], false) : null;
  }

  async #health(request: HttpRequest): Promise<HttpAnswer> {
    if (request.method !== "GET") {
      this.#log.warn("/health error", { "status-code": 405 });
      return methodNotAllowed();
    }
    const reason = await this.#unhealthy(request);
    this.#tally.health(reason === null);
    if (reason === null) return HEALTHY;
    const body = JSON.stringify({ health: "false", reason });
    this.#log.warn("/health error", { output: body, "status-code": 503 });
    return errorAnswer(503, body);
  }

  /** Alarms, then the leader, then a read; the first that is not good. */
  async #unhealthy(request: HttpRequest): Promise<string | null> {
    const alarm = this.#alarm(request.query);
    if (alarm !== null) {
      this.#log.warn("serving /health false due to an alarm", { alarm });
      return `ALARM ${alarm}`;
    }
    const local = isLocal(request.query);
    // Whoever has waited for a read has passed this before.
    if (!local && request.failedRead === null && this.#context.raft().leader === 0n) {
      this.#log.warn("serving /health false; no leader");
      return "RAFT NO LEADER";
    }
    try {
      await (local ? this.#context.serializableRead() : linearizableRead(this.#context, request));
      return null;
    } catch (error) {
      return `RANGE ERROR:${(error as Error).message}`;
    }
  }

  /** The name of the first alarm that counts. */
  #alarm(query: URLSearchParams): string | null {
    const excluded = query.getAll("exclude");
    const names = this.#context.alarms.list().map(({ type }) => alarmName(type));
    return names.find((name) => !excluded.includes(name)) ?? null;
  }

  async #checks(
    request: HttpRequest,
    type: CheckedEndpoint,
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
      checks.filter((name) => !excluded.has(name)).map((name) => this.#runCheck(request, type, name)),
    );
    const report = lines.map((line) => line.text).join("");
    if (lines.some((line) => !line.good)) {
      this.#log.error("Health check error", { path: request.path, reason: report, "status-code": 503 });
      return errorAnswer(503, report);
    }
    return request.query.has("verbose") ? { ...ALL_CHECKS_GOOD, body: `${report}ok\n` } : ALL_CHECKS_GOOD;
  }

  async #runCheck(request: HttpRequest, type: CheckedEndpoint, name: string): Promise<{ good: boolean; text: string }> {
    let reason: string | null = null;
    try {
      await CHECKS[name]?.(this.#context, request);
    } catch (error) {
      reason = (error as Error).message;
    }
    this.#tally.check(type, name, reason === null);
    if (reason === null) return { good: true, text: `[+]${name} ok\n` };
    return { good: false, text: `[-]${name} failed: ${reason}\n` };
  }
}
