// The follow grant: the right of a follower's data plane to take the appends of one leader in one term that continue its
// log exactly, and to answer them when they are durable. Raft learns of the entries afterwards. While it is out raft
// does nothing that rests on the end of its log or that leaves the term: the driver withdraws it first.

import type { Core } from "./core.js";
import { type EntryMeta, type FollowGrant, NONE, type SteppedMessage } from "./types.js";

/** null: not now, or it is already out. */
export function takeFollowGrant(core: Core): FollowGrant | null {
  const { log, lead, role, term } = core;
  if (core.follow !== null || role !== "follower" || lead === NONE) return null;
  // A store on its way to disk comes first.
  if (log.hasUnemitted || log.stable < log.snapshotIndex) return null;
  core.follow = { term, leader: lead, lastIndex: log.lastIndex };
  return core.follow;
}

/** The message may change term, vote, leader or log, or is answered by what the log holds. */
export function needsFollowWithdrawn(core: Core, message: SteppedMessage): boolean {
  if (core.follow === null) return false;
  if (message.term > core.term) return true;
  switch (message.type) {
    case "heartbeat":
      return message.term !== core.term || message.from !== core.follow.leader;
    case "appendResponse":
    case "heartbeatResponse":
    case "voteResponse":
    case "preVoteResponse":
    case "transferLeader":
    case "readIndex":
    case "readIndexResponse":
      // Late answers to an earlier role, or what a follower passes on: neither touches log, term or vote.
      return false;
    default:
      return true;
  }
}

/** Entries that the data plane took from the leader and gave to stable storage. */
export function appendFollowed(core: Core, { term }: FollowGrant, metas: readonly EntryMeta[]): void {
  const entries = metas.map((meta) => ({ ...meta, payload: null }));
  core.log.appendGranted(term, entries);
  core.electionElapsed = 0;
}
