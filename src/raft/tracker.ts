// The configuration in force and the progress of every member in it, with the quorum questions asked of both.

import { Progress } from "./progress.js";
import { type JointVoters, jointIndex, jointVote, type VoteOutcome } from "./quorum.js";
import type { ConfState, MemberId } from "./types.js";

/** The configuration as sets. Treated as a value: a change makes a new one. */
export interface Config extends JointVoters {
  readonly incoming: ReadonlySet<MemberId>;
  readonly outgoing: ReadonlySet<MemberId>;
  readonly learners: ReadonlySet<MemberId>;
  readonly learnersNext: ReadonlySet<MemberId>;
  readonly autoLeave: boolean;
}

export function configOf(state: ConfState): Config {
  return {
    incoming: new Set(state.voters),
    outgoing: new Set(state.votersOutgoing),
    learners: new Set(state.learners),
    learnersNext: new Set(state.learnersNext),
    autoLeave: state.autoLeave,
  };
}

function sorted(ids: ReadonlySet<MemberId>): MemberId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function confStateOf(config: Config): ConfState {
  return {
    voters: sorted(config.incoming),
    votersOutgoing: sorted(config.outgoing),
    learners: sorted(config.learners),
    learnersNext: sorted(config.learnersNext),
    autoLeave: config.autoLeave,
  };
}

export class Tracker {
  config: Config = configOf({
    voters: [],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  });
  readonly progress = new Map<MemberId, Progress>();
  readonly #votes = new Map<MemberId, boolean>();

  constructor(
    private readonly inflightMessagesMax: number,
    private readonly inflightBytesMax: number,
  ) {}

  /** Takes the configuration; members that stay keep their progress, new ones are probed at `next`. */
  setConfig(config: Config, next: number): void {
    this.config = config;
    const members = new Set([...config.incoming, ...config.outgoing, ...config.learners]);
    for (const id of [...this.progress.keys()]) if (!members.has(id)) this.progress.delete(id);
    for (const id of members) {
      const isLearner = config.learners.has(id);
      const known = this.progress.get(id);
      if (known) {
        known.isLearner = isLearner;
        continue;
      }
      // It needs the log from its beginning, or a snapshot.
      const progress = this.#newProgress(next, 0, isLearner);
      // A new member must not fail the next quorum check before it had a chance to answer.
      progress.recentActive = true;
      this.progress.set(id, progress);
    }
  }

  #newProgress(next: number, logStart: number, isLearner: boolean): Progress {
    return new Progress(next, logStart, isLearner, this.inflightMessagesMax, this.inflightBytesMax);
  }

  /** Everything learned of the followers is forgotten: a new leader starts from probes at `next`, and its log at `logStart`. */
  resetProgress(next: number, logStart: number): void {
    for (const [id, old] of this.progress) {
      this.progress.set(id, this.#newProgress(next, logStart, old.isLearner));
    }
  }

  get isJoint(): boolean {
    return this.config.outgoing.size > 0;
  }

  isVoter(id: MemberId): boolean {
    return this.config.incoming.has(id) || this.config.outgoing.has(id);
  }

  isSoleVoter(id: MemberId): boolean {
    return this.config.incoming.size === 1 && this.config.incoming.has(id) && !this.isJoint;
  }

  *voters(): Generator<MemberId> {
    yield* this.config.incoming;
    for (const id of this.config.outgoing) if (!this.config.incoming.has(id)) yield id;
  }

  /** The highest index that a quorum has made durable. */
  committedIndex(): number {
    return jointIndex(this.config, (id) => this.progress.get(id)?.match ?? 0);
  }

  quorumActive(self: MemberId): boolean {
    const active = (id: MemberId) => id === self || this.progress.get(id)?.recentActive === true;
    return jointVote(this.config, active) === "won";
  }

  quorumOf(has: (id: MemberId) => boolean): boolean {
    return jointVote(this.config, has) === "won";
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** Notes the first vote of a member; later ones of the same election change nothing. */
  recordVote(id: MemberId, granted: boolean): VoteOutcome {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
    return jointVote(this.config, (voter) => this.#votes.get(voter));
  }
}
