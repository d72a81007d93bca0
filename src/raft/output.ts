// Collects what raft wants done into Ready, and remembers the writes that are in flight.

import type { Core } from "./core.js";
import { selfVoteStable } from "./election.js";
import { type HardState, NONE, type Ready, type SoftState } from "./types.js";

interface Flight {
  seq: number;
  /** The candidacy whose own vote is in this write; 0: none. */
  selfVote: number;
}

export class Output {
  readonly #core: Core;
  readonly #flights: Flight[] = [];
  #lastSeq = 0;
  #hardState: HardState;
  #softState: SoftState = { lead: NONE, role: "follower" };
  #committedUpTo: number;

  constructor(core: Core, restored: HardState) {
    this.#core = core;
    this.#hardState = { ...restored };
    this.#committedUpTo = core.log.applied;
  }

  get hasReady(): boolean {
    const core = this.#core;
    return (
      core.log.hasUnemitted ||
      core.outbox.length > 0 ||
      core.outboxAfterPersist.length > 0 ||
      core.readStates.length > 0 ||
      core.droppedReads.length > 0 ||
      core.term !== this.#hardState.term ||
      core.vote !== this.#hardState.vote ||
      core.lead !== this.#softState.lead ||
      core.role !== this.#softState.role ||
      core.log.applicable > this.#committedUpTo
    );
  }

  /** Everything since the last call; see Ready for the order in which it must be handled. */
  ready(): Ready {
    const core = this.#core;
    const { entries, snapshot } = core.log.takeUnemitted();
    const hardState = this.#changedHardState(entries.length > 0 || snapshot !== null);
    const messages = core.outbox.splice(0);
    let messagesAfterPersist = core.outboxAfterPersist.splice(0);
    // Granted entries are in a write that has no seq; an empty write behind them gives them one.
    const persist =
      hardState !== null ||
      entries.length > 0 ||
      snapshot !== null ||
      (messagesAfterPersist.length > 0 && core.log.grantedUnstable);
    if (persist) this.#startWrite();
    else if (this.#flights.length === 0) {
      messages.push(...messagesAfterPersist);
      messagesAfterPersist = [];
    }
    this.#committedUpTo = Math.max(this.#committedUpTo, core.log.applicable);
    return {
      seq: this.#lastSeq,
      persist,
      softState: this.#changedSoftState(),
      hardState,
      entries,
      snapshot,
      messages,
      messagesAfterPersist,
      committedUpTo: this.#committedUpTo,
      readStates: core.readStates.splice(0),
      droppedReads: core.droppedReads.splice(0),
    };
  }

  #startWrite(): void {
    const core = this.#core;
    this.#lastSeq += 1;
    core.log.writeStarted(this.#lastSeq);
    this.#flights.push({ seq: this.#lastSeq, selfVote: core.unstableSelfVote });
    core.unstableSelfVote = 0;
  }

  #changedHardState(hasEntries: boolean): HardState | null {
    const { term, vote, log } = this.#core;
    const old = this.#hardState;
    const commitRides = hasEntries && log.committed !== old.commit;
    if (term === old.term && vote === old.vote && !commitRides) return null;
    this.#hardState = { term, vote, commit: log.committed };
    return { ...this.#hardState };
  }

  #changedSoftState(): SoftState | null {
    const { lead, role } = this.#core;
    if (lead === this.#softState.lead && role === this.#softState.role) return null;
    this.#softState = { lead, role };
    return { lead, role };
  }

  /** The write `seq` and all before it are durable. */
  persisted(seq: number): void {
    this.#core.log.writeDone(seq);
    while (this.#flights.length > 0 && (this.#flights[0] as Flight).seq <= seq) {
      const { selfVote } = this.#flights.shift() as Flight;
      if (selfVote > 0) selfVoteStable(this.#core, selfVote);
    }
  }
}
