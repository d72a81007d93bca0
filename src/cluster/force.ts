// --force-new-cluster: a member whose cluster is lost for good goes on alone, with its data and its ids.

import type { EntryMeta, NativeLog, PersistEntry, Recovered } from "../native/binding.js";
import { type ConfChangeStep, EntryKind, type HardState, type MemberId, NONE } from "../raft/index.js";
import { restoredConfState } from "../replica/bootstrap.js";
import { decodeEnvelope, encodeEnvelope, type MembershipChange } from "../replica/commands.js";

export interface Forced {
  readonly hardState: HardState;
  readonly entries: PersistEntry[];
  /** What the log looks like with them. */
  readonly recovered: Recovered;
  /** Entries that were not known to be committed, and are gone now. */
  readonly discarded: number;
}

/**
 * The entries that leave only this member, in a term of their own in place of all that is not known to be committed.
 * `steps`: conf changes of committed entries that are not applied yet.
 */
export function forceNewCluster(recovered: Recovered, self: MemberId, steps: readonly ConfChangeStep[]): Forced {
  const commit = Math.max(recovered.hardState.commit, recovered.appliedIndex);
  const term = recovered.hardState.term + 1;
  const changes = changesToSole(recovered, self, steps);
  const metas: EntryMeta[] = [];
  const entries: PersistEntry[] = [];
  changes.forEach((step, at) => {
    const body: MembershipChange = {
      change: { transition: "auto", steps: [step] },
      context: step.type === "addVoter" ? { promote: true } : null,
    };
    const data = encodeEnvelope("force-new-cluster", 0, body);
    const meta = { index: commit + 1 + at, term, kind: EntryKind.ConfChange };
    metas.push({ ...meta, bytes: data.length });
    entries.push({ ...meta, payload: 0, data });
  });
  const hardState = { term, vote: NONE, commit: commit + entries.length };
  const kept = recovered.entries.filter(({ index }) => index <= commit);
  return {
    hardState,
    entries,
    recovered: { ...recovered, hardState, entries: [...kept, ...metas] },
    discarded: recovered.entries.length - kept.length,
  };
}

/** This member becomes a voter first: a configuration always has one. */
function changesToSole(recovered: Recovered, self: MemberId, steps: readonly ConfChangeStep[]): ConfChangeStep[] {
  const confState = restoredConfState(recovered.meta);
  const voters = new Set([...confState.voters, ...confState.votersOutgoing]);
  const all = new Set([...voters, ...confState.learners, ...confState.learnersNext]);
  for (const { type, id } of steps) {
    if (type === "remove") all.delete(id);
    else all.add(id);
    if (type === "addVoter") voters.add(id);
    else voters.delete(id);
  }
  const promotion: ConfChangeStep[] = voters.has(self) ? [] : [{ type: "addVoter", id: self }];
  const others = [...all].filter((id) => id !== self).sort((a, b) => (a < b ? -1 : 1));
  return [...promotion, ...others.map((id): ConfChangeStep => ({ type: "remove", id }))];
}

/** The conf changes that are committed and not applied. Rejects if the log cannot be read. */
export async function unappliedSteps(
  log: Pick<NativeLog, "readEntries">,
  { hardState, appliedIndex }: Recovered,
): Promise<ConfChangeStep[]> {
  if (hardState.commit <= appliedIndex) return [];
  const entries = await log.readEntries(appliedIndex + 1, hardState.commit);
  return entries
    .filter(({ meta, data }) => meta.kind === EntryKind.ConfChange && data.length > 0)
    .flatMap(({ data }) => decodeEnvelope<MembershipChange>(data).body.change.steps);
}
