// Conf changes: when one may be proposed, and what follows for the leader when one was applied.

import { applyChange } from "./confchange.js";
import type { Core } from "./core.js";
import { releaseReads } from "./reads.js";
import { appendOwn, broadcastAppend, isConfChange, maybeCommit, sendAppend } from "./replication.js";
import { confStateOf } from "./tracker.js";
import { type ConfChange, type ConfState, EntryKind, NONE, type ProposedEntry } from "./types.js";

/** At most one conf change is on its way, and only the step that fits the phase. null: it may be proposed. */
export function refuseConfChange(
  core: Core,
  entries: readonly ProposedEntry[],
): "confChangePending" | "confChangeInvalid" | null {
  const changes = entries.filter(isConfChange);
  if (changes.length === 0) return null;
  if (changes.length > 1 || core.pendingConfIndex > core.log.applied) return "confChangePending";
  const leaves = (changes[0] as ProposedEntry).leavesJoint;
  return leaves === core.tracker.isJoint ? null : "confChangeInvalid";
}

export function noteConfChange(core: Core, entries: readonly ProposedEntry[]): void {
  const at = entries.findIndex(isConfChange);
  if (at >= 0) core.pendingConfIndex = core.log.lastIndex - entries.length + 1 + at;
}

/** The driver applied a conf change entry. @throws ConfChangeError, and then nothing has changed. */
export function applyConfChange(core: Core, change: ConfChange): ConfState {
  const config = applyChange(core.tracker.config, change);
  core.tracker.setConfig(config, core.log.lastIndex + 1);
  afterSwitch(core);
  return confStateOf(config);
}

function afterSwitch(core: Core): void {
  if (!core.isLeader) return;
  if (!core.tracker.isVoter(core.id)) {
    // Removed or demoted: another member must lead.
    core.becomeFollower(core.term, NONE);
    return;
  }
  // A smaller quorum may already have what the larger one waited for.
  if (maybeCommit(core)) broadcastAppend(core);
  else for (const id of core.tracker.progress.keys()) if (id !== core.id) sendAppend(core, id);
  releaseReads(core);
  if (core.transferee !== NONE && !core.tracker.isVoter(core.transferee)) core.transferee = NONE;
}

/** After a joint configuration was entered with auto-leave, the leader proposes to leave it. */
export function autoLeave(core: Core): void {
  const { config } = core.tracker;
  if (!core.isLeader || !config.autoLeave || core.grant !== null) return;
  if (core.pendingConfIndex > core.log.applied) return;
  const leave: ProposedEntry = {
    kind: EntryKind.ConfChange,
    bytes: 0,
    payload: null,
    leavesJoint: true,
  };
  appendOwn(core, [leave]);
  noteConfChange(core, [leave]);
  broadcastAppend(core);
}
