// npm test: sets everything up and runs every check, then prints what failed and how many tests passed.
//
// NETCD_TEST_ONLY=lint,rust,ts,go,bench runs only these groups (development).
// NETCD_TEST_DEPTH=full runs what needs length (simulated clusters, kills, long histories) at full length, not a tenth.
// CI=true: a group that cannot run on this machine is a failure instead of a note.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { build } from "./build.mjs";
import { filesBelow, installed, ROOT, requireRust, run, StepFailed, say } from "./lib/run.mjs";
import { Timings } from "./lib/timings.mjs";
import { LINTERS } from "./lint.mjs";

const SUMMARY = join(ROOT, "target/test-summary.txt");
const VITEST_REPORT = join(ROOT, "target/vitest.json");
const GO_MODULE = join(ROOT, "test");
const NO_GO = 3;
const MISSING_TOOL = 4;
// A step that hangs ends, and fails, instead of holding up whoever waits for the result.
const STEP_MS_MAX = 20 * 60_000;
// Of what a step that failed has printed, as much is said again at the end.
const FAILURE_LINES_MAX = 60;

const totals = { passed: 0, failed: 0 };
const timings = new Timings();
/** Each with what it printed that tells why. */
const failures = [];
const notes = [];

/** Counts a check that is either good or not. */
function check(name, ok, output = "") {
  if (ok) return;
  failures.push({ name, output });
  say(`FAILED: ${name}`);
}

/** For who sees only the end of the output: what failed, and why. */
function sayFailure({ name, output }) {
  const end = output.trimEnd().split("\n").slice(-FAILURE_LINES_MAX).join("\n");
  say(`FAILED: ${name}${end === "" ? "" : `\n${end}`}`);
}

async function command(name, program, args) {
  say(name);
  const { code, output } = await timings.step(name, () =>
    run(program, args, { capture: true, timeoutMs: STEP_MS_MAX }),
  );
  check(name, code === 0, output);
}

/** Clippy, beside all that has one thread. */
async function lint() {
  const others = async () => {
    for (const { name, program, args } of LINTERS) await command(name, program, args);
    await command("cargo fmt", "cargo", ["fmt", "--all", "--check"]);
  };
  const clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
  await Promise.all([others(), command("clippy", "cargo", clippy)]);
}

async function rust() {
  say("cargo test");
  const args = ["test", "--workspace", "--locked", "--no-fail-fast"];
  const options = { capture: true, timeoutMs: STEP_MS_MAX };
  await timings.step("building the Rust tests", () => run("cargo", [...args, "--no-run"], options));
  const { code, output } = await timings.step("cargo test", () => run("cargo", args, options));
  for (const [, passed, failed] of output.matchAll(/test result: \S+ (\d+) passed; (\d+) failed/g)) {
    totals.passed += Number(passed);
    totals.failed += Number(failed);
  }
  const failed = output.match(/^failures:$[\s\S]*?^test result: .*$/gm) ?? [output];
  check("cargo test", code === 0, failed.join("\n"));
}

