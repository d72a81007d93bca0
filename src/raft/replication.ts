// Moving the log from the leader to the followers: appends, their answers, the commit index, heartbeats, snapshots.

import type { Core } from "./core.js";
import type { Progress } from "./progress.js";
import { configOf, confStateOf } from "./tracker.js";
import type {
  AppendMessage,
  AppendResponseMessage,
  Entry,
  HeartbeatMessage,
  HeartbeatResponseMessage,
  MemberId,
  ProposedEntry,
  SnapshotMessage,
  SnapshotMeta,
} from "./types.js";
import { EntryKind } from "./types.js";

// --- leader ---

/** Puts proposals behind the leader's log. False: the uncommitted limit is reached. */
export function appendOwn(core: Core, proposed: readonly ProposedEntry[]): boolean {
  const bytes = proposed.reduce((sum, entry) => sum + entry.bytes, 0);
  if (!roomFor(core, bytes)) return false;
  core.uncommittedBytes += bytes;
  let index = core.log.lastIndex;
  const entries: Entry[] = proposed.map(({ kind, bytes, payload }) => {
    index += 1;
    return { index, term: core.term, kind, bytes, payload };
  });
  core.log.append(entries);
  return true;
}

/** An empty payload always fits (a new leader's first entry), and so does one entry on an empty pipe. */
function roomFor(core: Core, bytes: number): boolean {
  if (bytes === 0 || core.uncommittedBytes === 0) return true;
  return core.uncommittedBytes + bytes <= core.options.uncommittedBytesMax;
}

/** To all but those that the data plane serves: it tells them the commit index too. */
export function broadcastAppend(core: Core): void {
  for (const id of core.tracker.progress.keys()) {
    if (id !== core.id && !isStreamedTo(core, id)) sendAppend(core, id);
  }
}

/** A follower that fell behind is raft's again, even before the data plane knows. */
function isStreamedTo(core: Core, id: MemberId): boolean {
  return core.streamed.has(id) && core.tracker.progress.get(id)?.state === "replicate";
}

export function sendAppend(core: Core, to: MemberId): void {
  maybeSendAppend(core, to, true);
}

/** Sends the next append or snapshot, if flow control lets it. False: nothing was sent. */
function maybeSendAppend(core: Core, to: MemberId, ifEmpty: boolean): boolean {
  const progress = core.tracker.progress.get(to);
  if (progress === undefined || progress.isPaused) return false;
  const prevIndex = progress.next - 1;
  const prevTerm = core.log.term(prevIndex);
  if (prevTerm === null) return sendSnapshot(core, to, progress);
  // With a full pipe only an empty append goes out: its refusal is how a lost message is noticed.
  const blocked = progress.state === "replicate" && progress.inflights.full;
  const entries = blocked ? [] : sendable(core, core.log.slice(progress.next, core.options.messageBytesMax));
  if (entries.length === 0 && !ifEmpty) return false;
  core.send({ type: "append", to, prevIndex, prevTerm, commit: core.log.committed, entries });
  progress.sent(
    entries.length,
    entries.reduce((sum, entry) => sum + entry.bytes, 0),
  );
  return true;
}

/**
 * A conf change leaves only when it is durable here, and so do the entries behind it. Whoever has one may hold its whole
 * log against a candidate; a leader that lost it in a crash, and with it the knowledge that the one before is committed,
 * would wait for ever for the vote of a member that is none any more.
 */
function sendable({ log }: Core, entries: Entry[]): Entry[] {
  const held = entries.findIndex(({ index, kind }) => kind === EntryKind.ConfChange && index > log.stable);
  return held < 0 ? entries : entries.slice(0, held);
}

/** The snapshot is the store as applied here; a follower that does not answer would only waste it. */
function sendSnapshot(core: Core, to: MemberId, progress: Progress): boolean {
  if (!progress.recentActive) return false;
  const index = core.log.applied;
  const term = core.log.term(index) as number;
  const snapshot: SnapshotMeta = { index, term, confState: confStateOf(core.tracker.config) };
  core.send({ type: "snapshot", to, snapshot });
  progress.becomeSnapshot(index);
  return true;
}

export function broadcastHeartbeat(core: Core): void {
  const readSeq = core.reads.newestSeq;
  for (const [to, progress] of core.tracker.progress) {
    if (to === core.id) continue;
    // Never past what this follower is known to have: it may hold other entries there.
    const commit = Math.min(progress.match, core.log.committed);
    core.send({ type: "heartbeat", to, commit, readSeq });
  }
}

/** Moves the commit index to what a quorum has, if that entry is of this term. True: it moved. */
export function maybeCommit(core: Core): boolean {
  const index = core.tracker.committedIndex();
  if (index <= core.log.committed || core.log.term(index) !== core.term) return false;
  commitUpTo(core, index);
  return true;
}

/** Entries up to index are committed, by whoever counted. */
export function commitUpTo(core: Core, index: number): void {
  const before = core.log.committed;
  if (index <= before) return;
  core.log.commitTo(index);
  if (!core.isLeader) return;
  const bytes = core.log.bytesBetween(before, index);
  core.uncommittedBytes = Math.max(0, core.uncommittedBytes - bytes);
}

/** The leader's own acknowledgement: what is durable here counts. */
export function acknowledgeOwn(core: Core): void {
  if (!core.isLeader) return;
  const self = core.tracker.progress.get(core.id);
  const before = self?.match ?? core.log.stable;
  if (!self?.update(core.log.stable)) return;
  const wasHeld = core.log.hasKind(before, core.log.stable, EntryKind.ConfChange);
  if (maybeCommit(core) || wasHeld) broadcastAppend(core);
}

