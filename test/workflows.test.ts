// What GitHub runs of this repository: the same commands as anybody, with actions that nobody can exchange.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";

const FOLDER = join(import.meta.dirname, "../.github/workflows");

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
}

const workflows = readdirSync(FOLDER).map((name) => parse(readFileSync(join(FOLDER, name), "utf8")));
const jobs: { steps: Step[] }[] = workflows.flatMap(({ jobs }) => Object.values(jobs));
const steps = jobs.flatMap((job) => job.steps);

test("every action is GitHub's own, pinned to a commit", () => {
  const used = steps.flatMap(({ uses }) => uses ?? []);
  expect(used.length).toBeGreaterThan(4);
  expect(used.filter((action) => !/^actions\/[a-z-]+@[0-9a-f]{40}$/.test(action))).toEqual([]);
});

test("a pull request runs npm test, everything else .ci/run, which sets the depth itself", () => {
  const when = (command: string) => steps.find(({ run }) => run?.endsWith(` ${command}`))?.if;
  expect(when('"CI=$CI" npm test')).toBe("github.event_name == 'pull_request'");
  expect(when('"CI=$CI" .ci/run')).toBe("github.event_name != 'pull_request'");
  expect(workflows.flatMap(({ on }) => Object.keys(on)).sort()).toEqual(["pull_request", "push", "schedule"]);
  expect(readFileSync(join(FOLDER, "../../.ci/run"), "utf8")).toMatch(/^NETCD_TEST_DEPTH=full npm test$/m);
});
