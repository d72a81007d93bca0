// Every path that etcd serves over HTTP: on which listeners netcd does, and what it does not have yet.

import type { ListenerRole } from "./message.js";

interface ServedPath {
  /** A path, or the beginning of paths where it ends with `*`. */
  readonly path: string;
  readonly listeners: readonly ListenerRole[];
  /** Set while it is not served: it is then answered with 404 as any path that nobody knows. */
  readonly missing: string | null;
  readonly note: string;
}

const served = (path: string, listeners: readonly ListenerRole[], note = ""): ServedPath => ({
  path,
  listeners,
  missing: null,
  note,
});
const absent = (path: string, missing: string): ServedPath => ({ path, listeners: ["client"], missing, note: "" });

const PROBES: readonly ListenerRole[] = ["client", "metrics"];

/** In the order of the documentation. */
export const PATHS: readonly ServedPath[] = [
  served("/version", ["client", "peer"]),
  served("/health", PROBES),
  served("/livez*", PROBES),
  served("/readyz*", PROBES),
  served("/metrics", PROBES),
  served("/debug/vars", ["client"], "cmdline, file_descriptor_limit, raft.status, and V8's memory as memstats"),
  absent("/debug/pprof/*", "profiling over HTTP"),
  absent("/debug/requests", "traces of requests"),
  absent("/debug/events", "traces of requests"),
  absent("/v3/*", "the JSON gateway"),
  absent("/v3beta/*", "the JSON gateway"),
  served("/members*", ["peer"]),
  served("/raft*", ["peer"], "the messages of raft are netcd's own: members of etcd and netcd do not mix"),
  served("/leases*", ["peer"]),
  served("/downgrade/enabled", ["peer"]),
];

/** The first parts of the paths that a listener serves. */
export function servedBy(role: ListenerRole): readonly string[] {
  const own = PATHS.filter(({ listeners, missing }) => missing === null && listeners.includes(role));
  return own.map(({ path }) => path.replace("*", "").split("/")[1] ?? "");
}
