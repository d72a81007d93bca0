// What the transcripts cannot show: restarts, and members that know of conf changes they have not applied.

import { describe, expect, test } from "vitest";
import {
  dataPlaneRoundMin,
  EntryKind,
  type Message,
  type Raft,
  type RestoredState,
  type SteppedMessage,
} from "../index.js";
import { confOf, raftOf } from "./member.js";

const threeVoters = confOf([1n, 2n, 3n]);

function restart(id: bigint, state: Partial<RestoredState>): Raft {
  return raftOf({ id }, { hardState: { term: 3, vote: 0n, commit: 0 }, confState: threeVoters, ...state });
}

function entry(index: number, term: number, kind: EntryKind = EntryKind.Batch) {
  return { index, term, kind, bytes: 1 };
}

function vote(to: bigint, lastIndex: number, lastTerm: number): SteppedMessage {
  return { type: "vote", from: 3n, to, term: 4, lastIndex, lastTerm, transfer: false };
}

/** The answer to a vote request of member 3, once it is durable. */
function answer(raft: Raft, message: SteppedMessage): Message | undefined {
  raft.step(message);
  const { messages, messagesAfterPersist } = raft.ready();
  return [...messages, ...messagesAfterPersist].find(({ to }) => to === 3n);
}

describe("a restarted member", () => {
  test("does not campaign before it applied the conf changes it knows to be committed", () => {
    const raft = restart(1n, {
      hardState: { term: 3, vote: 0n, commit: 2 },
      entries: [entry(1, 3), entry(2, 3, EntryKind.ConfChange), entry(3, 3)],
      applied: 1,
    });
    raft.campaign();
    expect(raft.role).toBe("follower");
    raft.applyConfChange({ transition: "auto", steps: [{ type: "addVoter", id: 4n }] });
    raft.applied(2);
    raft.campaign();
    expect(raft.role).toBe("candidate");
  });

  test("keeps its vote", () => {
    const raft = restart(1n, { hardState: { term: 4, vote: 2n, commit: 0 } });
    expect(answer(raft, vote(1n, 9, 3))).toMatchObject({ type: "voteResponse", reject: true });
  });

  test("takes the commit hint only as far as its log goes", () => {
    const raft = restart(1n, { hardState: { term: 3, vote: 0n, commit: 9 }, entries: [entry(1, 3)] });
    expect(raft.committed).toBe(1);
  });

  test("refuses a log with a gap, and an applied index outside of it", () => {
    expect(() => restart(1n, { entries: [entry(1, 1), entry(3, 1)] })).toThrow("gap");
    expect(() => restart(1n, { entries: [entry(1, 1)], applied: 2 })).toThrow("outside of the log");
  });
});

describe("the vote of a member outside of the configuration", () => {
  const without = confOf([2n, 3n]);
  const log = [entry(1, 3), entry(2, 3), entry(3, 3), entry(4, 3)];

  test("asks for what it knows to be committed only", () => {
    const state = { confState: without, entries: log, applied: 2 };
    const good = answer(restart(1n, state), vote(1n, 2, 3));
    expect(good).toMatchObject({ type: "voteResponse", reject: false });
    const behind = answer(restart(1n, state), vote(1n, 1, 3));
    expect(behind).toMatchObject({ type: "voteResponse", reject: true });
  });

  test("asks for its whole log if a conf change in it may have made it a voter", () => {
    const entries = [...log.slice(0, 3), entry(4, 3, EntryKind.ConfChange)];
    const state = { confState: without, entries, applied: 2 };
    expect(answer(restart(1n, state), vote(1n, 3, 3))).toMatchObject({ reject: true });
    expect(answer(restart(1n, state), vote(1n, 4, 3))).toMatchObject({ reject: false });
  });

  test("that of a voter asks for its whole log", () => {
    const state = { entries: log, applied: 2 };
    expect(answer(restart(1n, state), vote(1n, 3, 3))).toMatchObject({ reject: true });
    expect(answer(restart(1n, state), vote(1n, 4, 3))).toMatchObject({ reject: false });
  });
});

