// A store of another member, which raft takes or refuses at the end of its turn: it is installed or dropped, once.

import { expect, test } from "vitest";
import type { NativeEngine, NativePeers } from "../native/binding.js";
import type { Message, SnapshotMessage } from "../raft/index.js";
import { encodeMessage } from "./peercodec.js";
import { PeerLinks, type PeerLinksOptions } from "./peerlinks.js";

const confState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const announced: SnapshotMessage = {
  type: "snapshot",
  from: 2n,
  to: 1n,
  term: 4,
  snapshot: { index: 90, term: 3, confState },
};

class Rig {
  readonly calls: string[] = [];
  readonly told: Message[] = [];
  readonly links: PeerLinks;
  endTurn = () => {};

  constructor() {
    const peers = {
      installSnapshot: (handle: number) => this.calls.push(`install ${handle}`),
      dropSnapshot: (handle: number) => this.calls.push(`drop ${handle}`),
    } as unknown as NativePeers;
    const log = { dropPayloads: () => {} };
    const options = {
      id: 1n,
      heartbeatMs: 100,
      snapshotArrived: () => this.calls.push("meta"),
    } as unknown as PeerLinksOptions;
    this.links = new PeerLinks({ peers, log } as unknown as NativeEngine, options);
    this.links.attach({
      message: (message) => this.told.push(message),
      later: (call) => {
        this.endTurn = call;
      },
      unreachable: () => {},
      refused: () => {},
      snapshotSent: () => {},
    });
  }

  arrives(snapshot: number): void {
    const header = encodeMessage(announced);
    this.links.handle({ type: "peerSnapshot", from: 2n, header, snapshot, index: 95, term: 4, meta: [] });
  }
}

test("raft takes the store later in the turn in which it arrived, as it stands and not as announced", () => {
  const rig = new Rig();
  rig.arrives(7);
  const snapshot = { index: 95, term: 4, confState };
  expect(rig.told).toEqual([{ ...announced, snapshot }]);
  expect(rig.calls).toEqual([]);
  rig.links.installSnapshot(snapshot);
  rig.endTurn();
  expect(rig.calls).toEqual(["meta", "install 7"]);
});

test("a store that raft does not take is dropped at the end of the turn", () => {
  const rig = new Rig();
  rig.arrives(7);
  rig.endTurn();
  expect(rig.calls).toEqual(["drop 7"]);
  expect(() => rig.links.installSnapshot({ index: 95, term: 4, confState })).toThrow("no store of entry 95");
});
