// The audit policy and its flags: what is taken, what is refused and with which words, and that every RPC has its verbs.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import * as definitions from "../../services/definitions.js";
import { loadConfig } from "../load.js";
import type { AuditConfig } from "./audit.js";
import { ALL_CALLS, callsNamed, VERBS } from "./calls.js";
import { DEFAULT_POLICY, parsePolicy, RESULTS } from "./policy.js";

const folder = mkdtempSync(join(tmpdir(), "netcd-audit-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the calls", () => {
  it("are all that there are", () => {
    const served = Object.values(definitions).flatMap((service) => Object.values(service).map(({ path }) => path));
    const known = ALL_CALLS.filter((path) => !path.includes("#"));
    expect([...known].sort()).toEqual([...new Set([...served, "/etcdserverpb.Watch/Watch"])].sort());
  });

  it.each(VERBS)("%s names some, and not all", (verb) => {
    const named = callsNamed(verb);
    expect(named.length).toBeGreaterThan(0);
    expect(named.length).toBeLessThan(ALL_CALLS.length);
  });

  it.each(["Put", "KV/Put", "etcdserverpb.KV/Put", "/etcdserverpb.KV/Put"])("%s is one", (name) => {
    expect(callsNamed(name)).toEqual(["/etcdserverpb.KV/Put"]);
  });

  it("named by the RPC are all that it does, by a verb what that is", () => {
    const [all, read] = ["/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Txn#read"];
    expect(callsNamed("Txn")).toEqual([all, read]);
    expect(callsNamed("read")).toContain(read);
    expect(callsNamed("read")).not.toContain(all);
    expect(callsNamed("write")).toContain(all);
    expect(callsNamed("write")).not.toContain(read);
  });

  it("are refused where no RPC or several have the name", () => {
    expect(() => callsNamed("Write")).toThrow('"Write" is neither a verb (read, write, change, ');
    expect(() => callsNamed("ut")).toThrow("neither");
    expect(() => callsNamed("Watch")).toThrow(
      '"Watch" names several RPCs: /etcdserverpb.Watch/Watch, /grpc.health.v1.Health/Watch',
    );
  });
});

describe("a policy", () => {
  it("is read from YAML, with all that was not said", () => {
    const policy = parsePolicy(`
whenFull: block
rules:
  # The controller writes all the time.
  - users: [controller, ""]
    prefixes: [/status/]
    verbs: [write, LeaseKeepAlive]
    results: [ok]
    level: none
  - level: metadata
`);
    expect(policy.blocks).toBe(true);
    const [first, second] = policy.rules;
    expect(first).toEqual({
      users: ["controller", ""],
      prefixes: ["/status/"],
      calls: [...callsNamed("write"), "/etcdserverpb.Lease/LeaseKeepAlive"],
      results: ["ok"],
      logged: false,
    });
    expect(second).toEqual({ users: null, prefixes: null, calls: ALL_CALLS, results: RESULTS, logged: true });
  });

  it("is read from JSON, and from YAML with anchors", () => {
    const rules = [{ verbs: ["auth"], level: "metadata" }];
    const json = parsePolicy(JSON.stringify({ rules }));
    expect(json).toMatchObject({ blocks: false, rules: [{ calls: callsNamed("auth"), logged: true }] });
    expect(
      parsePolicy("rules:\n  - {verbs: &v [auth], level: metadata}\n  - {verbs: *v, level: none}\n"),
    ).toMatchObject({
      rules: [{ calls: callsNamed("auth") }, { calls: callsNamed("auth"), logged: false }],
    });
    expect(parsePolicy("rules: []").rules).toEqual([]);
  });

  it.each([
    ["", "line 1: the policy is a map with the keys whenFull, rules"],
    ["whenFull: drop", "line 1: the policy has no rules"],
    ["rules:", "line 1: rules has no value"],
    ["rules: 7", "line 1: rules is a list"],
    ["whenFull: wait\nrules: []", 'line 1: whenFull is one of drop, block, not "wait"'],
    ["rules:\n  - verbs: [read]", "line 2: the rule has no level"],
    ["rules:\n  - level: metadata\n  - level: request", 'line 3: level is one of none, metadata, not "request"'],
    ["rules:\n  - level: none\n    user: [a]", "line 3: a rule has no key user: users, prefixes, "],
    ["rules:\n  - level: none\n    users:\n      - 7", "line 4: a user is a text, not 7: put it in quotes"],
    ["rules:\n  - level: none\n    users: a", "line 3: users is a list"],
    ["rules:\n  - level: none\n    prefixes: []", "line 3: prefixes is empty, and would match nothing"],
    ["rules:\n  - level: none\n    verbs:\n      - read\n      - Get", 'line 5: "Get" is neither a verb'],
    ["rules:\n  - level: none\n    results: [good]", 'line 3: a result is one of ok, refused, failed, not "good"'],
    ["rules:\n  - level: none\n    level: none", "line 3: Map keys must be unique"],
    ["rules: [\n  {level: none}", "line 2: Flow sequence in block collection must be "],
    ["rules: []\n---\nrules: []", "line 2: "],
    ["rules:\n  - *nothing", "line 2: a rule is a map"],
  ])("is refused with the line: %j", (text, reason) => {
    expect(() => parsePolicy(text)).toThrow(reason);
  });

  it("that is the default logs changes, copies of the store and refusals", () => {
    const decided = (path: string, result: "ok" | "refused" | "failed") =>
      DEFAULT_POLICY.rules.find((rule) => rule.calls.includes(path) && rule.results.includes(result))?.logged ?? false;
    const calls = ALL_CALLS.filter((path) => decided(path, "ok"));
    const quiet = ALL_CALLS.filter((path) => !decided(path, "ok")).map((path) => path.split("/")[2]);
    expect(calls).toEqual(
      ALL_CALLS.filter((path) => [...callsNamed("change"), ...callsNamed("Snapshot")].includes(path)),
    );
    expect(quiet).toEqual(
      "Range RangeStream Txn#read Watch LeaseKeepAlive LeaseTimeToLive LeaseLeases MemberList Alarm#read Status Hash HashKV AuthStatus UserGet UserList RoleGet RoleList Leader Observe Check List Watch".split(
        " ",
      ),
    );
    expect(ALL_CALLS.filter((path) => !decided(path, "refused"))).toEqual([]);
    expect(DEFAULT_POLICY.blocks).toBe(false);
  });
});

describe("the flags", () => {
  const load = (...args: string[]): AuditConfig | null => {
    const loaded = loadConfig(args, {});
    if (loaded.kind === "run") return loaded.config.audit;
    throw loaded.kind === "refused" ? loaded.error : new Error(loaded.stderr);
  };
  const path = "--audit-log-path=audit.log";
  const fileOf = (text: string) => {
    const file = join(folder, "policy.yaml");
    writeFileSync(file, text);
    return file;
  };

  it("keep no log unless a path is given", () => {
    expect(load("--audit-log-maxsize=1")).toBeNull();
  });

  it("have defaults, and 0 takes a limit away", () => {
    const defaults = { path: "audit.log", bytesMax: 100 << 20, daysMax: null, backupsMax: 10, policy: DEFAULT_POLICY };
    expect(load(path)).toEqual(defaults);
    const zeros = ["--audit-log-maxsize=0", "--audit-log-maxage=0", "--audit-log-maxbackup=0"];
    expect(load(path, ...zeros)).toEqual({ ...defaults, bytesMax: null, backupsMax: null });
    const others = ["--audit-log-maxsize=7", "--audit-log-maxage=3", "--audit-log-maxbackup=2"];
    expect(load(path, ...others)).toMatchObject({ bytesMax: 7 << 20, daysMax: 3, backupsMax: 2 });
  });

  it("may be variables and keys of the config file", () => {
    const byVariable = loadConfig([], { ETCD_AUDIT_LOG_PATH: "a.log", ETCD_AUDIT_LOG_MAXAGE: "5" });
    expect(byVariable).toMatchObject({ kind: "run", config: { audit: { path: "a.log", daysMax: 5 } } });
    const file = join(folder, "netcd.yaml");
    writeFileSync(file, "audit-log-path: b.log\naudit-log-maxbackup: 3\n");
    expect(load(`--config-file=${file}`)).toMatchObject({ path: "b.log", backupsMax: 3 });
  });

  it("name the policy, whose faults are told with its path", () => {
    const file = fileOf("rules: [{level: metadata}]");
    expect(load(path, `--audit-policy-file=${file}`)?.policy.rules).toHaveLength(1);
    fileOf("rules:\n  - level: all");
    expect(() => load(path, `--audit-policy-file=${file}`)).toThrow(
      `--audit-policy-file: ${file}: line 2: level is one of none, metadata, not "all"`,
    );
    expect(() => load(path, "--audit-policy-file=/nowhere/p.yaml")).toThrow("/nowhere/p.yaml: ENOENT");
  });

  it("that cannot mean what was meant are refused", () => {
    expect(() => load(`--audit-policy-file=${fileOf("rules: []")}`)).toThrow("needs --audit-log-path");
    expect(() => load("--audit-log-path=-")).toThrow("must be a file");
  });
});
