// Puts work on one server and measures what it cost; takes the median of several rounds.
import { rssAnonBytes } from "./server.mjs";

/** @param {number[]} values  @param {number} fraction */
export function percentile(values, fraction) {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))];
}

const sampleIntervalMs = 25;

/**
 * Runs the work and adds what it cost the server: cpuUs per operation (and generatorCpuUs), rssAnonBytes after it, and
 * rssAnonAddedBytes, the most that it had above where it began. Of a cluster all this is of all members, and
 * targetCpuUs of the member that was asked.
 * @param {import("./server.mjs").Server | import("./cluster.mjs").Cluster} server
 * @param {() => Promise<{ operations: number, seconds: number, generatorCpuSeconds?: number, p50Ms?: number,
 *   p99Ms?: number, extra?: Record<string, number> }>} work
 */
export async function measured(server, work) {
  const cpuBefore = server.cpuSeconds();
  const target = "target" in server ? server.target : undefined;
  const targetCpuBefore = target?.cpuSeconds();
  // Looked up once: to look through every thread for children at every sample costs more the more threads a server has.
  const pids = server.pids();
  const rssBefore = rssAnonBytes(pids);
  let rssMost = rssBefore;
  const sampler = setInterval(() => {
    rssMost = Math.max(rssMost, rssAnonBytes(pids));
  }, sampleIntervalMs);
  try {
    const result = await work();
    return {
      ...result,
      perSecond: result.operations / result.seconds,
      cpuUs: ((server.cpuSeconds() - cpuBefore) * 1e6) / result.operations,
      generatorCpuUs: result.generatorCpuSeconds && (result.generatorCpuSeconds * 1e6) / result.operations,
      targetCpuUs: target && ((target.cpuSeconds() - targetCpuBefore) * 1e6) / result.operations,
      rssAnonBytes: rssAnonBytes(server.pids()),
      rssAnonAddedBytes: rssMost - rssBefore,
      databaseBytes: server.databaseBytes(),
    };
  } finally {
    clearInterval(sampler);
  }
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** The median of each figure over rounds, and the rounds as `each`. */
export function summary(rounds) {
  return { ...medians(rounds), each: rounds };
}

function medians(rounds) {
  const figures = {};
  for (const [name, value] of Object.entries(rounds[0])) {
    const all = rounds.map((round) => round[name]);
    figures[name] = typeof value === "object" ? medians(all) : value === undefined ? undefined : median(all);
  }
  return figures;
}
