// npm run bench: netcd and real etcd side by side, the same work on both in one run, a table with the ratio.
//   --group kv|watch|cluster|http|all   which rows (kv)
//   --rows a,b                     only these rows, and those that they need
//   --size small|full              small finishes in seconds and is part of npm test (full)
//   --cpus 0-1                     pins both servers to these cores
//   --out FILE                     writes the table there too (bench/results/…)
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import * as cluster from "./cluster.mjs";
import * as http from "./http.mjs";
import * as kv from "./kv.mjs";
import { buildLoad, load } from "./load.mjs";
import { coreTicks, machineLines } from "./machine.mjs";
import { middle } from "./measure.mjs";
import { binaries, Server } from "./server.mjs";
import { table } from "./table.mjs";
import * as watch from "./watch.mjs";

const serveWaitSeconds = 60;

const { values: flags } = parseArgs({
  options: {
    group: { type: "string", default: "kv" },
    rows: { type: "string" },
    size: { type: "string", default: "full" },
    cpus: { type: "string" },
    out: { type: "string" },
  },
});

const groups = {
  kv: { rows: kv.kvRows, sizes: kv.sizes, start: startOne },
  watch: { rows: watch.watchRows, sizes: watch.sizes, start: startOne },
  http: { rows: http.httpRows, sizes: http.sizes, start: startOne },
  cluster: { rows: cluster.clusterRows, sizes: cluster.sizes, start: cluster.startThree },
};

/** One fresh member. */
async function startOne(label) {
  const server = new Server(label, { cpus: flags.cpus });
  await server.choosePorts();
  server.launch();
  await serves(server);
  return server;
}

async function serves(server) {
  try {
    await load("await", server, { seconds: serveWaitSeconds });
  } catch (error) {
    throw new Error(`${server.label} does not serve: ${server.logTail()}`, { cause: error });
  }
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

/**
 * One row on both, taking turns; only one is under load at a time. A row with `twin` gets another fresh member of the
 * same kind to compare with.
 */
async function runRow(row, servers) {
  const twins = row.twin && { netcd: await startOne("netcd"), etcd: await startOne("etcd") };
  const rounds = { netcd: [], etcd: [] };
  for (let round = 0; round < (row.rounds ?? 1); round++) {
    for (const label of round % 2 === 0 ? ["netcd", "etcd"] : ["etcd", "netcd"]) {
      process.stderr.write(`${row.name}: ${label}\n`);
      await row.prepare?.(servers[label]);
      rounds[label].push(await row.run(servers[label], twins?.[label]));
    }
  }
  await Promise.all(Object.values(twins ?? {}).map((twin) => twin.destroy()));
  const summary = (each) => ({ ...middle(each), each });
  return { ...row, results: { netcd: summary(rounds.netcd), etcd: summary(rounds.etcd) } };
}

async function runGroup(name) {
  const group = groups[name];
  const size = group?.sizes[flags.size];
  if (size === undefined) {
    throw new Error(`no group ${name} of size ${flags.size}`);
  }
  const servers = { netcd: await group.start("netcd", flags), etcd: await group.start("etcd", flags) };
  const done = [];
  try {
    for (const row of chosen(group.rows(size))) {
      done.push(await runRow(row, servers));
    }
  } finally {
    await Promise.all([servers.netcd.destroy(), servers.etcd.destroy()]);
  }
  return `## ${name}\n\n${table(done)}`;
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
  if (!requireBinaries()) {
    return;
  }
  buildLoad();
  const names = flags.group === "all" ? Object.keys(groups) : flags.group.split(",");
  const before = coreTicks();
  const parts = [];
  for (const name of names) {
    parts.push(await runGroup(name));
  }
  const text = [
    `# netcd and etcd 3.7.3 side by side (size ${flags.size})`,
    machineLines(before).join("\n"),
    ...parts,
  ].join("\n\n");
  console.log(text);
  if (flags.out !== undefined) {
    mkdirSync(dirname(flags.out), { recursive: true });
    writeFileSync(flags.out, `${text}\n`);
  }
}

await main();
