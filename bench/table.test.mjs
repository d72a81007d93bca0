// A table of results: the median of the rounds, with the least and the most of them, in every row.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../scripts/lib/run.mjs";
import { median, summary } from "./measure.mjs";
import { documentTable, table } from "./table.mjs";

const round = (perSecond, p50Ms) => ({
  operations: 10,
  seconds: 10 / perSecond,
  perSecond,
  p50Ms,
  p99Ms: 2 * p50Ms,
  cpuUs: 1,
  generatorCpuUs: 2,
  targetCpuUs: undefined,
  rssAnonBytes: 2 ** 20,
  databaseBytes: 2 ** 21,
  extra: { meanMs: p50Ms, bytesPerSecond: 1e6 * perSecond },
});

const row = (figure, netcd, etcd) => ({
  title: `a row of ${figure}`,
  target: "–",
  figure,
  results: { netcd: summary(netcd), etcd: summary(etcd) },
});

test("the median of an even number of rounds lies between the two in the middle", () => {
  expect(median([4, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  const extra = { meanMs: 1.5, bytesPerSecond: 2e8 };
  expect(summary([round(100, 1), round(300, 2)])).toMatchObject({ perSecond: 200, extra });
});

test("every row shows the median and the spread of both servers", () => {
  const rounds = [round(100, 1), round(400, 3), round(200, 2)];
  const half = [round(50, 4), round(100, 8), round(200, 6)];
  const text = table(["rate", "bandwidth", "p50", "seconds"].map((figure) => row(figure, rounds, half)));
  expect(text).toContain("| 200.0/s (100.0/s to 400.0/s) | 100.0/s (50.0/s to 200.0/s) | ×2.00 |");
  expect(text).toContain("| 200 MB/s (100 MB/s to 400 MB/s) | 100 MB/s (50 MB/s to 200 MB/s) | ×2.00 |");
  expect(text).toContain("| 2.00 ms (1.00 ms to 3.00 ms) | 6.00 ms (4.00 ms to 8.00 ms) | ×0.33 |");
  expect(text).toContain("| 0.05 s (0.03 s to 0.10 s) | 0.10 s (0.05 s to 0.20 s) | ×0.50 |");
  expect(documentTable(text)).toContain("| 1.0 MiB / 1.0 MiB |");
});

test("a row about one server has nothing of the other", () => {
  const { results, ...rest } = row("rate", [round(100, 1), round(300, 3)], [round(1, 1)]);
  const text = table([{ ...rest, results: { netcd: results.netcd } }]);
  expect(text).toContain("| rate | 200.0/s (100.0/s to 300.0/s) | – | – | – | 2.00 ms / 4.00 ms | – | 1.0 µs / – |");
});

test.each([
  ["--rounds", "1"],
  ["--rounds", "some"],
  ["--size", "other"],
])("a bench of %s %s is refused", (...args) => {
  const run = () =>
    execFileSync(process.execPath, [join(ROOT, "bench/run.mjs"), "--group", "http", ...args], { stdio: "pipe" });
  expect(run).toThrow("2 at least");
});
