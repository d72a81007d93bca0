// The checks of a configuration as a whole, in etcd's order and with its texts.

import { isIP } from "node:net";
import { formatNanoseconds } from "./duration.js";
import { ConfigError, type Note } from "./errors.js";
import { LISTED_FLAGS } from "./flags/index.js";
import { GATES, resolveGates, STAGE_GATES } from "./gates.js";
import type { Settings } from "./settings.js";
import { checkTls } from "./tls.js";
import { isUnix } from "./urls.js";

const ELECTION_TIMEOUT_MS_MAX = 50_000;
const DEPRECATED: ReadonlySet<string> = new Set(["max-snapshots", "v2-deprecation"]);

/** Checks the settings and returns what to log. Throws ConfigError. */
export function validate(settings: Settings): Note[] {
  checkLogging(settings);
  const notes = checkUrls(settings);
  try {
    checkBootstrap(settings);
    checkTiming(settings);
    checkCompaction(settings);
    checkGates(settings);
    checkTls(settings);
    checkMissing(settings);
  } catch (error) {
    if (error instanceof ConfigError) error.after(notes);
    throw error;
  }
  return [...notes, ...warnings(settings)];
}

function checkLogging(settings: Settings): void {
  const logger = settings.text("logger");
  if (logger === "capnslog") throw new ConfigError("--logger=capnslog is removed in v3.5");
  if (logger !== "zap") throw new ConfigError(`unknown logger option ${JSON.stringify(logger)}`);
  const outputs = settings.list("log-outputs");
  if (outputs.length > 1 && outputs.includes("default")) {
    throw new ConfigError('multi logoutput for "default" is not supported yet');
  }
  if (outputs.includes("systemd/journal")) {
    throw new ConfigError("--log-outputs=systemd/journal: netcd does not write to the journal itself yet; use stderr");
  }
  const format = settings.text("log-format");
  if (format !== "json" && format !== "console") {
    throw new ConfigError(`unknown log format: ${format}, supported values json, console`);
  }
}

function checkUrls(settings: Settings): Note[] {
  const notes: Note[] = [];
  for (const name of ["listen-peer-urls", "listen-client-urls", "listen-client-http-urls", "listen-metrics-urls"]) {
    for (const url of settings.urls(name)) {
      if (isUnix(url) || url.host === "localhost") continue;
      if (url.host !== "" && isIP(url.host) === 0) {
        throw new ConfigError(`expected IP in URL for binding (${url.text})`).after(notes);
      }
    }
    if (name === "listen-client-http-urls" && settings.urls(name).length === 0) {
      const message = "Running http and grpc server on single port. This is not recommended for production.";
      notes.push({ level: "warn", message, fields: {} });
    }
  }
  for (const name of ["initial-advertise-peer-urls", "advertise-client-urls"]) {
    for (const url of settings.urls(name)) {
      if (url.host === "" && !isUnix(url)) {
        const all = settings.urls(name).map((each) => each.text);
        const form =
          name === "advertise-client-urls"
            ? 'in the format "host:port", "unix:/path/to/socket" or "unixs:/path/to/socket"'
            : '"host:port"';
        throw new ConfigError(
          `--${name} ${JSON.stringify(all.join(","))} must be ${form} (unexpected empty host (${url.text}))`,
        ).after(notes);
      }
    }
  }
  return notes;
}

function checkBootstrap(settings: Settings): void {
  const discovery = settings.isSet("discovery-endpoints");
  const ways = [settings.isSet("initial-cluster"), discovery, settings.isSet("discovery-srv")];
  if (ways.filter(Boolean).length > 1) {
    throw new ConfigError(
      'multiple discovery or bootstrap flags are set. Choose one of "initial-cluster", "discovery-endpoints" or "discovery-srv"',
    );
  }
  if (discovery !== settings.isSet("discovery-token")) {
    throw new ConfigError("both --discovery-token and --discovery-endpoints must be set");
  }
  if (settings.text("discovery-fallback") === "proxy") {
    throw new ConfigError(`v2 proxy is deprecated, and --discovery-fallback can't be configured as "proxy"`);
  }
}

