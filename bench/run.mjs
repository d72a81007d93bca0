// npm run bench: netcd and real etcd side by side, the same work on both in one run, a table with the ratio.
//   --group kv|client|watch|http|cluster|faults|auth|tls|all   which rows, several with commas (kv)
//   --rows a,b                 only these rows, and those that they need
//   --size small|medium|full   small finishes in seconds and is part of npm test (full)
//   --rounds N                 how often everything is run, on fresh members; 2 at least (full: 3, otherwise 2)
//   --cpus 0-1                 pins both servers to these cores
//   --out FILE|DIRECTORY/      writes the table there too; a directory (bench/results/) gets a file for each group
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import * as auth from "./auth.mjs";
import * as client from "./client.mjs";
import * as cluster from "./cluster.mjs";
import * as faults from "./faults.mjs";
import * as http from "./http.mjs";
import * as kv from "./kv.mjs";
import { buildLoad, serves } from "./load.mjs";
import { coreTicks, machineLines } from "./machine.mjs";
import { summary } from "./measure.mjs";
import { binaries, Server } from "./server.mjs";
import { table } from "./table.mjs";
import * as tls from "./tls.mjs";
import * as watch from "./watch.mjs";

const roundsMin = 2;
const roundsOf = { small: 2, medium: 2, full: 3 };
// The small size only shows that every row works. Most of its time is waiting, so groups run side by side.
const lanesOf = { small: 2, medium: 1, full: 1 };

const { values: flags } = parseArgs({
  options: {
    group: { type: "string", default: "kv" },
    rows: { type: "string" },
    size: { type: "string", default: "full" },
    rounds: { type: "string" },
    cpus: { type: "string" },
    out: { type: "string" },
  },
});

/** How often everything is run. One round shows nothing of its spread, so there is no row with one. */
const rounds = Number(flags.rounds ?? roundsOf[flags.size]);

/** `start` makes what one round runs on; `skipped` says which rows cannot run here, and why. */
const groups = {
  kv: { rows: kv.kvRows, sizes: kv.sizes, start: startOne },
  client: { rows: client.clientRows, sizes: client.sizes, start: startOne },
  watch: { rows: watch.watchRows, sizes: watch.sizes, start: startOne },
  http: { rows: http.httpRows, sizes: http.sizes, start: startOne },
  cluster: { rows: cluster.clusterRows, sizes: cluster.sizes, start: cluster.startThree },
  faults: { rows: faults.faultRows, sizes: faults.sizes, start: faults.startInLab, skipped: faults.skipped },
  auth: { rows: auth.authRows, sizes: auth.sizes, start: startOne },
  tls: { rows: tls.tlsRows, sizes: tls.sizes, start: tls.startWithTls },
};

/** One fresh member. */
async function startOne(label) {
  const server = new Server(label, { cpus: flags.cpus });
  await server.choosePorts();
  server.launch();
  await serves(server);
  return server;
}

/** The rows asked for, with those that they need, in order. */
function chosen(rows) {
  if (flags.rows === undefined) {
    return rows;
  }
  const wanted = new Set(flags.rows.split(","));
  for (const row of [...rows].reverse()) {
    if (wanted.has(row.name) && row.needs !== undefined) {
      wanted.add(row.needs);
    }
  }
  return rows.filter((row) => wanted.has(row.name));
}

/** Whom a row is about. */
const labelsOf = (row) => (row.only === undefined ? ["netcd", "etcd"] : [row.only]);

/** Those in the order of a turn: each is first every other time. */
const inTurn = (row, turn) => (turn % 2 === 0 ? labelsOf(row) : labelsOf(row).reverse());

/**
 * One round of a row on both, of so many turns; only one is under load at a time. A row with `twin` gets another fresh
 * member of the same kind to compare with. Adds to `each` what was measured.
 */
