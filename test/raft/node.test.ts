// What the transcripts cannot show: restarts, and members that know of conf changes they have not applied.

import { describe, expect, test } from "vitest";
import { type ConfState, EntryKind, type Message, Raft, type RestoredState } from "../../src/raft/index.js";

const threeVoters: ConfState = {
  voters: [1n, 2n, 3n],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function restart(id: bigint, state: Partial<RestoredState>): Raft {
  return new Raft(
    {
      id,
      electionTicks: 10,
      heartbeatTicks: 1,
      preVote: false,
      checkQuorum: false,
      leaseReads: false,
      messageBytesMax: 1000,
      inflightMessagesMax: 4,
      inflightBytesMax: 10_000,
      uncommittedBytesMax: 1_000_000,
      random: () => 0,
    },
    {
      hardState: { term: 3, vote: 0n, commit: 0 },
      confState: threeVoters,
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: [],
      applied: 0,
      ...state,
    },
  );
}

function entry(index: number, term: number, kind: EntryKind = EntryKind.Batch) {
  return { index, term, kind, bytes: 1 };
}

function vote(to: bigint, lastIndex: number, lastTerm: number): Message {
  return { type: "vote", from: 3n, to, term: 4, lastIndex, lastTerm, transfer: false };
}

/** The answer to a vote request of member 3, once it is durable. */
function answer(raft: Raft, message: Message): Message | undefined {
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
  const without: ConfState = { ...threeVoters, voters: [2n, 3n] };
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
