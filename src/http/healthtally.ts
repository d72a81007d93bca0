// How often health was asked for and what came of it: what was answered here, and what the data plane has answered by
// itself, which counts only good answers.

import type { Registry } from "prom-client";
import type { ProbeCounts } from "../native/binding.js";
import { counter, counters, gauges } from "./collected.js";

/** Checks of each endpoint, in the order in which they are listed. */
export const CHECKS_OF: Readonly<Record<CheckedEndpoint, readonly string[]>> = {
  livez: ["serializable_read"],
  readyz: ["data_corruption", "serializable_read", "linearizable_read", "non_learner"],
};

export type CheckedEndpoint = "livez" | "readyz";

/** Of the runs here of one check. */
interface Runs {
  good: number;
  bad: number;
  lastWasGood: boolean;
  /** Good answers of the data plane before the last run. */
  before: number;
}

export class HealthTally {
  readonly #elsewhere: () => ProbeCounts;
  readonly #runs = new Map<string, Runs>();
  #healthy = 0;
  #unhealthy = 0;

  /** `elsewhere`: the data plane's answers. */
  constructor(registry: Registry, elsewhere: () => ProbeCounts) {
    this.#elsewhere = elsewhere;
    counter(
      registry,
      "etcd_server_health_success",
      "Answers of /health that were good.",
      () => this.#healthy + elsewhere().health,
    );
    counter(registry, "etcd_server_health_failures", "Answers of /health that were not good.", () => this.#unhealthy);
    const state = "The last result of each check: 1 good, 0 not.";
    gauges(registry, "etcd_server_healthcheck", state, ["type", "name"], () => this.#states());
    const runs = "Checks that ran, by result.";
    counters(registry, "etcd_server_healthchecks_total", runs, ["type", "name", "status"], () => this.#totals());
  }

  /** An answer of /health. */
  health(good: boolean): void {
    if (good) this.#healthy += 1;
    else this.#unhealthy += 1;
  }

  /** A check that ran for an answer of /livez or /readyz. */
  check(type: CheckedEndpoint, name: string, good: boolean): void {
    const { good: goods, bad } = this.#of(type, name);
    const before = this.#elsewhere()[type];
    const counted = good ? { good: goods + 1, bad } : { good: goods, bad: bad + 1 };
    this.#runs.set(`${type} ${name}`, { ...counted, lastWasGood: good, before });
  }

  #of(type: CheckedEndpoint, name: string): Runs {
    return this.#runs.get(`${type} ${name}`) ?? { good: 0, bad: 0, lastWasGood: true, before: 0 };
  }

  /** All checks: their runs here, and how often they were good in the data plane. */
  #all() {
    const elsewhere = this.#elsewhere();
    return (Object.keys(CHECKS_OF) as CheckedEndpoint[]).flatMap((type) =>
      CHECKS_OF[type].map((name) => ({ type, name, runs: this.#of(type, name), elsewhere: elsewhere[type] })),
    );
  }

  #states() {
    const ran = this.#all().filter(({ runs, elsewhere }) => runs.good + runs.bad + elsewhere > 0);
    return ran.map(({ type, name, runs, elsewhere }) => {
      const isGood = runs.lastWasGood || elsewhere > runs.before;
      return [{ type, name }, isGood ? 1 : 0] as const;
    });
  }

  #totals() {
    const totals = this.#all().flatMap(({ type, name, runs, elsewhere }) => [
      [{ type, name, status: "success" }, runs.good + elsewhere] as const,
      [{ type, name, status: "error" }, runs.bad] as const,
    ]);
    return totals.filter(([, total]) => total > 0);
  }
}
