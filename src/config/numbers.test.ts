// Numbers and durations of flags: what they mean where they are zero, negative, a fraction or the largest.

import { describe, expect, it } from "vitest";
import type { Config } from "./config.js";
import { loadConfig } from "./load.js";

function run(...args: string[]): Config {
  const loaded = loadConfig(args, {});
  if (loaded.kind !== "run") throw new Error(`not run but ${JSON.stringify(loaded)}`);
  return loaded.config;
}

const refusal = (arg: string) => {
  const loaded = loadConfig([arg], {});
  return loaded.kind === "refused" ? loaded.error.message : `not refused but ${loaded.kind}`;
};

const LARGEST = "2562047h47m16.854775807s";
const UINT64_MAX = "18446744073709551615";

describe("keep-alives", () => {
  it("that are not above zero are those of Go's gRPC server, as in etcd", () => {
    const fallback = { grpcKeepaliveIntervalMs: 7_200_000, grpcKeepaliveTimeoutMs: 20_000 };
    for (const value of ["0", "-5s", "-1ns"]) {
      expect(run(`--grpc-keepalive-min-time=${value}`).grpcKeepaliveMinTimeMs).toBe(300_000);
      expect(run(`--grpc-keepalive-interval=${value}`, "--grpc-keepalive-timeout=3s")).toMatchObject(fallback);
      expect(run(`--grpc-keepalive-timeout=${value}`, "--grpc-keepalive-interval=3s")).toMatchObject(fallback);
    }
  });

  it("keep fractions of a millisecond, and the server pings once a second at most", () => {
    expect(run("--grpc-keepalive-min-time=1500us").grpcKeepaliveMinTimeMs).toBe(1.5);
    expect(run("--grpc-keepalive-interval=1500us").grpcKeepaliveIntervalMs).toBe(1_000);
    expect(run("--grpc-keepalive-interval=1.0000005s").grpcKeepaliveIntervalMs).toBe(1000.0005);
    expect(run(`--grpc-keepalive-timeout=${LARGEST}`).grpcKeepaliveTimeoutMs).toBeGreaterThan(9.2e12);
  });
});

describe("the other durations", () => {
  it.each([
    ["--compaction-sleep-interval=0", { compactionSleepIntervalMs: 10 }],
    ["--compaction-sleep-interval=-5s", { compactionSleepIntervalMs: 0 }],
    ["--compaction-sleep-interval=1500us", { compactionSleepIntervalMs: 1.5 }],
    ["--watch-progress-notify-interval=0", { watchProgressNotifyIntervalMs: 600_000 }],
    ["--watch-progress-notify-interval=-5s", { watchProgressNotifyIntervalMs: 100 }],
    ["--watch-progress-notify-interval=1.0000005s", { watchProgressNotifyIntervalMs: 1000.0005 }],
    ["--raft-read-timeout=-5s", { peerReadTimeoutMs: 5_000 }],
    ["--raft-write-timeout=1ns", { peerWriteTimeoutMs: 5_000 }],
    ["--warning-apply-duration=1500us", { warningApplyDurationMs: 1.5 }],
    ["--warning-unary-request-duration=0", { warningUnaryRequestDurationMs: 0 }],
  ])("%s", (arg, expected) => {
    expect(run(arg)).toMatchObject(expected);
  });
});

describe("numbers", () => {
  it.each([
    ["--snapshot-count=0", { snapshotCount: 10_000 }],
    [`--snapshot-count=${UINT64_MAX}`, { snapshotCount: Number.MAX_SAFE_INTEGER }],
    ["--snapshot-catchup-entries=0", { snapshotCatchupEntries: 5_000 }],
    ["--compaction-batch-limit=0", { compactionBatchLimit: null }],
    ["--compaction-batch-limit=-1", { compactionBatchLimit: Number.MAX_SAFE_INTEGER }],
    ["--quota-backend-bytes=9223372036854775807", { quotaBackendBytes: Number.MAX_SAFE_INTEGER }],
    ["--quota-backend-bytes=-9223372036854775808", { quotaBackendBytes: -Number.MAX_SAFE_INTEGER }],
    ["--max-learners=-1", { maxLearners: -1 }],
    ["--max-concurrent-streams=0", { maxConcurrentStreams: 0 }],
    [`--max-txn-ops=${UINT64_MAX}`, { maxTxnOps: Number.MAX_SAFE_INTEGER }],
  ])("%s", (arg, expected) => {
    expect(run(arg)).toMatchObject(expected);
  });

  it("are named as they were given, also beyond what JavaScript counts with", () => {
    expect(refusal(`--election-timeout=${UINT64_MAX}`)).toContain(`--election-timeout[${UINT64_MAX}ms] is too long`);
    expect(refusal("--heartbeat-interval=9007199254740993")).toContain("--heartbeat-interval[9007199254740993ms]");
    expect(refusal("--compact-hash-check-time=-2562047h47m16.854775808s")).toContain("-2562047h47m16.854775808s");
  });
});