describe("the follow grant", () => {
  const heartbeat = (term: number, readSeq = 0): SteppedMessage => {
    return { type: "heartbeat", from: 2n, to: 1n, term, commit: 0, readSeq };
  };

  /** A follower of member 2 in term 3 whose data plane holds the grant. */
  function follower(): Raft {
    const raft = restart(1n, { entries: [entry(1, 3)] });
    expect(raft.takeFollowGrant()).toBeNull();
    raft.step(heartbeat(3));
    expect(raft.takeFollowGrant()).toEqual({ term: 3, leader: 2n, lastIndex: 1 });
    expect(raft.takeFollowGrant()).toBeNull();
    return raft;
  }

  test("must be withdrawn before anything that may change term, vote, leader or log, or rests on the log", () => {
    const raft = follower();
    const append: SteppedMessage = {
      type: "append",
      from: 2n,
      to: 1n,
      term: 3,
      commit: 0,
      prevIndex: 1,
      prevTerm: 3,
      entries: [],
    };
    for (const message of [heartbeat(4), vote(1n, 9, 3), append, { ...append, term: 2 }]) {
      expect(raft.needsGrantWithdrawn(message)).toBe(true);
      expect(() => raft.step(message)).toThrow("withdrawn");
    }
    expect(() => raft.forgetLeader()).toThrow("withdrawn");
    expect(raft.needsGrantWithdrawn(heartbeat(3))).toBe(false);
    raft.grantWithdrawn();
    expect(answer(raft, vote(1n, 9, 3))).toMatchObject({ type: "voteResponse", reject: false });
  });

  test("what was taken under it keeps the member from campaigning, and counts in its votes", () => {
    const raft = follower();
    for (let tick = 0; tick < 9; tick += 1) raft.tick();
    expect(raft.mayCampaignNext).toBe(true);
    raft.appendGranted([entry(2, 3)]);
    raft.committedTo(2);
    expect(raft.mayCampaignNext).toBe(false);
    expect(raft.committed).toBe(2);
    raft.grantWithdrawn();
    raft.tick();
    expect(raft.role).toBe("follower");
    expect(answer(raft, vote(1n, 1, 3))).toMatchObject({ type: "voteResponse", reject: true });
  });

  test("a round of the data plane confirms no read of raft", () => {
    const raft = restart(1n, { entries: [entry(1, 3)] });
    raft.campaign();
    const elected = raft.ready();
    raft.persisted(elected.seq);
    raft.step({ type: "voteResponse", from: 2n, to: 1n, term: 4, reject: false });
    const first = raft.ready();
    raft.persisted(first.seq);
    raft.acknowledged(2n, 2, 4);
    raft.readIndex(77);
    expect(raft.ready().readStates).toEqual([]);
    const answered = (readSeq: number): SteppedMessage => {
      return { type: "heartbeatResponse", from: 2n, to: 1n, term: 4, readSeq };
    };
    raft.step(answered(dataPlaneRoundMin + 1));
    expect(raft.ready().readStates).toEqual([]);
    raft.step(answered(1));
    expect(raft.ready().readStates).toEqual([{ context: 77, index: 2 }]);
  });
});

test("an acknowledgement counts only in the leader's term and for what its log has", () => {
  const raft = restart(1n, { entries: [entry(1, 3)] });
  raft.campaign();
  raft.persisted(raft.ready().seq);
  raft.step({ type: "voteResponse", from: 2n, to: 1n, term: 4, reject: false });
  raft.persisted(raft.ready().seq);
  const acknowledged = (term: number, index: number): SteppedMessage => {
    return { type: "appendResponse", from: 2n, to: 1n, term, index, reject: false, hintIndex: 0, hintTerm: 0 };
  };
  const committedAfter = (message: SteppedMessage) => {
    raft.step(message);
    return raft.committed;
  };
  expect(committedAfter(acknowledged(0, 2))).toBe(0);
  expect(committedAfter(acknowledged(3, 2))).toBe(0);
  expect(committedAfter(acknowledged(4, 3))).toBe(0);
  raft.propose([{ kind: EntryKind.Batch, bytes: 1, payload: null, leavesJoint: false }]);
  raft.persisted(raft.ready().seq);
  expect(raft.committed).toBe(0);
  expect(committedAfter(acknowledged(4, 2))).toBe(2);
});
