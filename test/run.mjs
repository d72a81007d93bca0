// Runs what needs real etcd or Go: the comparison, the crash suite and the smallest size of every bench.
// npm test calls it after the build. Without Go it says aloud that all of it was skipped; with CI=true that
// is a failure.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const noGo = 3;
const optionalToolMissing = 4;
// The suites kill and fill servers one after another; go's own limit of 10 min is for single packages.
const testTimeout = "20m";

/** Runs a command with our output; the exit code, or 1 when a signal ended it. */
function run(command, args, directory = root) {
  console.error(`> ${command} ${args.join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: directory, stdio: "inherit" });
  if (error !== undefined) {
    throw error;
  }
  return status ?? 1;
}

/** Whether the reference could be set up; says so when not. */
function setUpReference() {
  const code = run("sh", ["scripts/setup-reference.sh"]);
  if (code === noGo || code === optionalToolMissing) {
    const what =
      code === noGo
        ? "the comparison with real etcd, the crash suite and the benches"
        : "what needs the tool named above";
    console.error(`SKIPPED: ${what}`);
    if (process.env.CI === "true") {
      process.exit(1);
    }
    return code === optionalToolMissing;
  }
  if (code !== 0) {
    process.exit(code);
  }
  return true;
}

if (setUpReference()) {
  const steps = [
    () => run("go", ["vet", "./..."], `${root}test`),
    // One package at a time: they start servers and measure nothing, but share two cores.
    () => run("go", ["test", "-p", "1", "-count", "1", "-timeout", testTimeout, "-v", "./..."], `${root}test`),
    () => run("node", ["bench/run.mjs", "--size", "small"]),
  ];
  for (const step of steps) {
    const code = step();
    if (code !== 0) {
      process.exit(code);
    }
  }
}
