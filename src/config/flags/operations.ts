// Flags of monitoring, logging, tuning and of what is unsafe.

import { rowsOf } from "./spec.js";

const monitoring = rowsOf("Profiling and Monitoring");
const logging = rowsOf("Logging");
const tuning = rowsOf("Features and tuning");
const unsafe = rowsOf("Unsafe");

const TRACING = "distributed tracing";
const ROTATION = "rotation of the log";

export const monitoringFlags = [
  monitoring("enable-pprof", "bool", "false", "Serve profiles below /debug/pprof/.", {
    missing: "profiling over HTTP",
  }),
  monitoring("metrics", "string", "basic", "basic, or extensive for a histogram of every gRPC call."),
  monitoring("listen-metrics-urls", "urls", "", "More URLs for metrics and health.", { exception: "" }),
  monitoring("enable-distributed-tracing", "bool", "false", "Send OpenTelemetry traces.", { missing: TRACING }),
  monitoring("distributed-tracing-address", "string", "localhost:4317", "Collector of the traces.", {
    missing: TRACING,
  }),
  monitoring("distributed-tracing-service-name", "string", "etcd", "Service name in the traces.", { missing: TRACING }),
  monitoring("distributed-tracing-instance-id", "string", "", "Instance id in the traces.", { missing: TRACING }),
  monitoring("distributed-tracing-sampling-rate", "int", "0", "Samples of a million.", { missing: TRACING }),
] as const;

export const loggingFlags = [
  logging("logger", "string", "zap", "Shape of the log; only zap."),
  logging("log-outputs", "set", "default", "default (stderr), stderr, stdout or file paths."),
  logging("log-level", "string", "info", "debug, info, warn, error, dpanic, panic or fatal."),
  logging("log-format", "string", "json", "json or console."),
  logging("enable-log-rotation", "bool", "false", "Rotate the one log file.", { missing: ROTATION }),
  logging(
    "log-rotation-config-json",
    "string",
    '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
    "How to rotate it.",
    { missing: ROTATION },
  ),
  logging(
    "warning-apply-duration",
    "duration",
    "100ms",
    "Log operations that are applied for longer, and reads that take longer, as apply request took too long.",
  ),
  logging(
    "warning-unary-request-duration",
    "duration",
    "300ms",
    "Log unary calls that take longer as request stats; at the log level debug all are.",
  ),
] as const;

export const tuningFlags = [
  tuning("corrupt-check-time", "duration", "0s", "Interval of checks for corruption, 0 = off.", {
    missing: "checks for corruption",
  }),
  tuning("compact-hash-check-time", "duration", "1m0s", "Interval of checks of compaction hashes.", {
    missing: "checks of compaction hashes",
  }),
  tuning(
    "compaction-batch-limit",
    "int",
    "0",
    "Revisions that one slice of a compaction removes; 0 = netcd's own pace: up to 16000, fewer where they lie scattered.",
  ),
  tuning("compaction-sleep-interval", "duration", "0s", "Pause between slices of a compaction; 0 = 10ms."),
  tuning("watch-progress-notify-interval", "duration", "0s", "Interval of progress notifications; 0 = 10m."),
  tuning("downgrade-check-time", "duration", "5s", "Interval of checks of a downgrade.", {
    missing: "downgrades of the cluster",
  }),
  tuning("bootstrap-defrag-threshold-megabytes", "uint", "0", "Defragment at start if it frees this much; 0 = off.", {
    missing: "defragmentation at start",
  }),
  tuning("max-learners", "int", "1", "Most learners in the cluster."),
  tuning("experimental-auto-promote", "bool", "false", "Make a voter of a learner that has caught up (netcd's own)."),
] as const;

export const unsafeFlags = [
  unsafe("force-new-cluster", "bool", "false", "Restart as the only member of a new cluster."),
  unsafe("unsafe-no-fsync", "bool", "false", "Do not sync files; a crash may lose data."),
] as const;
