// Time: what a tick means for a leader and for everybody else.

import type { Core } from "./core.js";
import { hup } from "./election.js";
import { broadcastHeartbeat } from "./replication.js";
import { NONE } from "./types.js";

export function tickFollower(core: Core): void {
  core.electionElapsed += 1;
  if (core.electionElapsed < core.electionTimeout || !core.isPromotable) return;
  core.electionElapsed = 0;
  hup(core, core.options.preVote ? "preElection" : "election");
}

export function tickLeader(core: Core): void {
  core.heartbeatElapsed += 1;
  core.electionElapsed += 1;
  if (core.electionElapsed >= core.options.electionTicks) {
    core.electionElapsed = 0;
    checkQuorum(core);
    // The transferee had an election timeout to take over.
    core.transferee = NONE;
  }
  if (!core.isLeader || core.heartbeatElapsed < core.options.heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  broadcastHeartbeat(core);
}

function checkQuorum(core: Core): void {
  if (!core.options.checkQuorum) return;
  // A leader that cannot write applies nothing either: it knows no new lease, and what others forward piles up here.
  const unableToWrite = core.diskStalled && !core.tracker.isSoleVoter(core.id);
  if (unableToWrite || !core.tracker.quorumActive(core.id)) {
    core.becomeFollower(core.term, NONE);
    return;
  }
  core.noteLog();
  for (const [id, progress] of core.tracker.progress) {
    if (id !== core.id) progress.recentActive = false;
  }
}
