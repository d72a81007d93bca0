// The commit rule as raft's paper has it (figure 2, "rules for servers", and §5.4.2), as plainly as can be: an index is
// committed if a majority of the voters has it and its entry is of the leader's term. What raft is compared with.

import type { ConfState, MemberId } from "../../src/raft/index.js";

export class Paper {
  committed = 0;
  /** The term of every entry, from index 1 on. */
  readonly #terms: number[] = [];
  /** What each other member has said to have, in this leader's term. */
  readonly #matched = new Map<MemberId, number>();
  #term = 0;

  constructor(
    private readonly self: MemberId,
    private conf: ConfState,
  ) {}

  get #last(): number {
    return this.#terms.length;
  }

  /** An entry, in place of what was there and behind it. */
  append(index: number, term: number): void {
    this.#terms.length = index - 1;
    this.#terms.push(term);
  }

  /** A member that left and comes back has nothing. */
  configure(conf: ConfState): void {
    this.conf = conf;
    const members = [...conf.voters, ...conf.learners];
    for (const id of this.#matched.keys()) if (!members.includes(id)) this.#matched.delete(id);
  }

  acknowledge(from: MemberId, term: number, index: number): void {
    const { voters, learners } = this.conf;
    // Nobody can have what this leader never sent.
    if (term !== this.#term || index > this.#last || ![...voters, ...learners].includes(from)) return;
    this.#matched.set(from, Math.max(index, this.#matched.get(from) ?? 0));
  }

  /** What the leader of `term` finds committed, whose disk has everything up to `durable`. */
  count(term: number, durable: number): void {
    if (term !== this.#term) {
      // A new leader knows nothing of the others.
      this.#term = term;
      this.#matched.clear();
    }
    const { voters } = this.conf;
    for (let index = this.#last; index > this.committed; index -= 1) {
      const reached = (id: MemberId) => (id === this.self ? durable : (this.#matched.get(id) ?? 0)) >= index;
      if (2 * voters.filter(reached).length > voters.length && this.#terms[index - 1] === this.#term) {
        this.committed = index;
      }
    }
  }
}
