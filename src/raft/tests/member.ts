// A raft as these tests want it: small limits, and nothing that a test did not ask for.

import { type ConfState, type MemberId, Raft, type RaftOptions, type RestoredState } from "../index.js";

export function confOf(voters: MemberId[], learners: MemberId[] = []): ConfState {
  return { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false };
}

/** Without a log or a term, unless `state` says otherwise. */
export function raftOf(
  options: Partial<RaftOptions> & Pick<RaftOptions, "id">,
  state: Partial<RestoredState> & Pick<RestoredState, "confState">,
): Raft {
  return new Raft(
    {
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
      ...options,
    },
    {
      hardState: { term: 0, vote: 0n, commit: 0 },
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: [],
      applied: 0,
      ...state,
    },
  );
}
