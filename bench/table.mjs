// Renders results as a Markdown table with both servers' figures and their ratio.

const units = {
  rate: (value) => `${value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value.toFixed(1)}/s`,
  ms: (value) => `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ms`,
  seconds: (value) => `${value.toFixed(2)} s`,
  us: (value) => `${value.toFixed(1)} µs`,
  percent: (value) => `${(value * 100).toFixed(1)} %`,
  times: (value) => `×${value.toFixed(2)}`,
  fewBytes: (value) => `${value.toFixed(0)} B`,
  bytes: (value) => `${(value / 2 ** 20).toFixed(1)} MiB`,
};

/** Which figure leads a row: its name in a result, its unit, and whether more is better. */
const figures = {
  rate: { of: (result) => result.perSecond, unit: "rate", moreIsBetter: true },
  p50: { of: (result) => result.p50Ms, unit: "ms" },
  p99: { of: (result) => result.p99Ms, unit: "ms" },
  mean: { of: (result) => result.extra.meanMs, unit: "ms" },
  seconds: { of: (result) => result.seconds, unit: "seconds" },
  kept: { of: (result) => result.kept, unit: "percent", moreIsBetter: true },
  slower: { of: (result) => result.slower, unit: "times" },
  rss: { of: (result) => result.rssAnonBytes, unit: "bytes" },
  rssEach: { of: (result) => result.rssEachBytes, unit: "fewBytes" },
  rssAdded: { of: (result) => result.rssAnonAddedBytes, unit: "bytes" },
};

const header =
  "| work | figure | netcd | etcd | netcd/etcd | to reach | p50 / p99 (netcd) | p50 / p99 (etcd) | CPU per op | RssAnon | database |";

/** @param {{ title: string, target: string, figure: keyof typeof figures, results: { netcd: object, etcd: object } }[]} rows */
export function table(rows) {
  const lines = [header, `| ${Array(11).fill("---").join(" | ")} |`];
  for (const row of rows) {
    const { of, unit } = figures[row.figure];
    const { netcd, etcd } = row.results;
    const both = (format, pick) =>
      [netcd, etcd].map((result) => (pick(result) === undefined ? "–" : format(pick(result)))).join(" / ");
    const latency = (result) => (result.p50Ms ? `${units.ms(result.p50Ms)} / ${units.ms(result.p99Ms)}` : "–");
    const cpu = (result) => units.us(result.cpuUs) + (result.targetCpuUs ? ` (${result.targetCpuUs.toFixed(1)})` : "");
    lines.push(
      `| ${[
        row.title,
        row.figure,
        units[unit](of(netcd)),
        units[unit](of(etcd)),
        `×${(of(netcd) / of(etcd)).toFixed(2)}`,
        row.target,
        latency(netcd),
        latency(etcd),
        [netcd, etcd].map((result) => (result.cpuUs === undefined ? "–" : cpu(result))).join(" / "),
        both(units.bytes, (result) => result.rssAnonBytes),
        both(units.bytes, (result) => result.databaseBytes),
      ].join(" | ")} |`,
    );
  }
  return lines.join("\n");
}
