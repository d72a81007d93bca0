// The scripts' own look at Node's version beside the package semver, which is not there yet when they need it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isInRange, ROOT } from "./run.mjs";

const semver = createRequire(import.meta.url)("semver");
const { engines } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

test("a version is in a range when semver says so", () => {
  const old = ["18.20.4", "20.18.9", "21.7.3", "22.12.0", "23.9.0"];
  const good = ["20.19.0", "20.20.2", "22.13.0", "22.20.1", "24.0.0", "26.1.2"];
  for (const range of [engines.node, ">=20", "^20.19.3 || >=22.2.1"]) {
    for (const version of [...old, ...good]) {
      expect(isInRange(version, range), `${version} in ${range}`).toBe(semver.satisfies(version, range));
    }
  }
  expect(old.filter((version) => isInRange(version, engines.node))).toEqual([]);
  expect(good.filter((version) => !isInRange(version, engines.node))).toEqual([]);
});
