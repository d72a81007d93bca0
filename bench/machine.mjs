// Describes the machine of a bench, with the latency of fdatasync where the data directories are.
import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism, cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { percentile } from "./measure.mjs";

const syncsMeasured = 500;
const syncBytes = 4096;

/** Latency of appending a page and syncing it, in µs. */
function fdatasyncUs() {
  const directory = mkdtempSync(join(tmpdir(), "netcd-sync-"));
  const file = openSync(join(directory, "file"), "w");
  const page = Buffer.alloc(syncBytes, 1);
  // Written once before, as a preallocated log is, so that no sync has to grow the file.
  for (let i = 0; i < syncsMeasured; i++) {
    writeSync(file, page, 0, syncBytes, i * syncBytes);
  }
  fdatasyncSync(file);
  const latencies = [];
  for (let i = 0; i < syncsMeasured; i++) {
    writeSync(file, page, 0, syncBytes, i * syncBytes);
    const began = performance.now();
    fdatasyncSync(file);
    latencies.push((performance.now() - began) * 1000);
  }
  closeSync(file);
  rmSync(directory, { recursive: true, force: true });
  return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) };
}

/** What all cores did since the start, in ticks: everything, and what the host gave to other machines. */
export function coreTicks() {
  const [all] = readFileSync("/proc/stat", "utf8").split("\n");
  // user nice system idle iowait irq softirq steal; what guests of this machine took is in user already.
  const ticks = all.trim().split(/\s+/).slice(1, 9).map(Number);
  return { all: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] };
}

/** The machine, and how much of it the host took away since `before`. */
export function machineLines(before) {
  const now = coreTicks();
  const stolen = (now.stolen - before.stolen) / (now.all - before.all);
  const sync = fdatasyncUs();
  const filesystem = execFileSync("stat", ["-f", "-c", "%T", tmpdir()], { encoding: "utf8" }).trim();
  return [
    `- ${availableParallelism()} cores, ${cpus()[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, ${filesystem}`,
    `- fdatasync of 4 KiB: p50 ${sync.p50.toFixed(0)} µs, p99 ${sync.p99.toFixed(0)} µs`,
    `- taken by the host meanwhile: ${(100 * stolen).toFixed(1)} % of the cores' time`,
    `- Node ${process.version}`,
  ];
}
