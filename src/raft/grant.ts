// The append grant: the right of the data plane to stamp entries {term, nextIndex…} and to write them without asking.
// While it is out nothing else may append; raft learns of the entries afterwards. The data plane sends them by itself to
// the followers that keep up (`streamed`) and commits what a majority has; raft counts the same and serves the others.

import type { Core } from "./core.js";
import { broadcastAppend } from "./replication.js";
import {
  type EntryMeta,
  type Grant,
  type GrantMember,
  type GrantQuorum,
  invariant,
  type MemberId,
  NONE,
  type SteppedMessage,
} from "./types.js";

/** null: not now, or it is already out. */
export function takeGrant(core: Core): Grant | null {
  const { log } = core;
  if (core.grant !== null || !isGrantable(core)) return null;
  // Raft's own entries must be durable, so that what is reported stable under the grant can only be the grant's.
  if (log.stable !== log.lastIndex) return null;
  core.grant = {
    term: core.term,
    nextIndex: log.lastIndex + 1,
    quorum: core.tracker.isSoleVoter(core.id) ? null : quorumOf(core),
  };
  return core.grant;
}

function quorumOf({ id: own, log, tracker }: Core): GrantQuorum {
  const members: GrantMember[] = [];
  for (const [id, { match }] of tracker.progress) {
    if (id !== own) members.push({ id, votes: tracker.isVoter(id), matched: match });
  }
  return { ownVote: tracker.isVoter(own), committed: log.committed, members };
}

/** The members that have been sent everything and may be sent more. */
export function streamable(core: Core): MemberId[] {
  const ids: MemberId[] = [];
  for (const [id, progress] of core.tracker.progress) {
    const keepsUp = progress.state === "replicate" && !progress.isPaused && progress.next === core.log.lastIndex + 1;
    if (id !== core.id && keepsUp) ids.push(id);
  }
  return ids;
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

/** The message may end the leadership. */
export function needsGrantWithdrawn(core: Core, message: SteppedMessage): boolean {
  if (core.grant === null) return false;
  return message.term > core.term || message.type === "transferLeader";
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
  for (const id of core.streamed) noteStreamed(core, id, metas);
  broadcastAppend(core);
}

/** The data plane sent each entry in a message of its own. */
function noteStreamed(core: Core, id: MemberId, metas: readonly EntryMeta[]): void {
  const progress = core.tracker.progress.get(id);
  for (const { index, bytes } of metas) {
    // Otherwise the follower has fallen behind since, and what was sent optimistically does not count.
    if (progress?.state === "replicate" && progress.next === index) progress.sent(1, bytes);
  }
}
