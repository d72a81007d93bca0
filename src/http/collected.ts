// Metrics whose value is read when they are scraped.

import { Counter, Gauge, type Registry } from "prom-client";

/** Registers a gauge. */
export function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

/** Registers a counter that is kept elsewhere. */
export function counter(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** Registers counters that are kept elsewhere, with a line for each of what is there. */
export function counters<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labels: readonly Label[],
  read: () => Iterable<readonly [Record<Label, string>, number]>,
): void {
  new Counter({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      this.reset();
      for (const [of, total] of read()) this.inc(of, total);
    },
  });
}

/** One gauge that is always 1 and whose label is the fact. */
export function fact(registry: Registry, name: string, help: string, label: string, value: string): void {
  new Gauge({ name, help, labelNames: [label], registers: [registry] }).set({ [label]: value }, 1);
}

/** Registers a gauge with a line for each of what is there now. */
export function gauges<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labels: readonly Label[],
  read: () => Iterable<readonly [Record<Label, string>, number]>,
): void {
  new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    collect() {
      this.reset();
      for (const [of, value] of read()) this.set(of, value);
    },
  });
}
