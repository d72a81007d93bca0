import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RaftStatus } from "../raft/index.js";
import type { Clock } from "../replica/clock.js";
import type { MembershipChange } from "../replica/commands.js";
import { MembershipChanges, type MembershipChangesParts } from "./changes.js";
import type { Member } from "./member.js";
import { Membership } from "./membership.js";
import { askPeer } from "./peerclient.js";

const SELF = 1n;
const member = (id: bigint, more: Partial<Member> = {}): Member => ({
  id,
  name: `m${id}`,
  peerUrls: [`http://m${id}:1`],
  clientUrls: [],
  isLearner: false,
  ...more,
});

let membership: Membership;
/** Ids of members whose links have been up for long. */
let connected: Set<bigint>;
let proposed: MembershipChange[];
let raft: { isLeader: boolean; progress: Map<bigint, { match: number }> | null; lastIndex: number };
let warnings: string[];
/** The leader as this member knows it. */
let leading: bigint;
let now: number;

const clock: Clock = {
  nowMs: () => now,
  after: (ms, call) => {
    now += ms;
    queueMicrotask(call);
    return { cancel() {} };
  },
  every: () => ({ cancel() {} }),
};

function changes(more: Partial<MembershipChangesParts> = {}): MembershipChanges {
  const replica = {
    get isLeader() {
      return raft.isLeader;
    },
    leader: () => leading,
    status: () => ({ progress: raft.progress, lastIndex: raft.lastIndex }) as unknown as RaftStatus,
    proposeConfChange: async (change: MembershipChange) => void proposed.push(change),
    proposeControl: async () => null,
  };
  const links = { connectedSince: (id: bigint) => connected.has(id), isConnected: (id: bigint) => connected.has(id) };
  const log = { warn: (text: string) => void warnings.push(text), error: (text: string) => void warnings.push(text) };
  return new MembershipChanges({
    ask: askPeer,
    memberId: SELF,
    membership,
    replica: replica as unknown as MembershipChangesParts["replica"],
    links: links as unknown as MembershipChangesParts["links"],
    clock,
    strictReconfigCheck: true,
    requestTimeoutMs: 1_000,
    log: log as unknown as MembershipChangesParts["log"],
    ...more,
  });
}

function cluster(...members: Member[]): void {
  membership = new Membership(7n);
  for (const one of members) membership.put(one);
}

beforeEach(() => {
  cluster(member(1n), member(2n), member(3n));
  connected = new Set([2n, 3n]);
  proposed = [];
  leading = 0n;
  warnings = [];
  raft = { isLeader: true, progress: new Map(), lastIndex: 100 };
  now = 0;
});

const UNHEALTHY = "etcdserver: unhealthy cluster";
const NOT_STARTED = "etcdserver: re-configuration failed due to not enough started members";
const urls = ["http://new:1"];

describe("adding a member", () => {
  it("goes through raft with sorted URLs and an id of its own", async () => {
    const added = await changes().add(["http://b:1", "http://a:1"], true);
    expect(added).toMatchObject({ name: "", peerUrls: ["http://a:1", "http://b:1"], isLearner: true });
    expect(proposed).toEqual([
      { change: { transition: "auto", steps: [{ type: "addLearner", id: added.id }] }, context: added },
    ]);
  });

  it.each([false, true])(
    "counts the new one as down: with one of three away it is refused, learner %s",
    async (learner) => {
      connected.delete(3n);
      await expect(changes().add(urls, learner)).rejects.toThrow(UNHEALTHY);
      expect(proposed).toEqual([]);
      expect(warnings).toHaveLength(1);
    },
  );

  it("is allowed with one of five away, and refused with two", async () => {
    cluster(member(1n), member(2n), member(3n), member(4n), member(5n));
    connected = new Set([2n, 3n, 4n]);
    await changes().add(urls, false);
    connected.delete(4n);
    await expect(changes().add(urls, false)).rejects.toThrow(UNHEALTHY);
    expect(proposed).toHaveLength(1);
  });

  it("always lets a cluster of one grow", async () => {
    cluster(member(1n));
    connected.clear();
    await changes().add(urls, false);
    expect(proposed).toHaveLength(1);
  });

  it("is refused while a voter that was added has not started, a learner is not", async () => {
    cluster(member(1n), member(2n, { name: "" }));
    connected = new Set([2n]);
    await expect(changes().add(urls, false)).rejects.toThrow(NOT_STARTED);
    cluster(member(1n), member(2n), member(3n), member(4n, { name: "" }));
    connected = new Set([2n, 3n]);
    await changes().add(urls, false);
    expect(proposed).toHaveLength(1);
  });

  it("is not checked without --strict-reconfig-check", async () => {
    connected.clear();
    await changes({ strictReconfigCheck: false }).add(urls, false);
    expect(proposed).toHaveLength(1);
  });
});

