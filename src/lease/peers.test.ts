// Lease calls between members over HTTP on loopback: a member that forwards, and one that answers.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Membership } from "../cluster/membership.js";
import { askPeer } from "../cluster/peerclient.js";
import { limits } from "../limits.js";
import { leaseErrors } from "./errors.js";
import type { LeaseForwarder } from "./forward.js";
import { answerLease, isLeasePath, leaseForwarder } from "./peers.js";

const LEADER = 5n;
const LEASE = 0x7fff_0000_0000_0001n;
const NOBODY = "http://127.0.0.1:1";
/** The server takes requests under this name and answers none. */
const SILENT = "localhost";
const keys = [Buffer.from("a"), Buffer.from("b")];

let server: Server;
let membership: Membership;
let forwarder: LeaseForwarder;
let fails: Error | null;

const lessor = {
  renewHere: async (id: bigint) => {
    if (fails) throw fails;
    return id === LEASE ? 60 : 0;
  },
  timeToLiveHere: async (id: bigint, wanted: boolean) => {
    if (fails) throw fails;
    return id === LEASE ? { ttlSeconds: 7, grantedTtlSeconds: 60, keys: wanted ? keys : null } : null;
  },
};

beforeEach(async () => {
  fails = null;
  server = createServer(async (request, response) => {
    const path = request.url ?? "";
    if (request.headers.host?.startsWith(SILENT)) return;
    const chunks: Buffer[] = await request.toArray();
    expect(isLeasePath(path)).toBe(true);
    const answer = await answerLease(lessor, path, Buffer.concat(chunks));
    response.writeHead(answer.status, { "Content-Type": answer.type }).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  membership = new Membership(1n);
  setLeaderUrls(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  forwarder = leaseForwarder(membership, askPeer, 5_000);
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function setLeaderUrls(...peerUrls: string[]) {
  membership.put({ id: LEADER, name: "leader", peerUrls, clientUrls: [], isLearner: false });
}

it("the leader's answers come back as its lessor gave them", async () => {
  expect(await forwarder.renew(LEADER, LEASE)).toBe(60);
  expect(await forwarder.renew(LEADER, 1n)).toBe(0);
  expect(await forwarder.timeToLive(LEADER, LEASE, false)).toEqual({
    ttlSeconds: 7,
    grantedTtlSeconds: 60,
    keys: null,
  });
  expect((await forwarder.timeToLive(LEADER, LEASE, true))?.keys?.map(String)).toEqual(["a", "b"]);
  expect(await forwarder.timeToLive(LEADER, 1n, true)).toBeNull();
});

it("a URL of the leader that does not answer is passed over", async () => {
  const [url = ""] = membership.member(LEADER)?.peerUrls ?? [];
  setLeaderUrls(NOBODY, url);
  expect(await forwarder.renew(LEADER, LEASE)).toBe(60);
  setLeaderUrls(url.replace("127.0.0.1", SILENT), url);
  expect(await leaseForwarder(membership, askPeer, 1_000).renew(LEADER, LEASE)).toBe(60);
  setLeaderUrls(NOBODY);
  await expect(forwarder.renew(LEADER, LEASE)).rejects.toThrow("ECONNREFUSED");
});

it("what the leader cannot answer is an error with its reason", async () => {
  fails = leaseErrors.notPrimary();
  await expect(forwarder.renew(LEADER, LEASE)).rejects.toThrow("not a primary lessor");
  fails = leaseErrors.appliedTooLate();
  await expect(forwarder.timeToLive(LEADER, LEASE, false)).rejects.toThrow(fails.message);
  await expect(forwarder.renew(9n, LEASE)).rejects.toThrow("etcdserver: no leader");
});

it("a call that is too large is refused", async () => {
  const answer = await answerLease(lessor, "/leases", Buffer.alloc(limits.leaseCallBytesMax + 1));
  expect(answer.status).toBe(413);
});