async function typescript() {
  say("vitest");
  rmSync(VITEST_REPORT, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${VITEST_REPORT}`];
  const options = { capture: true, timeoutMs: STEP_MS_MAX };
  const { code, output } = await timings.step("vitest", () => run(installed("vitest"), ["run", ...reporters], options));
  const reported = existsSync(VITEST_REPORT);
  check("vitest", code === 0 && reported, output);
  if (!reported) return;
  const report = JSON.parse(readFileSync(VITEST_REPORT, "utf8"));
  totals.passed += report.numPassedTests;
  totals.failed += report.numFailedTests;
  for (const { name, assertionResults } of report.testResults) {
    for (const { fullName, duration } of assertionResults) {
      timings.test(`${relative(ROOT, name)} ${fullName}`, (duration ?? 0) / 1_000);
    }
  }
}

/** The comparison with real etcd and the tools: Go tests against etcd's own binaries. */
async function go() {
  say("reference binaries");
  const { code: reference } = await timings.step("reference binaries", () => run("sh", ["scripts/setup-reference.sh"]));
  if (reference === NO_GO) {
    notes.push("Go is not installed: everything that compares netcd with real etcd was SKIPPED");
    if (process.env.CI === "true") check("comparison with etcd", false);
    return;
  }
  if (reference === MISSING_TOOL) {
    notes.push("an optional tool is missing (see above): what needs it was SKIPPED");
    if (process.env.CI === "true") check("optional tools", false);
  } else check("reference binaries", reference === 0);
  say("go test");
  const packages = new Set(
    filesBelow("test", (name) => name.endsWith("_test.go")).map((path) => `./${dirname(relative(GO_MODULE, path))}`),
  );
  const [compared, clusters] = ["./compat", "./cluster"];
  packages.delete(compared);
  packages.delete(clusters);
  // Lanes side by side, since most tests wait more than they compute; each has its own ports.
  await Promise.all([
    goTests([compared], "20000-23999"),
    goTests([clusters], "24000-27999"),
    goTests([...packages], "28000-31999"),
  ]);
}

async function goTests(packages, ports) {
  const args = ["test", "-json", "-count=1", "-p=1", "-parallel=2", "-timeout=20m", ...packages];
  const results = new GoResults();
  const options = {
    cwd: GO_MODULE,
    env: { NETCD_TEST_PORTS: ports },
    quiet: true,
    onLine: (line) => results.take(line),
  };
  const name = `go test ${packages.join(" ")}`;
  const { code, output } = await timings.step(name, () => run("go", args, options));
  // What go itself has to say (a module that it cannot read) is on stderr.
  const own = () => output.replace(/^\{.*$\n?/gm, "");
  check(name, code === 0, results.failed || own());
}

/** Reads what `go test -json` prints: says how far it is, counts tests, keeps what those that failed have printed. */
class GoResults {
  #printed = new Map();
  /** What tests that failed have printed, and what is not of a test (a build that failed). */
  failed = "";

  /** @param {string} line */
  take(line) {
    const event = eventOf(line);
    if (event === null) {
      if (line !== "") this.#keep(`${line}\n`);
      return;
    }
    if (event.Action === "build-output") this.#keep(event.Output);
    const test = `${event.Package} ${event.Test}`;
    if (event.Action === "output" && showsInSummary(event.Output)) {
      process.stderr.write(event.Output);
      this.#printed.set(test, (this.#printed.get(test) ?? "") + event.Output);
    }
    if (event.Action === "fail") this.failed += this.#printed.get(test) ?? "";
    if (event.Test) this.#ended(event);
  }

  #keep(text) {
    process.stderr.write(text);
    this.failed += text;
  }

  #ended({ Action, Package, Test, Elapsed }) {
    if (Action === "pass") totals.passed += 1;
    if (Action === "fail") totals.failed += 1;
    if (Action === "skip") notes.push(`skipped: ${Test}`);
    // A test of its own, not one of its parts.
    if (Elapsed === undefined || Test.includes("/")) return;
    const name = `${Package.split("/").at(-1)} ${Test}`;
    timings.test(name, Elapsed);
    say(`${Action} ${name} (${Elapsed.toFixed(1)} s)`);
  }
}

/** The event of a line; null: it is none, or half of one because go was ended. */
function eventOf(line) {
  if (!line.startsWith("{")) return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** What of the output of Go tests is shown: all but the lines of tests that began or went well. */
function showsInSummary(line) {
  return !/^\s*(=== |--- PASS|PASS)/.test(line);
}

/** Every bench once at its smallest size, so that none of them rots. Nothing is measured, so they run side by side. */
async function bench() {
  const small = ["--size", "small"];
  const others = async () => {
    await command("benches, smallest size", process.execPath, ["bench/run.mjs", "--group", "all", ...small]);
    await command("micro benches, smallest size", process.execPath, ["bench/micro.mjs", ...small]);
  };
  // By name: `--benches` would run the unit tests of the libraries again.
  const rust = ["test", "--workspace", "--locked", "--bench", "*", "--", "--test"];
  await Promise.all([others(), command("Rust benches, one round", "cargo", rust)]);
}

const GROUPS = { lint, rust, ts: typescript, go, bench };

async function main() {
  const only = process.env.NETCD_TEST_ONLY?.split(",");
  mkdirSync(join(ROOT, "target"), { recursive: true });
  rmSync(SUMMARY, { force: true });
  const started = performance.now();
  try {
    await requireRust();
    await timings.step("build", build);
    for (const [name, group] of Object.entries(GROUPS)) {
      if (!only || only.includes(name)) await group();
    }
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    check(error.message, false);
  }
  // A check without tests of its own (a linter) that failed counts as one.
  const failed = Math.max(totals.failed, failures.length);
  say(`where the time went\n${timings.table()}`);
  for (const note of notes) say(note);
  for (const failure of failures) sayFailure(failure);
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  say(`${failures.length === 0 ? "all good" : "not good"} after ${minutes} minutes`);
  const summary = `${totals.passed} passed, ${failed} failed\n`;
  writeFileSync(SUMMARY, summary);
  process.stdout.write(summary);
  process.exitCode = failures.length === 0 && failed === 0 ? 0 : 1;
}

await main();
