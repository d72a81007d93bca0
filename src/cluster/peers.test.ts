import { beforeEach, describe, expect, it } from "vitest";
import { limits } from "../limits.js";
import type { Member } from "./member.js";
import { Membership } from "./membership.js";
import { ClusterPeers } from "./peers.js";

const member = (id: bigint, url = `http://m${id}:1`): Member => ({
  id,
  name: "",
  peerUrls: [url],
  clientUrls: [],
  isLearner: false,
});

let calls: string[];
let lines: string[];
let membership: Membership;
let peers: ClusterPeers;

beforeEach(() => {
  calls = [];
  lines = [];
  membership = new Membership(7n);
  peers = new ClusterPeers({
    memberId: 1n,
    peers: { setRemoved: (ids) => void calls.push(`removed ${ids.join()}`) },
    links: {
      set: (id, urls) => void calls.push(`set ${id} ${urls.join()}`),
      remove: (id) => void calls.push(`remove ${id}`),
    },
    membership,
    log: { info: (text: string) => void lines.push(text), warn: (text: string) => void lines.push(text) } as never,
  });
});

describe("links", () => {
  it("follow the membership, never to the member itself, and once for each change", () => {
    for (const id of [1n, 2n, 3n]) membership.put(member(id));
    peers.sync();
    peers.sync();
    membership.put(member(2n, "http://elsewhere:1"));
    peers.sync();
    expect(calls.filter((call) => call !== "removed ")).toEqual([
      "set 2 http://m2:1",
      "set 3 http://m3:1",
      "set 2 http://elsewhere:1",
    ]);
    expect(lines.slice(-1)).toEqual(["updated remote peer"]);
  });

  it("end with a removal, and the data plane learns who must not come back", () => {
    for (const id of [1n, 2n]) membership.put(member(id));
    peers.sync();
    membership.remove(2n);
    calls = [];
    peers.sync();
    expect(calls).toEqual(["remove 2", "removed 2"]);
    expect(lines.slice(-3)).toEqual(["stopping remote peer", "stopped remote peer", "removed remote peer"]);
  });

  it("to members that a joining one was told of stay although its log does not name them yet", () => {
    peers.introduce([member(1n), member(2n)]);
    peers.sync();
    expect(calls).toEqual(["set 2 http://m2:1", "removed "]);
  });
});

describe("a member that the log does not name", () => {
  it("is linked when it calls, and is one like any other once the log names it", () => {
    membership.put(member(2n));
    peers.sync();
    calls = [];
    peers.meet(5n, ["http://m5:1"]);
    peers.meet(5n, ["http://m5:1"]);
    expect(calls).toEqual(["set 5 http://m5:1"]);
    expect(lines.slice(-1)).toEqual(["added new remote peer"]);
    membership.put(member(5n, "http://m5:2"));
    peers.sync();
    expect(calls.slice(1)).toEqual(["set 5 http://m5:2", "removed "]);
    expect(lines.slice(-1)).toEqual(["added remote peer"]);
  });

  it("ends with its removal", () => {
    peers.meet(5n, ["http://m5:1"]);
    membership.put(member(5n));
    membership.remove(5n);
    peers.sync();
    expect(calls.slice(-2)).toEqual(["remove 5", "removed 5"]);
  });

  it("is refused when it is removed, names no usable URL, or is nobody else", () => {
    membership.put(member(5n));
    membership.remove(5n);
    for (const id of [0n, 1n, 5n]) peers.meet(id, ["http://m5:1"]);
    for (const urls of [[], ["m6:1"], ["ftp://m6:1"], ["http://m6"], ["http://m6:1/path"]]) peers.meet(6n, urls);
    expect(calls).toEqual([]);
  });

  it("takes the place of the oldest beyond the limit, never that of a member", () => {
    membership.put(member(2n));
    peers.sync();
    const ids = Array.from({ length: limits.strangersMax + 2 }, (_, at) => BigInt(10 + at));
    for (const id of ids) peers.meet(id, [`http://m${id}:1`]);
    expect(calls.filter((call) => call.startsWith("remove "))).toEqual(["remove 10", "remove 11"]);
    const removed = calls.filter((call) => call.startsWith("remove ")).length;
    const linked = calls.filter((call) => call.startsWith("set ")).length - removed;
    expect(linked).toBe(limits.strangersMax + 1);
  });
});
