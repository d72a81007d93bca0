// What raft tells of itself to operators and tests; nothing decides by it.

import type { Core } from "./core.js";
import type { ProgressState } from "./progress.js";
import { confStateOf } from "./tracker.js";
import type { ConfState, MemberId, Role } from "./types.js";

export interface MemberProgress {
  match: number;
  next: number;
  state: ProgressState;
  isLearner: boolean;
  recentActive: boolean;
  inflightMessages: number;
}

export interface RaftStatus {
  id: MemberId;
  term: number;
  vote: MemberId;
  lead: MemberId;
  role: Role;
  committed: number;
  applied: number;
  firstIndex: number;
  lastIndex: number;
  stable: number;
  transferee: MemberId;
  confState: ConfState;
  /** Of the other members too, on the leader; null elsewhere. */
  progress: Map<MemberId, MemberProgress> | null;
}

export function statusOf(core: Core): RaftStatus {
  const { id, term, vote, lead, role, log, transferee } = core;
  return {
    id,
    term,
    vote,
    lead,
    role,
    committed: log.committed,
    applied: log.applied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    stable: log.stable,
    transferee,
    confState: confStateOf(core.tracker.config),
    progress: core.isLeader ? progressOf(core) : null,
  };
}

function progressOf(core: Core): Map<MemberId, MemberProgress> {
  const all = new Map<MemberId, MemberProgress>();
  for (const [id, progress] of core.tracker.progress) {
    const { match, next, state, isLearner, recentActive, inflights } = progress;
    const inflightMessages = inflights.count;
    all.set(id, { match, next, state, isLearner, recentActive, inflightMessages });
  }
  return all;
}
