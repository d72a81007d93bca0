// The documents show what bench/results holds.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../scripts/lib/run.mjs";
import { documents } from "./readme.mjs";
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

test("results that lack a column or a row are refused", () => {
  const kv = results("kv.md");
  expect(documentTable(kv)).toContain("| RssAnon, netcd / etcd |");
  expect(() => documentTable(kv.replaceAll("RssAnon |", "other |"))).toThrow("the results lack RssAnon");
  expect(() => figuresTable([{ results: kv, work: "a row of before", as: "puts" }])).toThrow(
    'no row "a row of before"',
  );
});
