// ReadIndex: the leader notes its commit index, lets a quorum confirm that it still leads, and answers. It answers
// only after it committed an entry of its own term; before that it does not know what is committed.

import type { Core } from "./core.js";
import type { ReadRequest, UnroutedRead } from "./readonly.js";
import { broadcastHeartbeat } from "./replication.js";
import { dataPlaneRoundMin, type HeartbeatResponseMessage, type MemberId, NONE } from "./types.js";

/** A request of this member or one that a follower forwarded. False: nobody can answer it now. */
export function requestRead(core: Core, read: UnroutedRead): boolean {
  if (!core.isLeader) return forward(core, read);
  if (!core.committedInTerm) core.reads.postpone(read);
  else admit(core, [read]);
  return true;
}

function forward(core: Core, read: UnroutedRead): boolean {
  // Only own requests are forwarded: two members that each take the other for the leader must not play ball.
  if (core.lead === NONE || read.from !== core.id) return false;
  core.send({ type: "readIndex", to: core.lead, context: read.context });
  return true;
}

function admit(core: Core, reads: UnroutedRead[]): void {
  const index = core.log.committed;
  // This member may be a quorum by itself, also in both halves of a joint configuration.
  const alone = core.tracker.quorumOf((id) => id === core.id);
  const needsNoRound = alone || (core.options.leaseReads && core.options.checkQuorum);
  if (needsNoRound) {
    for (const read of reads) answer(core, { ...read, index });
    return;
  }
  for (const read of reads) core.reads.add(read, index);
  broadcastHeartbeat(core);
}

function answer(core: Core, read: Omit<ReadRequest, "seq">): void {
  const { context, index } = read;
  if (read.from === core.id) core.readStates.push({ context, index });
  else core.send({ type: "readIndexResponse", to: read.from, context, index });
}

/** Called when the commit index moved: requests that came too early get their index now. */
export function admitPostponed(core: Core): void {
  if (!core.isLeader || !core.reads.hasPostponed || !core.committedInTerm) return;
  admit(core, core.reads.takePostponed());
}

export function confirmReads(core: Core, message: HeartbeatResponseMessage): void {
  // The rounds of the data plane are its own: one of them must never confirm a request that came after it.
  if (message.readSeq === 0 || message.readSeq >= dataPlaneRoundMin) return;
  core.reads.confirm(message.from, message.readSeq);
  releaseReads(core);
}

/** Also called when the configuration changed: the quorum that a request needs may be another now. */
export function releaseReads(core: Core): void {
  const quorumOf = (has: (id: MemberId) => boolean) => core.tracker.quorumOf(has);
  for (const request of core.reads.release(quorumOf, core.id)) answer(core, request);
}
