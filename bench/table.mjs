// Renders results as a Markdown table with both servers' figures, their spread over the rounds and their ratio, and
// picks from such a table what docs/performance.md and the README show.
import { median } from "./measure.mjs";
import { clockTicksPerSecond } from "./server.mjs";

const units = {
  rate: (value) => `${value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value.toFixed(1)}/s`,
  ms: (value) => `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ms`,
  seconds: (value) => `${value.toFixed(2)} s`,
  us: (value) => `${value.toFixed(1)} µs`,
  percent: (value) => `${(value * 100).toFixed(1)} %`,
  times: (value) => `×${value.toFixed(2)}`,
  fewBytes: (value) => `${value.toFixed(0)} B`,
  bandwidth: (value) => `${(value / 1e6).toFixed(0)} MB/s`,
  bytes: (value) => `${(value / 2 ** 20).toFixed(1)} MiB`,
};

/** Which figure leads a row: its name in a result, its unit, and whether more is better. */
const figures = {
  rate: { of: (result) => result.perSecond, unit: "rate", moreIsBetter: true },
  bandwidth: { of: (result) => result.extra.bytesPerSecond, unit: "bandwidth", moreIsBetter: true },
  p50: { of: (result) => result.p50Ms, unit: "ms" },
  p99: { of: (result) => result.p99Ms, unit: "ms" },
  mean: { of: (result) => result.extra.meanMs, unit: "ms" },
  seconds: { of: (result) => result.seconds, unit: "seconds" },
  kept: { of: (result) => result.kept, unit: "percent", moreIsBetter: true },
  slower: { of: (result) => result.slower, unit: "times" },
  costs: { of: (result) => result.costs, unit: "percent" },
  change: { of: (result) => result.extra.changeMs, unit: "ms" },
  rss: { of: (result) => result.rssAnonBytes, unit: "bytes" },
  rssEach: { of: (result) => result.rssEachBytes, unit: "fewBytes" },
  rssAdded: { of: (result) => result.rssAnonAddedBytes, unit: "bytes" },
};

const ratioShownMin = 0.005;

/** Of nothing there is no ratio. */
function ratio(value) {
  if (!Number.isFinite(value)) {
    return "–";
  }
  return value < ratioShownMin ? "< ×0.01" : units.times(value);
}

const latency = (result) => (result?.p50Ms ? `${units.ms(result.p50Ms)} / ${units.ms(result.p99Ms)}` : "–");

/** CPU of one operation; where the clock has not ticked, less than a tick of all. */
function cpu(us, operations) {
  return us > 0 ? units.us(us) : `< ${units.us(1e6 / clockTicksPerSecond / operations)}`;
}

const serverCpu = (result) =>
  cpu(result.cpuUs, result.operations) +
  (result.targetCpuUs === undefined ? "" : ` (${result.targetCpuUs.toFixed(1)})`);

/** Of one that does not have what the row is about there is nothing. */
const shown = (result, show) => (result === undefined ? "–" : show(result));
const both = ({ netcd, etcd }, show) => `${shown(netcd, show)} / ${shown(etcd, show)}`;

/** The figure's median, with the least and the most of its rounds. */
function figure(row, label) {
  if (row.results[label] === undefined) {
    return "–";
  }
  const { of, unit } = figures[row.figure];
  const { each } = row.results[label];
  const all = each.map(of);
  const show = units[unit];
  return `${show(median(all))} (${show(Math.min(...all))} to ${show(Math.max(...all))})`;
}

const ofOperations = (row, show) => (row.perOperation === false ? "–" : both(row.results, show));

/** What stands in a column, and how it is called in the documents, where it is shown there. */
const columns = [
  { name: "work", shown: "work", of: (row) => row.title },
  { name: "figure", of: (row) => row.figure },
  { name: "netcd", shown: "netcd", of: (row) => figure(row, "netcd") },
  { name: "etcd", shown: "etcd 3.7.3", of: (row) => figure(row, "etcd") },
  {
    name: "netcd/etcd",
    shown: "ratio",
    of: ({ figure, results: { netcd, etcd } }) =>
      netcd && etcd ? ratio(figures[figure].of(netcd) / figures[figure].of(etcd)) : "–",
  },
  { name: "to reach", of: (row) => row.target },
  { name: "p50 / p99 (netcd)", shown: "p50 / p99 netcd", of: (row) => latency(row.results.netcd) },
  { name: "p50 / p99 (etcd)", shown: "p50 / p99 etcd", of: (row) => latency(row.results.etcd) },
  {
    name: "CPU per op",
    shown: "server CPU per operation, netcd / etcd",
    of: (row) => ofOperations(row, serverCpu),
  },
  {
    name: "generator's CPU per op",
    shown: "load generator's, against netcd / etcd",
    of: (row) => ofOperations(row, (result) => cpu(result.generatorCpuUs, result.operations)),
  },
  {
    name: "RssAnon",
    shown: "RssAnon, netcd / etcd",
    of: (row) => both(row.results, (result) => units.bytes(result.rssAnonBytes)),
  },
  { name: "database", of: (row) => both(row.results, (result) => units.bytes(result.databaseBytes)) },
];

const line = (cells) => `| ${cells.join(" | ")} |`;
const cellsOf = (text) => text.slice(2, -2).split(" | ");
const rule = (width) => line(Array(width).fill("---"));

/**
 * @param {{ title: string, target: string, figure: keyof typeof figures, perOperation?: boolean,
 *   results: { netcd?: object, etcd?: object } }[]} rows perOperation is false where CPU went into more than the operations
 */
export function table(rows) {
  const head = [line(columns.map(({ name }) => name)), rule(columns.length)];
  return [...head, ...rows.map((row) => line(columns.map(({ of }) => of(row))))].join("\n");
}

/** Columns of the README's figures. */
const figureColumns = ["work", "netcd", "etcd", "netcd/etcd"];

/** The cells of a file of results, by row and by the name of the column. */
function rowsOf(results) {
  const [head, , ...rows] = results.split("\n").filter((text) => text.startsWith("| "));
  const names = cellsOf(head);
  return rows.map((text) => new Map(cellsOf(text).map((cell, place) => [names[place], cell])));
}

function pick(rows, wanted) {
  const lacking = wanted.filter(({ name }) => rows.some((row) => !row.has(name)));
  if (lacking.length > 0) {
    throw new Error(`the results lack ${lacking.map(({ name }) => name)}: run them again`);
  }
  const picked = rows.map((row) => line(wanted.map(({ name }) => row.get(name))));
  return [line(wanted.map(({ shown }) => shown)), rule(wanted.length), ...picked].join("\n");
}

/** The columns that docs/performance.md shows of the table in a file of results. */
export function documentTable(results) {
  return pick(
    rowsOf(results),
    columns.filter(({ shown }) => shown !== undefined),
  );
}

/**
 * A few rows as the README shows them.
 * @param {{ results: string, work: string, as: string }[]} wanted `work` names the row, `as` is what it is called there
 */
export function figuresTable(wanted) {
  const rows = wanted.map(({ results, work, as }) => {
    const row = rowsOf(results).find((each) => each.get("work") === work);
    if (row === undefined) {
      throw new Error(`the results have no row "${work}"`);
    }
    return new Map([...row, ["work", as]]);
  });
  return pick(
    rows,
    columns.filter(({ name }) => figureColumns.includes(name)),
  );
}
