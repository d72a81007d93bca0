// npm run bench:readme: writes the tables of bench/results into docs/performance.md, each where a line names its file,
// and three figures into README.md. A place whose file is not there yet stays as it is.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asProgram, ROOT } from "../scripts/lib/run.mjs";
import { documentTable, figuresTable } from "./table.mjs";

const read = (name) => readFileSync(join(ROOT, name), "utf8");

/** What README.md shows: a row of a file of results, and what it is called there. */
const figures = [
  { of: "kv", work: "puts, 100 connections × 10 streams (h2load)", as: "puts, one member, 1,000 at a time" },
  {
    of: "cluster",
    work: "puts, 100 connections × 10 streams (h2load), leader",
    as: "puts, three members, 1,000 at a time",
  },
  {
    of: "kv",
    work: "RssAnon with 1000000 keys of 41 bytes, after restart",
    as: "memory with 1,000,000 keys, after a restart",
  },
];

/** The documents with the tables of bench/results, by their names. */
export function documents() {
  const performance = read("docs/performance.md").replace(
    /^<!-- (bench\/results\/\w+\.md) -->\n(?:\n(?:\|.*\n)+)?/gm,
    (place, results) =>
      existsSync(join(ROOT, results)) ? `<!-- ${results} -->\n\n${documentTable(read(results))}\n` : place,
  );
  const wanted = figures.map(({ of, ...figure }) => ({ results: read(`bench/results/${of}.md`), ...figure }));
  const readme = read("README.md").replace(
    /^<!-- figures -->\n\n(?:\|.*\n)+/m,
    `<!-- figures -->\n\n${figuresTable(wanted)}\n`,
  );
  return new Map([
    ["docs/performance.md", performance],
    ["README.md", readme],
  ]);
}

await asProgram(import.meta.url, () => {
  for (const [name, text] of documents()) writeFileSync(join(ROOT, name), text);
});
