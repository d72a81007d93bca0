import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../replica/clock.js";
import type { Member } from "./member.js";
import { Membership } from "./membership.js";
import type { PeerAnswer, PeerQuestion } from "./peerclient.js";
import { askVersions, canRun, decideVersion, parseVersion, refuseDowngrade, VersionMonitor } from "./versions.js";

const member = (id: bigint, ...peerUrls: string[]): Member => ({
  id,
  name: `m${id}`,
  peerUrls,
  clientUrls: [],
  isLearner: false,
});

const answer = (body: string): PeerAnswer => ({ status: 200, headers: new Map(), body: Buffer.from(body) });

let lines: [string, unknown][];
const line = (message: string, fields?: unknown) => void lines.push([message, fields]);
const log = { info: line, warn: line, error: line };
const messages = () => lines.map(([message]) => message);

beforeEach(() => {
  lines = [];
});

describe("the decision", () => {
  it.each([
    // A first version; without an answer from everyone it is the lowest there is.
    [null, null, "3.0.0"],
    [null, "3.7.3", "3.7.0"],
    // It rises, and never falls by itself.
    ["3.0.0", null, null],
    ["3.0.0", "3.7.3", "3.7.0"],
    ["3.7.0", "3.7.9", null],
    ["3.7.0", "3.6.0", null],
    ["3.7.0", "4.0.0", null],
  ])("of a cluster at %s whose lowest server is %s is %s", (current, lowest, expected) => {
    expect(decideVersion(current, lowest === null ? null : parseVersion(lowest))).toBe(expected);
  });

  it("knows versions with a suffix, and what is none", () => {
    expect(parseVersion("3.8.0-alpha.0")).toEqual([3, 8, 0]);
    expect(parseVersion("not_decided")).toBeNull();
    expect(["3.0.0", "3.7.0", "3.8.0", "4.0.0", "x"].map(canRun)).toEqual([true, true, false, false, false]);
  });

  it("refuses to run in a cluster of a newer version", () => {
    const membership = new Membership(1n);
    refuseDowngrade(membership, log);
    membership.setClusterVersion("3.8.0");
    expect(() => refuseDowngrade(membership, log)).toThrow(
      "invalid downgrade; server version is lower than determined cluster version",
    );
    expect(lines[0]?.[1]).toEqual({ "current-server-version": "3.7.3", "determined-cluster-version": "3.8" });
  });
});

describe("asking a member", () => {
  it("takes the first URL that answers and names those that do not", async () => {
    const ask = async ({ url, path }: PeerQuestion) => {
      expect(path).toBe("/version");
      if (url === "http://a:1") throw new Error("refused");
      return answer(url === "http://b:1" ? "[]" : '{"etcdserver":"3.6.1","etcdcluster":"3.6.0"}');
    };
    const told = await askVersions(member(2n, "http://a:1", "http://b:1", "http://c:1"), log, ask);
    expect(told).toEqual({ server: "3.6.1", cluster: "3.6.0" });
    expect(messages()).toEqual(["failed to reach the peer URL"]);
  });

  it("gives up when none does", async () => {
    expect(await askVersions(member(2n, "http://a:1"), log, async () => answer("no json"))).toBeNull();
    expect(messages()).toEqual(["failed to reach the peer URL", "failed to get version"]);
  });
});

describe("the monitor", () => {
  const clock: Clock = { nowMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
  let versions: Record<string, string | null>;
  let membership: Membership;
  const leader = { isLeader: true };
  const replica = {
    get isLeader() {
      return leader.isLeader;
    },
    proposeControl: async (command: { type: string; version?: string }) => {
      if (command.version === undefined) throw new Error(command.type);
      membership.setClusterVersion(command.version);
    },
  };
  const monitor = () =>
    new VersionMonitor({
      memberId: 1n,
      membership,
      replica,
      clock,
      log,
      ask: async ({ url }) => {
        const version = versions[url];
        if (!version) throw new Error("down");
        return answer(`{"etcdserver":"${version}","etcdcluster":"not_decided"}`);
      },
    });

  beforeEach(() => {
    leader.isLeader = true;
    membership = new Membership(1n);
    for (const id of [1n, 2n, 3n]) membership.put(member(id, `http://m${id}:1`));
    versions = { "http://m2:1": "3.7.3", "http://m3:1": null };
  });

  it("begins at the lowest version while a member is away, and raises it when all are there", async () => {
    const one = monitor();
    await one.look();
    expect(membership.clusterVersion).toBe("3.0.0");
    versions["http://m3:1"] = "3.7.0";
    await one.look();
    expect(membership.clusterVersion).toBe("3.7.0");
    expect(messages().filter((text) => text.includes("cluster version"))).toEqual([
      "setting up initial cluster version using v3 API",
      "cluster version is updated",
      "updating cluster version using v3 API",
      "cluster version is updated",
    ]);
  });

  it("decides on the lowest of the servers and says that others are newer", async () => {
    versions = { "http://m2:1": "3.6.2", "http://m3:1": "3.8.0-alpha.0" };
    await monitor().look();
    expect(membership.clusterVersion).toBe("3.6.0");
    expect(messages()).toContain("leader found higher-versioned member");
  });

  it("does nothing on a follower, nor once it is stopped", async () => {
    leader.isLeader = false;
    await monitor().look();
    leader.isLeader = true;
    const stopped = monitor();
    stopped.stop();
    await stopped.look();
    expect(membership.clusterVersion).toBeNull();
    expect(lines).toEqual([]);
  });
});
