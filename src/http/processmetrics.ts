// Metrics of the process, from /proc, which is read once a scrape; where there is none they are left out.

import { readdirSync, readFileSync } from "node:fs";
import type { Registry } from "prom-client";
import { counter, gauge } from "./collected.js";

const CLOCK_TICKS_A_SECOND = 100;
const PAGE_BYTES = 4096;
const OPEN_FILES = "Max open files";

const RECEIVED_COLUMN = 0;
const SENT_COLUMN = 8;

/** What /proc says of this process at one moment. */
interface Figures {
  readonly openFds: number;
  /** A limit by its name in /proc/self/limits. */
  limit(name: string): number;
  /** A field of /proc/self/stat by its number, from 3 on. */
  stat(number: number): number;
  /** The sum of a column of /proc/net/dev. */
  network(column: number): number;
}

function read(): Figures {
  const of = (file: string) => readFileSync(`/proc/self/${file}`, "utf8");
  const statText = of("stat");
  // The command in brackets may hold blanks; the fields are counted behind it, the first being number 3.
  const stat = statText.slice(statText.lastIndexOf(")") + 2).split(" ");
  const limits = of("limits");
  // One line for each interface behind two of headings.
  const interfaces = of("net/dev")
    .trim()
    .split("\n")
    .slice(2)
    .map((line) =>
      line
        .slice(line.indexOf(":") + 1)
        .trim()
        .split(/\s+/),
    );
  return {
    openFds: readdirSync("/proc/self/fd").length,
    limit: (name) => limitOf(limits, name),
    stat: (number) => Number(stat[number - 3] ?? 0),
    network: (column) => interfaces.reduce((sum, each) => sum + Number(each[column]), 0),
  };
}

/** The soft limit in the text of /proc/self/limits. */
function limitOf(limits: string, name: string): number {
  const value = limits
    .split("\n")
    .find((line) => line.startsWith(name))
    ?.slice(26)
    .trim()
    .split(/\s+/)[0];
  return value === "unlimited" ? 2 ** 64 : Number(value ?? 0);
}

/** How many files this process may have open; 0 where the system does not say. */
export function fileDescriptorLimit(): number {
  try {
    return limitOf(readFileSync("/proc/self/limits", "utf8"), OPEN_FILES);
  } catch {
    return 0;
  }
}

/** Registers them; the function that is returned reads them anew, before each scrape. */
export function registerProcess(registry: Registry): () => void {
  let figures: Figures;
  try {
    figures = read();
  } catch {
    return () => {};
  }
  const startSeconds = Date.now() / 1000 - process.uptime();
  counter(registry, "process_cpu_seconds_total", "CPU time of the process in seconds.", () => {
    return (figures.stat(14) + figures.stat(15)) / CLOCK_TICKS_A_SECOND;
  });
  counter(registry, "process_network_receive_bytes_total", "Bytes that the process's network has received.", () =>
    figures.network(RECEIVED_COLUMN),
  );
  counter(registry, "process_network_transmit_bytes_total", "Bytes that the process's network has sent.", () =>
    figures.network(SENT_COLUMN),
  );
  for (const name of ["process_open_fds", "os_fd_used"]) gauge(registry, name, "Open files.", () => figures.openFds);
  for (const name of ["process_max_fds", "os_fd_limit"]) {
    gauge(registry, name, "Limit of open files.", () => figures.limit(OPEN_FILES));
  }
  const add = (name: string, help: string, value: () => number) => gauge(registry, `process_${name}`, help, value);
  add("resident_memory_bytes", "Resident memory.", () => figures.stat(24) * PAGE_BYTES);
  add("virtual_memory_bytes", "Virtual memory.", () => figures.stat(23));
  add("virtual_memory_max_bytes", "Limit of virtual memory.", () => figures.limit("Max address space"));
  add("start_time_seconds", "Start, in seconds since 1970.", () => startSeconds);
  return () => {
    figures = read();
  };
}
