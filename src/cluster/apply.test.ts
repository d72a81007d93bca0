// What entries of the log do to the cluster's state: which changes are refused, and what the others write and log.

import { beforeEach, describe, expect, it } from "vitest";
import type { Logger } from "../log/logger.js";
import type { ConfChangeStep, ConfState } from "../raft/index.js";
import type { ApplyMark, MembershipChange } from "../replica/commands.js";
import { Alarms, AlarmType } from "./alarms.js";
import { type ClusterState, controlHandlers, membershipHandler } from "./apply.js";
import type { Member } from "./member.js";
import { Membership } from "./membership.js";

const SELF = 1n;
const LEARNER = 3n;
const MARK: ApplyMark = { index: 9, term: 2 };
const member = (id: bigint, isLearner = false): Member => ({
  id,
  name: `m${id}`,
  peerUrls: [`http://m${id}:1`],
  clientUrls: [],
  isLearner,
});

let membership: Membership;
let lines: { message: string; fields: Record<string, unknown> }[];
let told: string[];
let state: ClusterState;

beforeEach(() => {
  membership = new Membership(7n);
  for (const one of [member(SELF), member(2n), member(LEARNER, true)]) membership.put(one);
  membership.setClusterVersion("3.7.0");
  lines = [];
  told = [];
  const line = (message: string, fields: Record<string, unknown> = {}) => void lines.push({ message, fields });
  state = {
    membership,
    alarms: new Alarms(),
    memberId: SELF,
    maxLearners: 1,
    log: { info: line, error: line } as unknown as Logger,
    membersChanged: () => void told.push("members"),
    removed: () => void told.push("removed"),
    alarmsChanged: () => void told.push(`alarms ${state.alarms.list().length}`),
    versionChanged: () => void told.push(`version ${state.membership.clusterVersion}`),
  };
});

function change(type: ConfChangeStep["type"], id: bigint, context: unknown = null): MembershipChange {
  return { change: { transition: "auto", steps: [{ type, id }] }, context };
}

const refusal = (asked: MembershipChange) => membershipHandler(state).check(asked)?.message ?? null;
const messages = () => lines.map(({ message }) => message);

function apply(asked: MembershipChange) {
  return membershipHandler(state).applied(asked, {} as ConfState, MARK);
}

describe("a change of members", () => {
  it.each<[string, MembershipChange, string | null]>([
    ["a new voter", change("addVoter", 4n, member(4n)), null],
    ["a voter that is there", change("addVoter", 2n, member(2n)), "etcdserver: member ID already exist"],
    [
      "one learner too many",
      change("addLearner", 4n, member(4n, true)),
      "etcdserver: too many learner members in cluster",
    ],
    ["a taken URL", change("addVoter", 4n, { ...member(2n), id: 4n }), "etcdserver: Peer URLs already exists"],
    [
      "a taken URL rather than one learner too many",
      change("addLearner", 4n, { ...member(2n, true), id: 4n }),
      "etcdserver: Peer URLs already exists",
    ],
    ["removing a member", change("remove", 2n), null],
    ["removing who is not there", change("remove", 9n), "etcdserver: member not found"],
    ["promoting a learner", change("addVoter", LEARNER, { promote: true }), null],
    ["promoting a voter", change("addVoter", 2n, { promote: true }), "etcdserver: can only promote a learner member"],
    ["promoting who is not there", change("addVoter", 9n, { promote: true }), "etcdserver: member not found"],
  ])("%s", (_, asked, expected) => {
    expect(refusal(asked)).toBe(expected);
    expect(messages()).toEqual(expected === null ? [] : ["Validation on configuration change failed"]);
    expect(membership.members()).toHaveLength(3);
  });

  it("never brings a removed member back", () => {
    apply(change("remove", 2n));
    expect(refusal(change("addVoter", 2n, member(2n)))).toBe("etcdserver: member not found");
    expect(refusal(change("remove", 2n))).toBe("etcdserver: member not found");
  });

  it("adds, promotes and removes, with rows that a restart reads", () => {
    const writes = [
      ...apply(change("addVoter", 4n, member(4n))).writes,
      ...apply(change("addVoter", LEARNER, { promote: true })).writes,
      ...apply(change("remove", 2n)).writes,
    ];
    const rows = writes.map((row) => ({ ...row, value: row.value ?? new Uint8Array() }));
    const restored = Membership.restore(7n, rows);
    expect(restored.members()).toEqual([member(LEARNER), member(4n)]);
    expect(restored.isRemoved(2n)).toBe(true);
    expect(membership.members().map(({ id }) => id)).toEqual([SELF, LEARNER, 4n]);
    expect(told).toEqual(["members", "members", "members"]);
    expect(messages().filter((text) => !text.startsWith("applied a conf"))).toEqual([
      "added member",
      "promote member",
      "removed member",
    ]);
  });

  it("tells a member that it was removed itself", () => {
    apply(change("remove", SELF));
    expect(told).toEqual(["members", "removed"]);
  });

  it("ends the process when an entry does not describe the member that it adds", () => {
    expect(() => apply(change("addVoter", 4n, member(5n)))).toThrow(
      "the entry that adds member 4 does not describe it",
    );
  });
});

