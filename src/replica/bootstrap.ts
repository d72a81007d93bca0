// What raft starts from: the state a restart found, or the first entries of a new cluster.
//
// A new cluster's log begins with one committed conf change for each initial member, in the order of their ids, in
// term 1. Every member writes the same, so that they agree before they have ever spoken.

import { limits } from "../limits.js";
import type { MetaRow, NativeLog, PersistEntry, Recovered } from "../native/binding.js";
import {
  type ConfState,
  EntryKind,
  type EntryMeta,
  type HardState,
  NONE,
  Raft,
  type RaftOptions,
  type RestoredState,
} from "../raft/index.js";
import { decodeJson, encodeEnvelope, isConfStateKey, type MembershipChange } from "./commands.js";
import type { InitialMember, ReplicaOptions } from "./options.js";

const noMembers: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** The first entries of a new cluster go to the log before anything else. */
export function createRaft(log: NativeLog, recovered: Recovered, options: ReplicaOptions): Raft {
  const raftOptions: RaftOptions = {
    id: options.id,
    electionTicks: Math.max(2, Math.round(options.electionMs / options.heartbeatMs)),
    heartbeatTicks: 1,
    preVote: options.preVote,
    checkQuorum: true,
    leaseReads: false,
    messageBytesMax: limits.raftMessageBytesMax,
    inflightMessagesMax: limits.raftInflightMessagesMax,
    inflightBytesMax: limits.raftInflightBytesMax,
    uncommittedBytesMax: limits.raftUncommittedBytesMax,
    random: options.random,
  };
  if (options.initialMembers === null || !isEmpty(recovered)) {
    return new Raft(raftOptions, restoredState(recovered));
  }
  const { hardState, entries, state } = bootstrapState(options.initialMembers);
  // Seq 0 is before all of raft's own; everything later is queued behind it.
  log.persist(0, hardState, entries);
  return new Raft(raftOptions, state);
}

/** True until the bootstrap entries are on disk: a crash in between starts anew. */
export function isEmpty(recovered: Recovered): boolean {
  return recovered.entries.length === 0 && recovered.snapshotIndex === 0 && recovered.hardState.term === 0;
}

/** The configuration in force at the applied index of a store. */
export function restoredConfState(meta: readonly MetaRow[]): ConfState {
  const row = meta.find(({ table, key }) => table === "meta" && isConfStateKey(key));
  return row === undefined ? noMembers : (decodeJson(row.value) as ConfState);
}

function restoredState(recovered: Recovered): RestoredState {
  return {
    hardState: recovered.hardState,
    confState: restoredConfState(recovered.meta),
    snapshotIndex: recovered.snapshotIndex,
    snapshotTerm: recovered.snapshotTerm,
    entries: recovered.entries,
    applied: recovered.appliedIndex,
  };
}

interface Bootstrap {
  hardState: HardState;
  entries: PersistEntry[];
  state: RestoredState;
}

function bootstrapState(members: readonly InitialMember[]): Bootstrap {
  const ordered = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const entries: PersistEntry[] = [];
  const metas: EntryMeta[] = [];
  ordered.forEach(({ id, context }, at) => {
    const body: MembershipChange = {
      change: { transition: "auto", steps: [{ type: "addVoter", id }] },
      context,
    };
    const data = encodeEnvelope("bootstrap", 0, body);
    const index = at + 1;
    entries.push({ index, term: 1, kind: EntryKind.ConfChange, payload: 0, data });
    metas.push({ index, term: 1, kind: EntryKind.ConfChange, bytes: data.length });
  });
  const hardState: HardState = { term: 1, vote: NONE, commit: entries.length };
  return {
    hardState,
    entries,
    state: {
      hardState,
      confState: noMembers,
      snapshotIndex: 0,
      snapshotTerm: 0,
      entries: metas,
      applied: 0,
    },
  };
}
