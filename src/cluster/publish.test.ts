// A member publishes itself until it worked or the member stops; URLs that name one host in two ways are the same.

import { expect, it, vi } from "vitest";
import type { Logger } from "../log/logger.js";
import { systemClock } from "../replica/clock.js";
import type { ControlCommand } from "../replica/commands.js";
import type { Replica } from "../replica/replica.js";
import { Membership } from "./membership.js";
import { type Publication, publishMember } from "./publish.js";
import { resolveUrl } from "./resolve.js";

vi.mock("node:dns/promises", () => ({
  lookup: async (host: string) => {
    if (host === "four.test") return { address: "10.1.2.3", family: 4 };
    if (host === "six.test") return { address: "fd00::1", family: 6 };
    throw new Error(`ENOTFOUND ${host}`);
  },
}));

function publication(outcomes: (() => void)[], stopped = () => false, clock = systemClock) {
  const proposed: ControlCommand[] = [];
  const lines: string[] = [];
  const replica: Pick<Replica, "proposeControl"> = {
    proposeControl: async (command) => {
      proposed.push(command);
      outcomes.shift()?.();
      return null;
    },
  };
  const log = { info: (text: string) => void lines.push(text), warn: (text: string) => void lines.push(text) };
  const parts: Publication = {
    replica: replica as Replica,
    membership: new Membership(7n),
    memberId: 1n,
    name: "m1",
    clientUrls: ["http://c:1"],
    requestTimeoutMs: 7_000,
    clock,
    log: log as unknown as Logger,
    stopped,
  };
  return { parts, proposed, lines };
}

const fails = () => {
  throw new Error("etcdserver: request timed out");
};

it("publishes name and client URLs again until it worked", async () => {
  const { parts, proposed, lines } = publication([fails, fails]);
  await publishMember(parts);
  const command = { type: "memberAttributes", id: 1n, name: "m1", clientUrls: ["http://c:1"] };
  expect(proposed).toEqual([command, command, command]);
  const failed = "failed to publish local member to cluster through raft";
  expect(lines).toEqual([failed, failed, "published local member to cluster through raft"]);
});

it("lets time pass after a refusal that came at once", async () => {
  let waits = 0;
  const after = (_ms: number, call: () => void) => {
    waits += 1;
    setTimeout(call, 0);
    return { cancel: () => {} };
  };
  const { parts } = publication([fails, fails], () => false, { ...systemClock, after });
  await publishMember(parts);
  expect(waits).toBe(2);
});

it("gives up without a word when the member stops", async () => {
  let stopped = false;
  const stops = () => {
    stopped = true;
    fails();
  };
  const { parts, proposed, lines } = publication([stops], () => stopped);
  await publishMember(parts);
  await publishMember(parts);
  expect(proposed).toHaveLength(1);
  expect(lines).toEqual([]);
});

it.each([
  ["http://127.0.0.1:2380", "http://127.0.0.1:2380"],
  ["http://[::1]:2380", "http://[::1]:2380"],
  ["http://localhost:2380", "http://localhost:2380"],
  ["unix://name:1", "unix://name:1"],
  ["http://four.test:2380", "http://10.1.2.3:2380"],
  ["http://six.test:2380", "http://[fd00::1]:2380"],
  ["http://unknown.test:2380", "http://unknown.test:2380"],
])("the URL %s is compared as %s", async (text, resolved) => {
  expect(await resolveUrl(text)).toBe(resolved);
});
