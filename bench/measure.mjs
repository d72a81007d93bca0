// Puts work on one server and measures what it cost; takes the middle of several rounds.
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

/** The middle of each figure over rounds. */
export function middle(rounds) {
  const figures = {};
  for (const name of Object.keys(rounds[0])) {
    figures[name] =
      name === "extra" && rounds[0].extra !== undefined
        ? middle(rounds.map((round) => round.extra))
        : percentile(
            rounds.map((round) => round[name]),
            0.5,
          );
  }
  return figures;
}
