// /debug/vars: what Go programs publish as variables, as far as it has a meaning here.

import { readFileSync } from "node:fs";
import type { RaftStatus } from "../raft/index.js";
import { answer, type HttpAnswer } from "./message.js";
import { fileDescriptorLimit } from "./processmetrics.js";

const STATES = {
  follower: "StateFollower",
  preCandidate: "StatePreCandidate",
  candidate: "StateCandidate",
  leader: "StateLeader",
} as const;

const PROGRESS = { probe: "StateProbe", replicate: "StateReplicate", snapshot: "StateSnapshot" } as const;

const hex = (id: bigint) => id.toString(16);

/** One line for each variable, in the order of their names, as Go prints them. */
export function serveDebugVars(status: RaftStatus): HttpAnswer {
  const variables = {
    cmdline: [process.argv[1] ?? "netcd", ...process.argv.slice(2)],
    file_descriptor_limit: fileDescriptorLimit(),
    memstats: memory(),
    "raft.status": raftStatus(status),
  };
  const lines = Object.entries(variables).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return answer(200, "application/json; charset=utf-8", `{\n${lines.join(",\n")}\n}\n`);
}

/** As etcd's raft writes it: only the leader knows how far the others are. */
function raftStatus(status: RaftStatus) {
  const progress = [...(status.progress ?? [])].map(([id, { match, next, state }]) => [
    hex(id),
    { match, next, state: PROGRESS[state] },
  ]);
  return {
    id: hex(status.id),
    term: status.term,
    vote: hex(status.vote),
    commit: status.committed,
    lead: hex(status.lead),
    raftState: STATES[status.role],
    applied: status.applied,
    progress: Object.fromEntries(progress),
    leadtransferee: hex(status.transferee),
  };
}

/** Those of Go's figures that are true of this process: JavaScript's heap, and all memory that is no mapped file. */
function memory() {
  const { heapUsed, heapTotal, rss } = process.memoryUsage();
  return { Alloc: heapUsed, Sys: anonymousBytes() ?? rss, HeapAlloc: heapUsed, HeapSys: heapTotal };
}

/** null where the system does not say. */
function anonymousBytes(): number | null {
  try {
    const match = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    return match === null ? null : Number(match[1]) * 1024;
  } catch {
    return null;
  }
}
