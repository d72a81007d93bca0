// Majorities: which index a set of voters has reached, and how a vote stands. A joint configuration is two
// majorities that must both agree.

import type { MemberId } from "./types.js";

export type VoteOutcome = "won" | "lost" | "pending";

/** The highest index that a majority has reached. An empty set has reached everything, so that joint = min works. */
export function majorityIndex(voters: ReadonlySet<MemberId>, reached: (id: MemberId) => number): number {
  if (voters.size === 0) return Number.MAX_SAFE_INTEGER;
  const indices: number[] = [];
  for (const id of voters) indices.push(reached(id));
  indices.sort((a, b) => b - a);
  return indices[Math.floor(voters.size / 2)] as number;
}

/** How the election stands in one majority; undefined: no answer yet. An empty set agrees with everything. */
export function majorityVote(voters: ReadonlySet<MemberId>, voted: (id: MemberId) => boolean | undefined): VoteOutcome {
  const needed = Math.floor(voters.size / 2) + 1;
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = voted(id);
    if (vote === undefined) missing += 1;
    else if (vote) granted += 1;
  }
  if (voters.size === 0 || granted >= needed) return "won";
  return granted + missing >= needed ? "pending" : "lost";
}

/** Two majorities; `outgoing` is empty outside of a joint configuration. */
export interface JointVoters {
  readonly incoming: ReadonlySet<MemberId>;
  readonly outgoing: ReadonlySet<MemberId>;
}

export function jointIndex(voters: JointVoters, reached: (id: MemberId) => number): number {
  return Math.min(majorityIndex(voters.incoming, reached), majorityIndex(voters.outgoing, reached));
}

export function jointVote(voters: JointVoters, voted: (id: MemberId) => boolean | undefined): VoteOutcome {
  const incoming = majorityVote(voters.incoming, voted);
  const outgoing = majorityVote(voters.outgoing, voted);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
