// docs/compatibility.md says what the program does: its tables are those of the program, and a member answers by them.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { PATHS } from "../src/http/paths.js";
import { Bench } from "../src/member/tests/kit.js";
import {
  authService,
  clusterService,
  kvService,
  leaseService,
  maintenanceService,
} from "../src/services/definitions.js";
import { MISSING } from "../src/services/missing.js";

const ROOT = join(import.meta.dirname, "..");
const bench = new Bench();
afterEach(() => bench.close());

test("the tables in docs/compatibility.md are what `npm run compatibility` writes", () => {
  const script = spawnSync(process.execPath, [join(ROOT, "scripts/compatibility.mjs"), "--print"], {
    encoding: "utf8",
  });
  expect(script.status, script.stderr).toBe(0);
  const document = readFileSync(join(ROOT, "docs/compatibility.md"), "utf8");
  const [, rest = ""] = document.split(/^<!-- made by .*-->\n\n/m);
  const [tables] = rest.split(/\n<!-- the end of what is made -->/);
  expect(tables).toBe(script.stdout);
});

test("a member serves the paths that the table says, and 404 for the others", async () => {
  const { get, place } = await bench.start(({ other }) => [`--listen-metrics-urls=http://127.0.0.1:${other}`]);
  const ports = { client: place.client, metrics: place.other, peer: place.peer };
  for (const { path, listeners, missing } of PATHS) {
    // Below /raft there is one path that everybody may ask for.
    const example = path === "/raft*" ? "/raft/probing" : path.replace(/\/?\*$/, "");
    for (const listener of ["client", "metrics", "peer"] as const) {
      const { status } = await get(example, ports[listener]);
      const expected = missing === null && listeners.includes(listener);
      expect(status !== 404, `${example} on ${listener}: ${status}`).toBe(expected);
    }
  }
});

test("a member refuses by name the calls that the table lacks, and no others", async () => {
  const { call } = await bench.start(() => []);
  const missing = new Set(Object.values(MISSING).flatMap((methods) => Object.values(methods).map(({ path }) => path)));
  const services = [kvService, leaseService, clusterService, maintenanceService, authService];
  const methods = services.flatMap((service) => Object.values(service));
  for (const method of methods.filter(({ requestStream, responseStream }) => !requestStream && !responseStream)) {
    const answer = await call(method as Parameters<typeof call>[0], {}).catch((error: Error) => error);
    const refused =
      answer instanceof Error && answer.message.includes(`netcd does not have ${method.path.slice(1)} yet`);
    expect(refused, `${method.path}: ${answer}`).toBe(missing.has(method.path));
  }
});