export function handleAppendResponse(core: Core, message: AppendResponseMessage): void {
  const progress = core.tracker.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  if (message.reject) handleReject(core, progress, message);
  else handleAccept(core, progress, message);
}

function handleReject(core: Core, progress: Progress, message: AppendResponseMessage): void {
  // Skips all of our entries whose term the follower cannot have at that place.
  const hint =
    message.hintTerm > 0 ? core.log.findConflict(message.hintIndex, message.hintTerm).index : message.hintIndex;
  if (!progress.fallBack(message.index, hint)) return;
  if (progress.state === "replicate") progress.becomeProbe();
  sendAppend(core, message.from);
}

function handleAccept(core: Core, progress: Progress, message: AppendResponseMessage): void {
  // Nobody can have what this leader has not: it would count for entries that are still to come.
  if (message.index > core.log.lastIndex) return;
  const wasPaused = progress.isPaused;
  const advanced = progress.update(message.index);
  if (!advanced && !(progress.match === message.index && progress.state === "probe")) return;
  if (progress.state === "probe") progress.becomeReplicate();
  else if (progress.state === "snapshot") {
    // Far enough to go on with entries, whether by the snapshot or without it.
    if (progress.match + 1 >= core.log.firstIndex) {
      progress.becomeProbe();
      progress.becomeReplicate();
    }
  } else progress.inflights.freeUpTo(message.index);
  if (maybeCommit(core)) broadcastAppend(core);
  else if (wasPaused) sendAppend(core, message.from);
  while (maybeSendAppend(core, message.from, false));
  const caughtUp = progress.match === core.log.lastIndex;
  if (message.from === core.transferee && caughtUp && core.grant === null) {
    core.send({ type: "timeoutNow", to: message.from });
  }
}

export function handleHeartbeatResponse(core: Core, message: HeartbeatResponseMessage): void {
  const progress = core.tracker.progress.get(message.from);
  if (progress === undefined) return;
  progress.recentActive = true;
  progress.paused = false;
  if (progress.match < core.log.lastIndex || progress.state === "probe") {
    sendAppend(core, message.from);
  }
}

/**
 * Entries behind this index are needed by followers: by those that miss them and can still be given them, and by those
 * that a snapshot is on its way to, or that install one: if they were forgotten meanwhile, a (further) snapshot would
 * have to follow. Infinity: no follower.
 */
export function retentionFloor(core: Core): number {
  let floor = Number.POSITIVE_INFINITY;
  if (!core.isLeader) return floor;
  for (const [id, { needsAfter }] of core.tracker.progress) {
    if (id !== core.id && needsAfter >= core.log.snapshotIndex) floor = Math.min(floor, needsAfter);
  }
  return floor;
}

/** The transport lost the connection: optimistic sending would only lose more. */
export function handleUnreachable(core: Core, id: MemberId): void {
  const progress = core.tracker.progress.get(id);
  if (!core.isLeader || progress === undefined) return;
  if (progress.state === "replicate") progress.becomeProbe();
  // Nobody knows whether it still installs what it got.
  if (progress.state === "probe") progress.pendingSnapshot = 0;
}

/** The transport knows how the snapshot ended. Either way an answer of the follower comes before more is sent. */
export function handleSnapshotStatus(core: Core, id: MemberId, arrived: boolean): void {
  const progress = core.tracker.progress.get(id);
  if (!core.isLeader || progress?.state !== "snapshot") return;
  if (!arrived) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  progress.paused = true;
}

// --- follower ---

export function handleAppend(core: Core, message: AppendMessage): void {
  const { log } = core;
  if (message.prevIndex < log.committed) {
    accept(core, message.from, log.committed);
    return;
  }
  const last = log.reconcile(message.prevIndex, message.prevTerm, message.entries);
  if (last !== null) {
    log.commitTo(Math.min(message.commit, last));
    accept(core, message.from, last);
    return;
  }
  const hint = log.findConflict(Math.min(message.prevIndex, log.lastIndex), message.prevTerm);
  core.sendAfterPersist({
    type: "appendResponse",
    to: message.from,
    index: message.prevIndex,
    reject: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
  });
}

function accept(core: Core, to: MemberId, index: number): void {
  core.sendAfterPersist({
    type: "appendResponse",
    to,
    index,
    reject: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}

export function handleHeartbeat(core: Core, message: HeartbeatMessage): void {
  core.log.commitTo(message.commit);
  core.send({ type: "heartbeatResponse", to: message.from, readSeq: message.readSeq });
}

export function handleSnapshot(core: Core, message: SnapshotMessage): void {
  const { log } = core;
  accept(core, message.from, restore(core, message.snapshot) ? log.lastIndex : log.committed);
}

/** False: the snapshot has nothing that the log does not have. */
function restore(core: Core, snapshot: SnapshotMeta): boolean {
  const { log } = core;
  if (snapshot.index <= log.committed) return false;
  if (log.matches(snapshot.index, snapshot.term)) {
    log.commitTo(snapshot.index);
    return false;
  }
  log.restore(snapshot);
  core.tracker.setConfig(configOf(snapshot.confState), log.lastIndex + 1);
  return true;
}

export function isConfChange(entry: ProposedEntry): boolean {
  return entry.kind === EntryKind.ConfChange;
}
