// The words of a transcript: what a leader's data plane is told, by raft and by the network, and what came of it. The
// simulation's model takes them as they are (model.ts); the pipeline reads them as lines, one word after the other
// (native/engine/examples/commit_rule.rs).

import type { EntryKind, GrantQuorum } from "../../src/native/binding.js";
import type { MemberId } from "../../src/raft/index.js";

export type Command =
  /** Raft hands hard state and entries to the log. */
  | { do: "persist"; seq: number; term: number; commit: number; first: number; kinds: EntryKind[] }
  /** quorum null: the sole voter's. */
  | { do: "grant"; term: number; next: number; quorum: GrantQuorum | null }
  | { do: "withdraw" }
  | { do: "stream"; last: number; members: MemberId[] }
  /** A proposal under the grant. */
  | { do: "stamp" }
  /** Everything written up to now becomes durable. */
  | { do: "disk" }
  /** A follower's answer to an append. */
  | { do: "ack" | "reject"; from: MemberId; term: number; index: number }
  | { do: "read"; token: number }
  /** A follower's answer to the data plane's own round of reads that came `back` rounds before the newest. */
  | { do: "heard"; from: MemberId; term: number; back: number }
  /** Asks again for the round that is not confirmed. */
  | { do: "repeat" }
  /** Raft's commit index, and its answer about the read index that it was asked for. */
  | { do: "commit"; index: number }
  | { do: "ready"; index: number }
  | { do: "failed" };

export function formatCommand(command: Command): string {
  switch (command.do) {
    case "persist": {
      const { seq, term, commit, first, kinds } = command;
      return ["persist", seq, term, commit, first, ...kinds].join(" ");
    }
    case "grant":
      return `grant ${command.term} ${command.next} ${formatQuorum(command.quorum)}`;
    case "stream":
      return ["stream", command.last, ...command.members].join(" ");
    case "ack":
    case "reject":
      return `${command.do} ${command.from} ${command.term} ${command.index}`;
    case "read":
      return `read ${command.token}`;
    case "heard":
      return `heard ${command.from} ${command.term} ${command.back}`;
    case "commit":
    case "ready":
      return `${command.do} ${command.index}`;
    default:
      return command.do;
  }
}

function formatQuorum(quorum: GrantQuorum | null): string {
  if (quorum === null) return "sole";
  const members = quorum.members.map(({ id, votes, matched }) => `${id}:${votes ? "votes" : "learns"}:${matched}`);
  return [quorum.ownVote ? "votes" : "learns", quorum.committed, ...members].join(" ");
}

/** What of an outcome the rule decides: the commit index, and the reads that were answered (`!`: they failed). */
export interface Outcome {
  committed: number;
  reads: string[];
}

/**
 * An outcome as a line: whether the data plane dealt with it (0: raft's), the commit index, the reads that were answered
 * and what was sent. Nothing: `-`.
 */
export function formatOutcome(taken: boolean, { committed, reads }: Outcome, sent: readonly string[]): string {
  return [taken ? 1 : 0, committed, joined(reads), joined(sent)].join(" ");
}

/** The part of a line that raft must come to as well. */
export function decided(line: string): string {
  return line.split(" ").slice(1, 3).join(" ");
}

export function formatDecided({ committed, reads }: Outcome): string {
  return `${committed} ${joined(reads)}`;
}

function joined(parts: readonly string[]): string {
  return parts.length === 0 ? "-" : parts.join(",");
}
