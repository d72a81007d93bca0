// The append grant: the right of the data plane to stamp entries {term, nextIndex…} and to write them without asking.
// While it is out nothing else may append; raft learns of the entries afterwards and replicates them.

import type { Core } from "./core.js";
import { broadcastAppend } from "./replication.js";
import { type EntryMeta, type Grant, invariant, type Message, NONE } from "./types.js";

/** null: not now, or it is already out. */
export function takeGrant(core: Core): Grant | null {
  const { log } = core;
  if (core.grant !== null || !isGrantable(core)) return null;
  // Raft's own entries must be durable, so that what is reported stable under the grant can only be the grant's.
  if (log.stable !== log.lastIndex) return null;
  core.grant = {
    term: core.term,
    nextIndex: log.lastIndex + 1,
    soleVoter: core.tracker.isSoleVoter(core.id),
  };
  return core.grant;
}

function isGrantable(core: Core): boolean {
  return (
    core.isLeader &&
    core.committedInTerm &&
    core.transferee === NONE &&
    core.pendingConfIndex <= core.log.applied &&
    !core.tracker.isJoint &&
    core.uncommittedBytes < core.options.uncommittedBytesMax
  );
}

/** The grant is out and its reason is gone. */
export function grantExpired(core: Core): boolean {
  return core.grant !== null && (core.grant.term !== core.term || !isGrantable(core));
}

/** The message may end the leadership, or append. */
export function needsGrantWithdrawn(core: Core, message: Message): boolean {
  if (core.grant === null) return false;
  return message.term > core.term || message.type === "propose" || message.type === "transferLeader";
}

export function appendGranted(core: Core, metas: readonly EntryMeta[]): void {
  invariant(core.grant !== null, "entries without a grant");
  const { grant, log } = core;
  const first = metas[0];
  if (first === undefined) return;
  invariant(first.term === grant.term, `granted term ${grant.term}, stamped ${first.term}`);
  const leads = core.isLeader && core.term === grant.term;
  if (first.index !== log.lastIndex + 1 || log.lastTerm > grant.term) {
    invariant(!leads, "the grant left a gap");
    return;
  }
  const entries = metas.map((meta) => ({ ...meta, payload: null }));
  log.appendGranted(grant.term, entries);
  if (!leads) return;
  for (const { bytes } of metas) core.uncommittedBytes += bytes;
  broadcastAppend(core);
}
