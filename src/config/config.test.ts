// Every rule of command line, environment and config file, with etcd's texts.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Config } from "./config.js";
import { formatDuration, formatNanoseconds, parseDuration } from "./duration.js";
import { FLAGS, LISTED_FLAGS } from "./flags/index.js";
import { loadConfig } from "./load.js";

const folder = mkdtempSync(join(tmpdir(), "netcd-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function run(args: string[], environment: Record<string, string> = {}): Config {
  const loaded = loadConfig(args, environment);
  if (loaded.kind !== "run") throw new Error(`not run but ${JSON.stringify(loaded)}`);
  return loaded.config;
}

function refusal(args: string[], environment: Record<string, string> = {}): string {
  const loaded = loadConfig(args, environment);
  return loaded.kind === "refused" ? loaded.error.message : `not refused but ${loaded.kind}`;
}

function usage(args: string[]): string {
  const loaded = loadConfig(args, {});
  if (loaded.kind !== "print") return `not printed but ${loaded.kind}`;
  expect(loaded.code).toBe(2);
  expect(loaded.stdout).toBe("");
  return loaded.stderr.split("\n")[0] ?? "";
}

function file(content: string): string[] {
  const path = join(folder, "netcd.yaml");
  writeFileSync(path, content);
  return ["--config-file", path];
}

describe("the command line", () => {
  it("has etcd's defaults", () => {
    const config = run([]);
    expect(config).toMatchObject({
      name: "default",
      dataDir: "default.etcd",
      walDir: null,
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      initialCluster: "default=http://localhost:2380",
      initialClusterToken: "etcd-cluster",
      maxTxnOps: 128,
      maxRequestBytes: 1572864,
      maxConcurrentStreams: 4294967295,
      grpcKeepaliveIntervalMs: 7_200_000,
      watchProgressNotifyIntervalMs: 600_000,
      backendBatchIntervalMs: 100,
      backendBatchLimit: null,
      compactionBatchLimit: null,
      peerReadTimeoutMs: 5_000,
      peerWriteTimeoutMs: 3_000,
      cors: ["*"],
      hostWhitelist: ["*"],
    });
    expect(config.listenClientUrls.map((url) => url.text)).toEqual(["http://localhost:2379"]);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it("takes -x v, --x v and --x=v, and bools only with =", () => {
    expect(run(["-name", "a"]).name).toBe("a");
    expect(run(["--name", "a"]).name).toBe("a");
    expect(run(["--name=a=b"]).name).toBe("a=b");
    expect(run(["--pre-vote=false"]).preVote).toBe(false);
    expect(run(["--pre-vote"]).preVote).toBe(true);
    expect(refusal(["--pre-vote", "false"])).toBe('"false" is not a valid flag');
  });

  it("takes and ignores flags of old versions, without a value", () => {
    expect(run(["--snapshot", "--name", "a", "--vv"]).name).toBe("a");
  });

  it.each([
    [["--bogus"], "flag provided but not defined: -bogus"],
    [["--name"], "flag needs an argument: -name"],
    [["---x"], "bad flag syntax: ---x"],
    [["--=x"], "bad flag syntax: --=x"],
    [["--quota-backend-bytes", "abc"], 'invalid value "abc" for flag -quota-backend-bytes: parse error'],
    [["--heartbeat-interval=-1"], 'invalid value "-1" for flag -heartbeat-interval: parse error'],
    [
      ["--heartbeat-interval=99999999999999999999"],
      'invalid value "99999999999999999999" for flag -heartbeat-interval: value out of range',
    ],
    [["--grpc-keepalive-min-time=5"], 'invalid value "5" for flag -grpc-keepalive-min-time: parse error'],
    [["--pre-vote=foo"], 'invalid boolean value "foo" for -pre-vote: parse error'],
    [["--initial-cluster-state", "foo"], 'invalid value "foo" for flag -initial-cluster-state: invalid value'],
    [["--v2-deprecation", "foo"], 'invalid value "foo" for flag -v2-deprecation: invalid value "foo"'],
    [
      ["--feature-gates", "Foo=true"],
      'invalid value "Foo=true" for flag -feature-gates: unrecognized feature gate: Foo',
    ],
    [["--feature-gates", "foo"], 'invalid value "foo" for flag -feature-gates: missing bool value for foo'],
    [
      ["--max-concurrent-streams", "-1"],
      'invalid value "-1" for flag -max-concurrent-streams: strconv.ParseUint: parsing "-1": invalid syntax',
    ],
    [
      ["--max-concurrent-streams", "4294967296"],
      'invalid value "4294967296" for flag -max-concurrent-streams: strconv.ParseUint: parsing "4294967296": value out of range',
    ],
    [
      ["--listen-peer-urls", "foo"],
      'invalid value "foo" for flag -listen-peer-urls: URL scheme must be http, https, unix, or unixs: foo',
    ],
    [
      ["--listen-peer-urls", "http://127.0.0.1:1/x"],
      'invalid value "http://127.0.0.1:1/x" for flag -listen-peer-urls: URL must not contain a path: http://127.0.0.1:1/x',
    ],
    [
      ["--listen-peer-urls", "http://127.0.0.1"],
      'invalid value "http://127.0.0.1" for flag -listen-peer-urls: URL address does not have the form "host:port": http://127.0.0.1',
    ],
    [["--log-level", "foo"], 'panic: unrecognized level: "foo"'],
  ])("%j ends with code 2 and says why", (args, message) => {
    expect(usage(args)).toBe(message);
  });

  it("prints help and version with code 0", () => {
    for (const flag of ["-h", "--help"]) {
      const help = loadConfig([flag], {});
      expect(help).toMatchObject({ kind: "print", code: 0 });
      for (const { name } of LISTED_FLAGS) expect(help.kind === "print" && help.stdout).toContain(`--${name} `);
    }
    const version = loadConfig(["--version"], {});
    expect(version.kind === "print" && version.stdout).toMatch(
      /^etcd Version: 3\.7\.3\nGit SHA: .+\nGo Version: .+\nGo OS\/Arch: \w+\/\w+\nnetcd Version: \d+\.\d+\.\d+\n$/,
    );
  });
});

describe("checks of the whole", () => {
  it.each([
    [["foo"], '"foo" is not a valid flag'],
    [
      ["--listen-client-urls", "http://127.0.0.1:1"],
      "--advertise-client-urls is required when --listen-client-urls is set explicitly",
    ],
    [["--listen-peer-urls", "http://foo.example:23792"], "expected IP in URL for binding (http://foo.example:23792)"],
    [
      ["--initial-advertise-peer-urls", "http://:2380"],
      '--initial-advertise-peer-urls "http://:2380" must be "host:port" (unexpected empty host (http://:2380))',
    ],
    [["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"],
    [["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"],
    [
      ["--election-timeout=400"],
      "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]",
    ],
    [["--election-timeout=60000"], "--election-timeout[60000ms] is too long, and should be set less than 50000ms"],
    [
      ["--initial-cluster=a=http://h:1", "--discovery-srv=x"],
      'multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"',
    ],
    [["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"],
    [["--auto-compaction-mode="], "undefined auto-compaction-mode"],
    [["--auto-compaction-mode=foo"], 'unknown auto-compaction-mode "foo"'],
    [["--discovery-fallback=proxy"], `v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`],
    [["--tls-min-version=TLS1.1"], 'unexpected TLS version "TLS1.1" (must be one of: TLS1.2, TLS1.3)'],
    [
      ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
      "min version (TLS1.3) is greater than max version (TLS1.2)",
    ],
    [
      ["--tls-min-version=TLS1.3", "--cipher-suites=x"],
      "cipher suites cannot be configured when only TLS1.3 is enabled",
    ],
    [["--log-format=foo"], "unknown log format: foo, supported values json, console"],
    [["--logger=capnslog"], "--logger=capnslog is removed in v3.5"],
    [["--logger=x"], 'unknown logger option "x"'],
    [["--log-outputs=default,stdout"], 'multi logoutput for "default" is not supported yet'],
    [
      ["--feature-gates=LeaseCheckpointPersist=true"],
      "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
    ],
    [["--compact-hash-check-time=0s"], "--compact-hash-check-time must be >0 (set to 0s)"],
    [["--compact-hash-check-time=-1s"], "--compact-hash-check-time must be >0 (set to -1s)"],
    [
      ["--advertise-client-urls", "http://:2379"],
      '--advertise-client-urls "http://:2379" must be in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket" (unexpected empty host (http://:2379))',
    ],
    [["--config-file=/nonexistent"], "open /nonexistent: no such file or directory"],
  ])("%j is refused", (args, message) => {
    expect(refusal(args)).toBe(message);
  });

  it("give the cluster the member's own name and URLs when only these are set", () => {
    expect(run(["--name=a", "--initial-advertise-peer-urls=http://b:2,http://a:1"]).initialCluster).toBe(
      "a=http://a:1,a=http://b:2",
    );
  });

  it("warn of one port for HTTP and gRPC and of deprecated flags", () => {
    const loaded = loadConfig(["--max-snapshots=3"], {});
    expect(loaded.kind === "run" && loaded.notes.map((note) => note.message)).toEqual([
      "Running http and grpc server on single port. This is not recommended for production.",
      "it isn't recommended to use default name, please set a value for --name. Note that etcd might run into issue when multiple members have the same default name",
      "'data-dir' was empty; using default",
      "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.",
    ]);
  });
});

describe("the environment", () => {
  it("sets what no flag sets; empty is unset", () => {
    const config = run([], { ETCD_NAME: "e", ETCD_LISTEN_CLIENT_HTTP_URLS: "http://127.0.0.1:9", ETCD_DATA_DIR: "" });
    expect(config.name).toBe("e");
    expect(config.dataDir).toBe("e.etcd");
    expect(config.listenClientHttpUrls.map((url) => url.text)).toEqual(["http://127.0.0.1:9"]);
  });

  it("next to the same flag is fatal", () => {
    const loaded = loadConfig(["--name=a"], { ETCD_NAME: "b" });
    expect(loaded.kind === "refused" && loaded.error.fatal).toEqual({ "environment-variable": "ETCD_NAME" });
    expect(loaded.kind === "refused" && loaded.error.message).toMatch(/^conflicting environment variable is shadowed/);
  });

  it("with a bad value is refused", () => {
    expect(refusal([], { ETCD_HEARTBEAT_INTERVAL: "abc" })).toBe(
      'invalid value "abc" for ETCD_HEARTBEAT_INTERVAL: parse error',
    );
  });

  it("is logged: what was used and what is unknown", () => {
    const loaded = loadConfig([], { ETCD_NAME: "e", ETCD_FOO: "1", HOME: "/" });
    expect(loaded.kind === "run" && loaded.notes.slice(0, 2)).toEqual([
      {
        level: "info",
        message: "recognized and used environment variable",
        fields: { "variable-name": "ETCD_NAME", "variable-value": "e" },
      },
      {
        level: "warn",
        message: "unrecognized environment variable",
        fields: { "environment-variable": "ETCD_FOO=1" },
      },
    ]);
  });
});

describe("the config file", () => {
  it("replaces flags and environment", () => {
    const args = [...file("name: f\nquota-backend-bytes: 9000000000\n"), "--name=a"];
    const config = run(args, { ETCD_MAX_TXN_OPS: "7" });
    expect(config).toMatchObject({ name: "f", quotaBackendBytes: 9_000_000_000, maxTxnOps: 128 });
    expect(run([], { ETCD_CONFIG_FILE: args[1] ?? "" }).name).toBe("f");
  });

  it("takes durations in nanoseconds, lists as one text, maps, JSON, and ignores unknown keys", () => {
    const config = run(
      file(
        'grpc-keepalive-min-time: 6000000000\nlisten-client-urls: http://127.0.0.1:2,http://127.0.0.1:1\nlog-outputs: [stdout]\nunknown: {a: 1}\nfeature-gates: "LeaseCheckpoint=true"\n',
      ),
    );
    expect(config.grpcKeepaliveMinTimeMs).toBe(6000);
    expect(config.listenClientUrls.map((url) => url.port)).toEqual(["1", "2"]);
    expect(config.advertiseClientUrls.map((url) => url.text)).toEqual(["http://localhost:2379"]);
    expect(config.log.outputs).toEqual(["stdout"]);
    expect(config.gates.get("LeaseCheckpoint")).toBe(true);
    expect(run(file('{"name":"j","initial-cluster-state":""}')).initialClusterState).toBe("new");
  });

  it("is YAML as etcd's parser has it: 1.1's forms and merges, keys in any case, the last of equal keys", () => {
    const text = "base: &base {max-txn-ops: 1_000}\n<<: *base\nPre-Vote: off\nname: a\nname: 2001-01-01\n";
    const config = run(file(`${text}max-request-bytes: 1e3\nelection-timeout: 0o2000\nmax-wals: 011\n`));
    expect(config).toMatchObject({ maxTxnOps: 1000, preVote: false, name: "2001-01-01", maxRequestBytes: 1000 });
    expect(config.electionTimeoutMs).toBe(1024);
  });

  it("refuses wrong types, bad syntax and what is missing in a map", () => {
    expect(refusal(file("heartbeat-interval: abc\n"))).toBe(
      "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go struct field configYAML.Config.heartbeat-interval of type uint",
    );
    expect(refusal(file("grpc-keepalive-min-time: 10m\n"))).toContain("of type time.Duration");
    expect(refusal(file("name: [\n"))).toContain("error converting YAML to JSON");
    expect(refusal(file("initial-cluster-state: foo\n"))).toBe('unexpected clusterState "foo"');
    expect(refusal(file("discovery-config:\n  token: x\n"))).toContain("both --discovery-token and");
  });
});

describe("aliases in the config file", () => {
  /** Levels of lists, each of so many aliases of the one below. */
  const repeating = (levels: number, width: number) =>
    Array.from(
      { length: levels },
      (_, n) => `a${n + 1}: &a${n + 1} [${Array(width).fill(`*a${n}`).join(", ")}]\n`,
    ).join("");
  const withAliases = (levels: number, width: number) =>
    file(`a0: &a0 [x, x]\n${repeating(levels, width)}name: repeated\n`);

  it("may repeat what they stand for as often as etcd lets them", () => {
    for (const [levels, width] of [
      [1, 2000],
      [3, 9],
    ] as const) {
      expect(run(withAliases(levels, width)).name).toBe("repeated");
    }
  });

  it("are refused where they would make a small file huge", () => {
    for (const [levels, width] of [
      [4, 9],
      [3, 20],
      [9, 9],
    ] as const) {
      const refused = refusal(withAliases(levels, width));
      expect(refused).toBe("error converting YAML to JSON: yaml: document contains excessive aliasing");
    }
  });
});

describe("durations", () => {
  it.each([
    ["0s", 0n],
    ["1ns", 1n],
    ["1.5\u00b5s", 1_500n],
    ["900ms", 900_000_000n],
    ["1m0s", 60_000_000_000n],
    ["2h0m0s", 7_200_000_000_000n],
    ["1.5s", 1_500_000_000n],
    ["170.17684ms", 170_176_840n],
    ["1h30m0.5s", 5_400_500_000_000n],
    ["-5s", -5_000_000_000n],
    ["2562047h47m16.854775807s", 2n ** 63n - 1n],
    ["-2562047h47m16.854775808s", -(2n ** 63n)],
  ])("%s reads and prints", (text, nanoseconds) => {
    expect(parseDuration(text)).toBe(nanoseconds);
    expect(formatNanoseconds(nanoseconds)).toBe(text);
  });

  it("read as Go reads them", () => {
    expect(parseDuration("0")).toBe(0n);
    expect(parseDuration(".5s")).toBe(500_000_000n);
    expect(parseDuration("1µs")).toBe(1_000n);
    expect(parseDuration("0.9ns")).toBe(0n);
    for (const bad of ["", "5", "s", "1 s", "1d", "--1s", "."]) expect(parseDuration(bad)).toBeNull();
    for (const long of ["2562047h47m16.854775808s", "9999999h"]) expect(parseDuration(long)).toBeNull();
    expect(formatDuration(1234.5)).toBe("1.2345s");
  });
});

it("every flag of the table has a default that it can read", () => {
  // etcd's, those it ignores, and netcd's own: --experimental-auto-promote and those of the audit log.
  expect(FLAGS.size).toBe(113 + 15 + 1 + 5);
  expect(new Set(LISTED_FLAGS.map((flag) => flag.name)).size).toBe(LISTED_FLAGS.length);
});
