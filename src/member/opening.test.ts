// What the data plane is told of the flags that concern it alone.

import { expect, it } from "vitest";
import { loadConfig } from "../config/load.js";
import type { EngineOptions, NativeBinding } from "../native/binding.js";
import { openData } from "./opening.js";

function optionsFor(...flags: string[]): EngineOptions {
  const loaded = loadConfig(flags, {});
  if (loaded.kind !== "run") throw new Error(`refused: ${flags.join(" ")}`);
  let given: EngineOptions | null = null;
  class Recorder {
    constructor(options: EngineOptions) {
      given = options;
    }
    open = () => Promise.reject(new Error("nothing is opened here"));
  }
  const binding = { NativeEngine: Recorder } as unknown as NativeBinding;
  openData(loaded.config, binding, { identity: { clusterId: 1n, memberId: 2n }, lock: { release: () => {} } });
  if (given === null) throw new Error("no engine was made");
  return given;
}

it.each([
  ["--warning-apply-duration=70ms", { warningApplyDurationMs: 70 }],
  ["--warning-unary-request-duration=1500us", { warningUnaryRequestDurationMs: 1.5 }],
  ["--log-level=debug", { logRequests: true }],
  ["--backend-batch-interval=30ms", { backendBatchIntervalMs: 30 }],
  ["--backend-batch-limit=50", { backendBatchLimit: 50 }],
  ["--compaction-batch-limit=7", { compactionBatchLimit: 7 }],
  ["--compaction-sleep-interval=2s", { compactionSleepIntervalMs: 2000 }],
  ["--grpc-keepalive-min-time=7s", { grpcKeepaliveMinTimeMs: 7000 }],
  ["--grpc-keepalive-interval=3h", { grpcKeepaliveIntervalMs: 10_800_000 }],
  ["--grpc-keepalive-timeout=11s", { grpcKeepaliveTimeoutMs: 11_000 }],
  ["--watch-progress-notify-interval=3s", { watchProgressNotifyIntervalMs: 3000 }],
  ["--unsafe-no-fsync", { unsafeNoFsync: true }],
  ["--auth-token=jwt,sign-method=HS256,priv-key=key", { authToken: "jwt" }],
  ["--auth-token=", { authToken: "none" }],
  ["--raft-read-timeout=8s", { peerReadTimeoutMs: 8000 }],
  ["--raft-write-timeout=9s", { peerWriteTimeoutMs: 9000 }],
  ["--raft-write-timeout=5s", { peerWriteTimeoutMs: 5000 }],
])("%s reaches the data plane", (flag, expected) => {
  expect(optionsFor(flag)).toMatchObject(expected);
  expect(optionsFor()).not.toMatchObject(expected);
});

it("a link's timeouts are never below 5 s where they are set", () => {
  const options = optionsFor("--raft-read-timeout=1s", "--raft-write-timeout=1s");
  expect(options).toMatchObject({ peerReadTimeoutMs: 5000, peerWriteTimeoutMs: 5000 });
});