function checkTiming(settings: Settings): void {
  const heartbeat = settings.exact("heartbeat-interval");
  const election = settings.exact("election-timeout");
  if (heartbeat === 0n) throw new ConfigError("--heartbeat-interval must be >0 (set to 0ms)");
  if (election === 0n) throw new ConfigError("--election-timeout must be >0 (set to 0ms)");
  if (5n * heartbeat > election) {
    throw new ConfigError(
      `--election-timeout[${election}ms] should be at least as 5 times as --heartbeat-interval[${heartbeat}ms]`,
    );
  }
  if (election > ELECTION_TIMEOUT_MS_MAX) {
    throw new ConfigError(
      `--election-timeout[${election}ms] is too long, and should be set less than ${ELECTION_TIMEOUT_MS_MAX}ms`,
    );
  }
  const byFlag = settings.isSet("listen-client-urls") && !settings.isSet("config-file");
  if (byFlag && !settings.isSet("advertise-client-urls")) {
    throw new ConfigError("--advertise-client-urls is required when --listen-client-urls is set explicitly");
  }
}

function checkCompaction(settings: Settings): void {
  const mode = settings.text("auto-compaction-mode");
  if (mode === "") throw new ConfigError("undefined auto-compaction-mode");
  if (mode !== "periodic" && mode !== "revision") {
    throw new ConfigError(`unknown auto-compaction-mode ${JSON.stringify(mode)}`);
  }
  const checkTime = settings.exact("compact-hash-check-time");
  if (checkTime <= 0n) {
    throw new ConfigError(`--compact-hash-check-time must be >0 (set to ${formatNanoseconds(checkTime)})`);
  }
}

function checkGates(settings: Settings): void {
  const gates = resolveGates(settings.gates());
  if (gates.get("LeaseCheckpointPersist") && !gates.get("LeaseCheckpoint")) {
    throw new ConfigError(
      "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
    );
  }
  for (const gate of GATES.filter((each) => gates.get(each.name) === !each.default)) {
    if (gate.missing === null) continue;
    const stage = STAGE_GATES.find((each) => each.stage === gate.stage && !settings.gates().has(gate.name));
    const by = stage === undefined ? "" : ` (by ${stage.name})`;
    throw new ConfigError(
      `--feature-gates: ${gate.name}=${!gate.default}${by} is not supported: netcd does not have ${gate.missing} yet`,
    );
  }
}

/** What etcd can do and netcd not yet is refused by name: taking the flag without its effect would be worse. */
function checkMissing(settings: Settings): void {
  for (const flag of LISTED_FLAGS) {
    if (settings.asksForMissing(flag)) {
      throw new ConfigError(`--${flag.name} is not supported: netcd does not have ${flag.missing} yet`);
    }
  }
}

function warnings(settings: Settings): Note[] {
  const notes: Note[] = [];
  const warn = (message: string, fields: Note["fields"] = {}) => notes.push({ level: "warn", message, fields });
  const name = settings.text("name");
  if (name === "default") {
    warn(
      "it isn't recommended to use default name, please set a value for --name. Note that etcd might run into issue when multiple members have the same default name",
      { name },
    );
  }
  if (settings.text("data-dir") === "") warn("'data-dir' was empty; using default", { "data-dir": `${name}.etcd` });
  if (settings.isSet("max-snapshots")) {
    warn("--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.");
  }
  for (const flag of LISTED_FLAGS) {
    // Of the deprecated ones etcd itself says so.
    if (flag.idle === null || !settings.isSet(flag.name) || DEPRECATED.has(flag.name)) continue;
    warn(`--${flag.name} has no effect: ${flag.idle}`);
  }
  if (settings.isSet("v2-deprecation")) {
    warn(
      "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.",
    );
  }
  return notes;
}