describe("removing a member", () => {
  it("takes one that is down, but not one that the quorum needs", async () => {
    connected.delete(3n);
    await changes().remove(3n);
    await expect(changes().remove(2n)).rejects.toThrow(UNHEALTHY);
    expect(proposed.map(({ change }) => change.steps)).toEqual([[{ type: "remove", id: 3n }]]);
  });

  it("leaves enough that have started", async () => {
    cluster(member(1n), member(2n), member(3n, { name: "" }));
    await expect(changes().remove(2n)).rejects.toThrow(NOT_STARTED);
    cluster(member(1n));
    await expect(changes().remove(1n)).rejects.toThrow(NOT_STARTED);
  });

  it("of a learner is never refused", async () => {
    cluster(member(1n), member(2n, { isLearner: true, name: "" }));
    connected.clear();
    await changes().remove(2n);
    expect(proposed).toHaveLength(1);
  });
});

describe("promoting a learner", () => {
  const learner = member(9n, { isLearner: true, name: "" });
  beforeEach(() => {
    membership.put(learner);
  });

  it.each([
    [89, "etcdserver: can only promote a learner member which is in sync with leader"],
    [90, null],
  ])("that has %i of 100 entries: %s", async (match, refusal) => {
    raft.progress?.set(9n, { match });
    const promoted = changes().promote(9n, null);
    if (refusal !== null) return await expect(promoted).rejects.toThrow(refusal);
    await promoted;
    expect(proposed).toEqual([
      { change: { transition: "auto", steps: [{ type: "addVoter", id: 9n }] }, context: { promote: true } },
    ]);
  });

  it("is counted with its outcome, but only by the leader", async () => {
    const decided: (string | null)[] = [];
    const counted = changes({ promotionDecided: (refusal) => void decided.push(refusal?.message ?? null) });
    raft.progress?.set(9n, { match: 10 });
    await expect(counted.promoteHere(9n)).rejects.toThrow("in sync");
    raft.progress?.set(9n, { match: 100 });
    await counted.promoteHere(9n);
    raft.isLeader = false;
    raft.progress = null;
    await expect(counted.promoteHere(9n)).rejects.toThrow("not leader");
    expect(decided).toEqual(["etcdserver: can only promote a learner member which is in sync with leader", null]);
  });

  it("is refused where it is not known, and by a member that does not lead", async () => {
    await expect(changes().promote(10n, null)).rejects.toThrow("etcdserver: member not found");
    raft.progress = null;
    await expect(changes().promoteHere(9n)).rejects.toThrow("etcdserver: not leader");
  });

  it("needs enough voters that have started", async () => {
    cluster(member(1n), member(2n, { name: "" }), member(3n, { name: "" }), learner);
    raft.progress?.set(9n, { match: 100 });
    await expect(changes().promoteHere(9n)).rejects.toThrow(NOT_STARTED);
  });

  describe("where another member leads", () => {
    let leader: Server;
    let answers: [status: number, body: string][];
    let tokens: (string | undefined)[];
    beforeEach(async () => {
      raft.isLeader = false;
      leading = 2n;
      [answers, tokens] = [[], []];
      leader = createServer(({ method, url, headers }, response) => {
        expect(`${method} ${url}`).toBe("POST /members/promote/9");
        tokens.push(headers.authorization);
        const [status, body] = answers.shift() ?? [200, "[]"];
        response.writeHead(status).end(`${body}\n`);
      });
      await new Promise<void>((resolve) => leader.listen(0, "127.0.0.1", resolve));
      const { port } = leader.address() as AddressInfo;
      membership.put(member(2n, { peerUrls: [`http://127.0.0.1:${port}`] }));
    });
    afterEach(() => new Promise((resolve) => leader.close(resolve)));

    it("the leader is asked with the token of who asks", async () => {
      await changes().promote(9n, "the token");
      await changes().promote(9n, null);
      expect(tokens).toEqual(["the token", undefined]);
    });

    it.each([
      [400, "etcdserver: user name is empty"],
      [401, "etcdserver: invalid auth token"],
      [403, "etcdserver: permission denied"],
      [404, "etcdserver: member not found"],
    ])("what the leader refuses with %i is not asked for again", async (code, text) => {
      answers = [[code, text]];
      await expect(changes().promote(9n, null)).rejects.toThrow(text);
      expect(tokens).toHaveLength(1);
    });

    it("a leader that could not do it is asked again", async () => {
      answers = [[500, '{"message":"Internal Server Error"}']];
      await changes().promote(9n, "the token");
      expect(tokens).toEqual(["the token", "the token"]);
    });
  });

  it("ends in time where nobody leads", async () => {
    raft.isLeader = false;
    await expect(changes().promote(9n, null)).rejects.toThrow("etcdserver: request timed out");
  });
});
