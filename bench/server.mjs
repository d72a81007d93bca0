// Starts and stops the servers of a bench, and reads from /proc and their data directories what work costs them.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** The two that are compared. `NETCD` and `ETCD` name other binaries. */
export const binaries = {
  netcd: process.env.NETCD ?? join(root, "bin/netcd"),
  etcd: process.env.ETCD ?? join(root, "bin/reference/etcd"),
};

export const clockTicksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
// Of a member that has a network of its own.
const clientPort = 2379;
const peerPort = 2380;
const stopWaitMsMax = 60_000;
const running = new Set();

// No server outlives the bench, however it ends.
process.on("exit", () => {
  for (const server of running) {
    server.killGroup("SIGKILL");
    rmSync(server.directory, { recursive: true, force: true });
  }
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit(130));
}

// Below the ports that the kernel gives to connections: a member that starts again must find its own free.
const portRangeDefault = "20000-32000";
// A probed port is free again at once: none is given twice.
const portsGiven = new Set();

/** A port that is free now; `NETCD_TEST_PORTS` ("from-to") restricts which. */
export async function freePort() {
  const [from, to] = (process.env.NETCD_TEST_PORTS ?? portRangeDefault).split("-").map(Number);
  for (let port = from; port <= to; port++) {
    if (portsGiven.has(port)) {
      continue;
    }
    portsGiven.add(port);
    const free = await new Promise((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) {
      return port;
    }
  }
  throw new Error("no free port");
}

/** One server process with a data directory of its own. */
export class Server {
  /**
   * @param {"netcd" | "etcd"} label
   * @param {{ cpus?: string, name?: string, flags?: string[], host?: import("./lab.mjs").Host,
   *   certificates?: import("./certificates.mjs").Certificates }} options with `host` it runs in a network of its own,
   *   which only `reach` reaches, with `certificates` all its URLs are https
   */
  constructor(label, options = {}) {
    this.label = label;
    this.options = options;
    this.directory = mkdtempSync(join(tmpdir(), `netcd-bench-${label}-`));
    this.dataDirectory = join(this.directory, "data");
    this.name = options.name ?? "m1";
    /**
     * Who makes the calls of a bench, once auth is on: a name and a password.
     * @type {string | undefined}
     */
    this.user = undefined;
  }

  /** What clients and members show each other; undefined without TLS. */
  get certificates() {
    return this.options.certificates;
  }

  get scheme() {
    return this.certificates === undefined ? "http" : "https";
  }

  get peerUrl() {
    return `${this.scheme}://${this.peer}`;
  }

  /** What a program's command line begins with so that it reaches the server. */
  get reach() {
    return this.options.host?.reach ?? [];
  }

  async choosePorts() {
    const { host } = this.options;
    if (host !== undefined) {
      this.endpoint = `${host.address}:${clientPort}`;
      this.peer = `${host.address}:${peerPort}`;
      return;
    }
    this.endpoint = `127.0.0.1:${await freePort()}`;
    this.peer = `127.0.0.1:${await freePort()}`;
  }

  /** Starts the process on ports that it keeps, without waiting; returns the wall clock in ms. */
  launch(initialCluster) {
    this.initialCluster = initialCluster ?? this.initialCluster ?? `${this.name}=${this.peerUrl}`;
    const log = openSync(join(this.directory, "log"), "a");
    const pinned = this.options.cpus ? ["taskset", "-c", this.options.cpus] : [];
    const command = [
      ...(this.options.host?.enter ?? []),
      ...pinned,
      binaries[this.label],
      `--name=${this.name}`,
      `--data-dir=${this.dataDirectory}`,
      `--listen-client-urls=${this.scheme}://${this.endpoint}`,
      `--advertise-client-urls=${this.scheme}://${this.endpoint}`,
      `--listen-peer-urls=${this.peerUrl}`,
      `--initial-advertise-peer-urls=${this.peerUrl}`,
      `--initial-cluster=${this.initialCluster}`,
      ...(this.certificates?.serverFlags() ?? []),
      // Both get room for the largest fill, so that no quota decides a bench.
      "--quota-backend-bytes=8589934592",
      ...(this.options.flags ?? []),
    ];
    const startedAtMs = performance.timeOrigin + performance.now();
    this.process = spawn(command[0], command.slice(1), { stdio: ["ignore", log, log], detached: true });
    this.exited = new Promise((resolve) => this.process.once("exit", resolve));
    running.add(this);
    return startedAtMs;
  }

  /** Starts again on its data, with these flags beside those that every server has. */
  async relaunch(flags) {
    await this.stop();
    this.options = { ...this.options, flags };
    return this.launch();
  }

  killGroup(signal) {
    try {
      process.kill(-this.process.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") {
        throw error;
      }
    }
  }

  /** Stops it cleanly; the data stays. */
  async stop(signal = "SIGTERM") {
    this.killGroup(signal);
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve("late"), stopWaitMsMax);
    });
    const how = await Promise.race([this.exited.then(() => "exited"), late]);
    clearTimeout(timer);
    running.delete(this);
    if (how === "late") {
      this.killGroup("SIGKILL");
      throw new Error(`${this.label} did not stop in ${stopWaitMsMax} ms`);
    }
  }

  /** Kills it and removes its data. */
  async destroy() {
    await this.stop("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  logTail() {
    return readFileSync(join(this.directory, "log"), "utf8").slice(-3000);
  }

  /** Seconds of CPU, user and system, that the process and all below it have used. */
  cpuSeconds() {
    let ticks = 0;
    for (const pid of this.pids()) {
      const fields = readProc(pid, "stat")
        .replace(/^.*\) /, "")
        .split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    }
    return ticks / clockTicksPerSecond;
  }

  /** The process and all below it. */
  pids() {
    return tree(this.process.pid);
  }

  /** Bytes on disk of the database, the log aside: allocated, since files may be sparse. */
  databaseBytes() {
    return allocatedBytes(this.dataDirectory, (path) => !/(^|\/)wal(\/|$)/.test(path));
  }
}

/** Bytes of anonymous memory of these processes that are resident now. */
export function rssAnonBytes(pids) {
  let bytes = 0;
  for (const pid of pids) {
    bytes += Number(/^RssAnon:\s+(\d+) kB/m.exec(readProc(pid, "status"))?.[1] ?? 0) * 1024;
  }
  return bytes;
}

/** The process and its descendants. */
function tree(pid) {
  const found = [pid];
  for (const parent of found) {
    for (const task of readdirSync(`/proc/${parent}/task`)) {
      const children = readProc(parent, `task/${task}/children`).trim();
      found.push(...(children === "" ? [] : children.split(" ").map(Number)));
    }
  }
  return found;
}

function readProc(pid, file) {
  return readFileSync(`/proc/${pid}/${file}`, "utf8");
}

function allocatedBytes(directory, wanted) {
  let bytes = 0;
  for (const entry of existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: "utf8" }) : []) {
    if (wanted(entry)) {
      bytes += statSync(join(directory, entry)).blocks * 512;
    }
  }
  return bytes;
}
