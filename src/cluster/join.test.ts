// What a member learns from one that runs, over HTTP on loopback.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../config/config.js";
import { limits } from "../limits.js";
import { joinCluster, refuseSecondBootstrap } from "./join.js";
import type { Member } from "./member.js";
import { askPeer, decodeMemberList, encodeMemberList, fetchCluster } from "./peerclient.js";

const CLUSTER = 0xd1cfaf999eb97a2an;
const OTHER = "http://127.0.0.1:1";

let server: Server;
let url: string;
let members: Member[];
let version: string;
let status: number;
let bodies: Map<string, string>;
let warnings: string[];
const log = { warn: (text: string) => void warnings.push(text) } as never;

const member = (id: bigint, name: string, ...peerUrls: string[]): Member => ({
  id,
  name,
  peerUrls,
  clientUrls: name === "" ? [] : ["http://c:1"],
  isLearner: false,
});

beforeEach(async () => {
  warnings = [];
  bodies = new Map();
  status = 200;
  version = '{"etcdserver":"3.7.3","etcdcluster":"3.7.0"}';
  server = createServer((request, response) => {
    const path = request.url ?? "";
    response.setHeader("X-Etcd-Cluster-Id", CLUSTER.toString(16));
    if (path === "/silent") return;
    response.statusCode = status;
    response.end(bodies.get(path) ?? (path === "/version" ? version : encodeMemberList(members)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  members = [member(1n, "a", url), member(2n ** 63n + 1n, "", OTHER)];
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const config = (initialCluster: string, more: Partial<Config> = {}) =>
  ({ name: "b", initialCluster, initialClusterToken: "t", maxLearners: 1, ...more }) as Config;

describe("joining", () => {
  it("gives the id that the cluster made, and everybody's", async () => {
    const joined = await joinCluster(config(`a=${url},b=${OTHER}`), log, askPeer);
    expect(joined.clusterId).toBe(CLUSTER);
    expect(joined.local.id).toBe(2n ** 63n + 1n);
    expect(joined.members.map(({ id }) => id)).toEqual([1n, 2n ** 63n + 1n]);
  });

  it.each([
    ['couldn\'t find local name "b" in the initial cluster configuration', () => `a=${url}`],
    ["member count is unequal", () => `a=${url},b=${OTHER},c=http://127.0.0.1:2`],
    [
      "PeerURLs: no match found for existing member (8000000000000001, [http://127.0.0.1:1]), last resolver error",
      () => `a=${url},b=http://127.0.0.1:3`,
    ],
  ])("is refused: %s", async (refusal, initial) => {
    await expect(joinCluster(config(initial()), log, askPeer)).rejects.toThrow(refusal);
  });

  it("is refused where nobody answers, or only members that know nobody", async () => {
    const refusal =
      "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs";
    await expect(joinCluster(config(`a=http://127.0.0.1:3,b=${OTHER}`), log, askPeer)).rejects.toThrow(refusal);
    members = [];
    await expect(joinCluster(config(`a=${url},b=${OTHER}`), log, askPeer)).rejects.toThrow(refusal);
  });

  it("is refused, with a line that says why, where the answer cannot be used", async () => {
    status = 500;
    const failed: string[] = [];
    expect(await fetchCluster(askPeer, [url], 5_000, (_address, error) => failed.push(error.message))).toBeNull();
    expect(failed).toEqual(["the answer has status 500"]);
    await expect(joinCluster(config(`a=${url},b=${OTHER}`), log, askPeer)).rejects.toThrow("cannot fetch cluster info");
    expect(warnings).toEqual(["failed to get cluster response"]);
  });

  it.each([
    ['{"etcdserver":"3.9.0","etcdcluster":"3.9.0"}', ["cluster version of remote member is not compatible; too high"]],
    ['{"etcdserver":"3.7.3","etcdcluster":"not_decided"}', []],
    ["nonsense", ["failed to reach the peer URL", "failed to get version"]],
  ])("is refused by the version %s", async (said, expected) => {
    version = said;
    const joining = joinCluster(config(`a=${url},b=${OTHER}`), log, askPeer);
    await expect(joining).rejects.toThrow("incompatible with current running cluster");
    expect(warnings).toEqual(expected);
  });
});

describe("a second bootstrap", () => {
  it("is refused to a member that others know as one that ran", async () => {
    const local = member(5n, "", OTHER);
    members = [member(1n, "a", url), member(5n, "b", OTHER)];
    await expect(refuseSecondBootstrap(config(`a=${url},b=${OTHER}`), local, askPeer)).rejects.toThrow(
      "member 5 has already been bootstrapped",
    );
    members = [member(1n, "a", url), local];
    await refuseSecondBootstrap(config(`a=${url},b=${OTHER}`), local, askPeer);
  });
});

describe("questions to peers", () => {
  it("keep ids that JavaScript's numbers cannot hold", () => {
    expect(decodeMemberList(encodeMemberList(members))).toEqual(members);
    expect(() => decodeMemberList('[{"name":"x"}]')).toThrow("a member without an id");
    expect(() => decodeMemberList("{}")).toThrow("not a list of members");
  });

  it("go to the next URL when one does not answer", async () => {
    const failed: string[] = [];
    const found = await fetchCluster(askPeer, ["http://127.0.0.1:3", url], 5_000, (address, error) => {
      failed.push(`${address}: ${error.message}`);
    });
    expect(found?.clusterId).toBe(CLUSTER);
    expect(failed).toEqual(["http://127.0.0.1:3/members: connect ECONNREFUSED 127.0.0.1:3"]);
  });

  it("end in time, and at an answer that is too large", async () => {
    await expect(askPeer({ method: "GET", url, path: "/silent", timeoutMs: 50 })).rejects.toThrow();
    bodies.set("/large", "x".repeat(limits.peerAnswerBytesMax + 1));
    await expect(askPeer({ method: "GET", url, path: "/large", timeoutMs: 5_000 })).rejects.toThrow("too large");
  });
});
