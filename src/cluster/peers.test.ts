import { beforeEach, describe, expect, it } from "vitest";
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
    engine: { setRemovedPeers: (ids) => void calls.push(`removed ${ids.join()}`) },
    links: {
      set: (id, urls) => void calls.push(`set ${id} ${urls.join()}`),
      remove: (id) => void calls.push(`remove ${id}`),
    },
    membership,
    log: { info: (text: string) => void lines.push(text) } as never,
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
