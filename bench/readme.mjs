// npm run bench:readme: writes the tables of bench/results into README.md, each where a line names its file.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./server.mjs";
import { readmeTable } from "./table.mjs";

const path = join(root, "README.md");
const before = readFileSync(path, "utf8");
const after = before.replace(
  /^<!-- (bench\/results\/\w+\.md) -->\n\n(?:\|.*\n)+/gm,
  (_, results) => `<!-- ${results} -->\n\n${readmeTable(readFileSync(join(root, results), "utf8"))}\n`,
);
writeFileSync(path, after);
