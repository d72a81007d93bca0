// npm run bench:readme: writes the tables of bench/results into docs/performance.md, each where a line names its file,
// and a few figures into README.md. A place whose file is not there yet stays as it is.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asProgram, ROOT } from "../scripts/lib/run.mjs";
import * as cluster from "./cluster.mjs";
import * as kv from "./kv.mjs";
import { documentTable, figuresTable } from "./table.mjs";

const read = (name) => readFileSync(join(ROOT, name), "utf8");

const groups = {
  kv: { rows: kv.kvRows, sizes: kv.sizes },
  cluster: { rows: cluster.clusterRows, sizes: cluster.sizes },
};

/** What README.md shows: a row by its name, and what it is called there, which the size of the bench may decide. */
const figures = [
  { of: "kv", row: "puts", as: () => "puts, one member, 1,000 at a time" },
  { of: "cluster", row: "puts", as: () => "puts, three members, 1,000 at a time" },
  { of: "kv", row: "idle", as: () => "memory of an idle member without keys" },
  {
    of: "kv",
    row: "rss",
    as: ({ keys }) => `memory with ${keys.toLocaleString("en")} keys, after a restart`,
  },
];

/** The figure in a file of results, which says of which size it is: so are the titles of its rows. */
function found({ of, row, as }, results) {
  const { rows, sizes } = groups[of];
  const size = sizes[/^# .*\(size (\w+)/.exec(results)?.[1]];
  if (size === undefined) {
    throw new Error(`bench/results/${of}.md does not say its size`);
  }
  return { results, work: rows(size).find(({ name }) => name === row).title, as: as(size) };
}

function performanceDocument() {
  return read("docs/performance.md").replace(
    /^<!-- (bench\/results\/\w+\.md) -->\n(?:\n(?:\|.*\n)+)?/gm,
    (place, results) =>
      existsSync(join(ROOT, results)) ? `<!-- ${results} -->\n\n${documentTable(read(results))}\n` : place,
  );
}

/**
 * The README with its figures.
 * @param {(group: string) => string} resultsOf what the group's file of results holds
 */
export function readmeDocument(resultsOf) {
  const wanted = figures.map((figure) => found(figure, resultsOf(figure.of)));
  return read("README.md").replace(
    /^<!-- figures -->\n\n(?:\|.*\n)+/m,
    `<!-- figures -->\n\n${figuresTable(wanted)}\n`,
  );
}

/** The documents with the tables of bench/results, by their names. */
export function documents() {
  return new Map([
    ["docs/performance.md", performanceDocument()],
    ["README.md", readmeDocument((group) => read(`bench/results/${group}.md`))],
  ]);
}

await asProgram(import.meta.url, () => {
  for (const [name, text] of documents()) writeFileSync(join(ROOT, name), text);
});