async function runRow(row, servers, round, each) {
  const twins =
    row.twin &&
    Object.fromEntries(await Promise.all(labelsOf(row).map(async (label) => [label, await startOne(label)])));
  for (let turn = 0; turn < (row.turns ?? 1); turn++) {
    for (const label of inTurn(row, round + turn)) {
      process.stderr.write(`round ${round + 1}, ${row.name}: ${label}\n`);
      await row.prepare?.(servers[label]);
      each[label].push(await row.run(servers[label], twins?.[label]));
    }
  }
  await Promise.all(Object.values(twins ?? {}).map((twin) => twin.destroy()));
}

/** Every round begins with fresh members, so that a row finds in each what it found in the others. */
async function runGroup(name) {
  const group = groups[name];
  const size = group?.sizes[flags.size];
  if (size === undefined) {
    throw new Error(`no group ${name} of size ${flags.size}`);
  }
  const done = new Map();
  for (let round = 0; round < rounds; round++) {
    const servers = { netcd: await group.start("netcd", flags, size), etcd: await group.start("etcd", flags, size) };
    try {
      for (const row of chosen(group.rows(size))) {
        const { each } = done.get(row.name) ?? { each: { netcd: [], etcd: [] } };
        await runRow(row, servers, round, each);
        done.set(row.name, { row, each });
      }
    } finally {
      await Promise.all([servers.netcd.destroy(), servers.etcd.destroy()]);
    }
  }
  const rows = [...done.values()].flatMap(({ row, each }) => {
    const results = Object.fromEntries(labelsOf(row).map((label) => [label, summary(each[label])]));
    const first = { ...row, results, title: row.title + (row.note?.(results) ?? "") };
    return [first, ...(row.also ?? []).map((more) => ({ ...first, ...more }))];
  });
  const skipped = group.skipped?.() ?? "";
  return `## ${name}\n\n${table(rows)}${skipped && `\n\nSKIPPED: ${skipped}`}`;
}

/** Without the reference there is nothing to compare; with CI=true that is a failure. */
function requireBinaries() {
  const missing = Object.values(binaries).filter((path) => !existsSync(path));
  if (spawnSync("h2load", ["--version"]).error) missing.push("h2load");
  if (missing.length === 0) {
    return true;
  }
  console.error(`SKIPPED: ${missing.join(", ")} missing: run scripts/setup-reference.sh and npm run build`);
  process.exitCode = process.env.CI === "true" ? 1 : 0;
  return false;
}

async function main() {
  if (!(rounds >= roundsMin)) {
    throw new Error(`${flags.rounds ?? "no"} rounds of size ${flags.size}: ${roundsMin} at least`);
  }
  if (!requireBinaries()) {
    return;
  }
  buildLoad();
  const names = flags.group === "all" ? Object.keys(groups) : flags.group.split(",");
  const began = coreTicks();
  const text = report(await inLanes(names, lanesOf[flags.size] ?? 1, groupPart), began);
  console.log(text);
  if (flags.out !== undefined && !flags.out.endsWith("/")) {
    write(flags.out, text);
  }
}

/** What the work makes of each name, in the names' order; as many at a time as there are lanes. */
async function inLanes(names, lanes, work) {
  const parts = new Array(names.length);
  const left = [...names.entries()];
  const lane = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      parts[next[0]] = await work(next[1]);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return parts;
}

/** A group's part of the report, which is a file of its own where a directory was asked for. */
async function groupPart(name) {
  const before = coreTicks();
  const started = performance.now();
  const part = await runGroup(name);
  process.stderr.write(`${name}: ${((performance.now() - started) / 60_000).toFixed(1)} min\n`);
  if (flags.out?.endsWith("/")) {
    write(join(flags.out, `${name}.md`), report([part], before));
  }
  return part;
}

function report(parts, before) {
  return [
    `# netcd and etcd 3.7.3 side by side (size ${flags.size}, ${rounds} rounds)`,
    machineLines(before).join("\n"),
    ...parts,
  ].join("\n\n");
}

function write(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${text}\n`);
}

await main();