describe("a control entry", () => {
  it("gives a member other peer URLs, if nobody else has them", () => {
    const { memberUpdate } = controlHandlers(state);
    const update = (id: bigint, url: string) => memberUpdate({ type: "memberUpdate", id, peerUrls: [url] }, MARK);
    expect(update(9n, "http://new:1")).toMatchObject({
      result: { message: "etcdserver: member not found" },
      writes: [],
    });
    expect(update(2n, "http://m1:1")).toMatchObject({
      result: { message: "etcdserver: Peer URLs already exists" },
      writes: [],
    });
    expect(update(2n, "http://m2:1").writes).toHaveLength(1);
    expect(update(2n, "http://new:1")).toMatchObject({ result: null });
    expect(membership.member(2n)).toEqual({ ...member(2n), peerUrls: ["http://new:1"] });
    expect(told).toEqual(["members", "members"]);
  });

  it("publishes what a member says of itself", () => {
    const { memberAttributes } = controlHandlers(state);
    const published = { name: "new", clientUrls: ["http://c:1"] };
    expect(memberAttributes({ type: "memberAttributes", id: 2n, ...published }, MARK).writes).toHaveLength(1);
    expect(membership.member(2n)).toMatchObject(published);
    expect(memberAttributes({ type: "memberAttributes", id: 9n, ...published }, MARK).writes).toEqual([]);
  });

  it("decides the version of the cluster, and logs from what to what", () => {
    const { clusterVersion } = controlHandlers(state);
    expect(clusterVersion({ type: "clusterVersion", version: "3.8.0" }, MARK).writes).toHaveLength(1);
    expect(membership.clusterVersion).toBe("3.8.0");
    expect(told).toEqual(["version 3.8.0"]);
    expect(lines[0]).toMatchObject({ message: "updated cluster version", fields: { from: "3.7", to: "3.8" } });
  });

  it("sets and ends alarms, and says what restrains the data plane", () => {
    const { alarm } = controlHandlers(state);
    const set = { type: "alarm", action: "activate", memberId: 2n, alarm: AlarmType.NoSpace } as const;
    const end = { ...set, action: "deactivate" } as const;
    const changed = { memberId: 2n, type: AlarmType.NoSpace };
    expect(alarm(set, MARK)).toMatchObject({ result: changed, writes: [{ table: "alarms" }] });
    expect(alarm(set, MARK)).toMatchObject({ result: changed });
    expect(alarm(end, MARK)).toMatchObject({ result: changed, writes: [{ table: "alarms", value: null }] });
    expect(alarm(end, MARK)).toEqual({ result: null, writes: [] });
    expect(told).toEqual(["alarms 1", "alarms 1", "alarms 0", "alarms 0"]);
  });

  it("takes entries with every number for an alarm, of which 0 is none", () => {
    const { alarm } = controlHandlers(state);
    const entry = (action: "activate" | "deactivate", type: number) =>
      alarm({ type: "alarm", action, memberId: 2n ** 64n - 1n, alarm: type }, MARK);
    for (const action of ["activate", "deactivate"] as const) {
      expect(entry(action, AlarmType.None)).toEqual({ result: null, writes: [] });
    }
    expect(state.alarms.list()).toEqual([]);
    for (const type of [7, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      expect(entry("deactivate", type)).toEqual({ result: null, writes: [] });
      const { writes } = entry("activate", type);
      const rows = writes.map(({ table, key }) => ({ table, key, value: new Uint8Array() }));
      expect(Alarms.restore(rows).list()).toEqual([{ memberId: 2n ** 64n - 1n, type }]);
      expect(entry("deactivate", type).writes).toMatchObject([{ key: writes[0]?.key, value: null }]);
    }
    const ofBefore = { table: "alarms", key: new Uint8Array(12), value: new Uint8Array() } as const;
    expect(Alarms.restore([ofBefore]).list()).toEqual([]);
  });

  it("of a newer version of netcd ends the process", () => {
    const { downgrade } = controlHandlers(state);
    const begun = { type: "downgrade", enabled: true, targetVersion: "3.6.0" } as const;
    expect(() => downgrade(begun, MARK)).toThrow("the log holds a downgrade command");
  });
});
