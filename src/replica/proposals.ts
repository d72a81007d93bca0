// Proposals on their way into the log: they wait, in order, while there is no leader or a transfer is under way, and
// are given up after the request timeout. Conf changes wait in a line of their own, for the one before them.

import { limits } from "../limits.js";
import type { ProposeResult } from "../raft/index.js";
import type { Clock, Timer } from "./clock.js";
import type { Proposable } from "./driver.js";
import { type ReplicaError, replicaErrors } from "./errors.js";

export interface Proposal {
  entry: Proposable;
  /** It did not enter the log, and never will. */
  refused(error: ReplicaError): void;
  /** It went to the leader and may still get lost. */
  forwarded(): void;
}

interface Queued {
  proposal: Proposal;
  timer: Timer;
}

export class ProposalQueue {
  #line: Queued[] = [];

  constructor(
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly propose: (entry: Proposable) => ProposeResult,
  ) {}

  /** False: the line is full, and the proposal will hear nothing more. */
  add(proposal: Proposal): boolean {
    if (this.#line.length >= limits.waitingProposalsMax) return false;
    const queued: Queued = {
      proposal,
      timer: this.clock.after(this.timeoutMs, () => {
        this.#line = this.#line.filter((other) => other !== queued);
        proposal.refused(replicaErrors.deadlineExceeded());
      }),
    };
    this.#line.push(queued);
    return true;
  }

  /** Proposes the oldest if that is possible now. True: one left the line. */
  advance(): boolean {
    const queued = this.#line[0];
    if (queued === undefined) return false;
    const { proposal, timer } = queued;
    const result = this.propose(proposal.entry);
    if (result === "noLeader" || result === "transferring" || result === "confChangePending") {
      return false;
    }
    this.#line.shift();
    timer.cancel();
    if (result === "forwarded") proposal.forwarded();
    else if (result !== "appended") proposal.refused(refusal(result));
    return true;
  }

  get waiting(): number {
    return this.#line.length;
  }

  failAll(error: () => ReplicaError): void {
    for (const { proposal, timer } of this.#line.splice(0)) {
      timer.cancel();
      proposal.refused(error());
    }
  }
}

function refusal(result: "uncommittedLimit" | "confChangeInvalid" | "removed"): ReplicaError {
  if (result === "uncommittedLimit") return replicaErrors.tooManyRequests();
  return result === "removed" ? replicaErrors.stopped() : replicaErrors.confChangeInvalid();
}
