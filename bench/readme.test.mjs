// The documents show what bench/results holds.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../scripts/lib/run.mjs";
import { clusterRows, sizes as clusterSizes } from "./cluster.mjs";
import { kvRows, sizes as kvSizes } from "./kv.mjs";
import { documents, readmeDocument } from "./readme.mjs";
import { documentTable, figuresTable } from "./table.mjs";

const results = (name) => readFileSync(join(ROOT, "bench/results", name), "utf8");

test("docs/performance.md and the README have the tables of bench/results", () => {
  for (const [name, text] of documents()) {
    const lines = readFileSync(join(ROOT, name), "utf8").split("\n");
    const stale = text.split("\n").filter((line) => !lines.includes(line));
    expect(stale, `npm run bench:readme was not run for ${name}`).toEqual([]);
    expect(lines.join("\n")).toBe(text);
  }
});

test("every file of results has its place in docs/performance.md", () => {
  const text = documents().get("docs/performance.md");
  const files = readdirSync(join(ROOT, "bench/results"));
  expect(files.length).toBeGreaterThan(2);
  expect(files.filter((name) => !text.includes(`<!-- bench/results/${name} -->\n\n| work | netcd |`))).toEqual([]);
});

test("the README's figures are found in results of any size", () => {
  const rows = { kv: (size) => kvRows(kvSizes[size]), cluster: (size) => clusterRows(clusterSizes[size]) };
  const resultsOf = (size) => (group) =>
    [
      `# netcd and etcd side by side (size ${size}, 2 rounds)`,
      "| work | netcd | etcd | netcd/etcd |",
      "| --- | --- | --- | --- |",
      ...rows[group](size in kvSizes ? size : "full").map(({ title }) => `| ${title} | 1 | 2 | ×0.50 |`),
    ].join("\n");
  for (const [size, keys] of [
    ["small", "3,000"],
    ["medium", "200,000"],
    ["full", "1,000,000"],
  ]) {
    expect(readmeDocument(resultsOf(size))).toContain(`| memory with ${keys} keys, after a restart | 1 | 2 | ×0.50 |`);
  }
  expect(() => readmeDocument(resultsOf("other"))).toThrow("bench/results/kv.md does not say its size");
});

test("results that lack a column or a row are refused", () => {
  const kv = results("kv.md");
  expect(documentTable(kv)).toContain("| RssAnon, netcd / etcd |");
  expect(() => documentTable(kv.replaceAll("RssAnon |", "other |"))).toThrow("the results lack RssAnon");
  expect(() => figuresTable([{ results: kv, work: "a row of before", as: "puts" }])).toThrow(
    'no row "a row of before"',
  );
});
