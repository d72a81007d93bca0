// --experimental-auto-promote: the leader makes a voter of a learner that has caught up. netcd's own; etcd's operators
// call MemberPromote for it.

import type { Logger } from "../log/logger.js";
import type { Clock, Timer } from "../replica/clock.js";
import type { Replica } from "../replica/replica.js";
import type { MembershipChanges } from "./changes.js";
import type { Membership } from "./membership.js";

/** Between two looks at the learners. */
const INTERVAL_MS = 1_000;

export interface AutoPromotionParts {
  readonly replica: Pick<Replica, "isLeader">;
  readonly membership: Membership;
  readonly changes: Pick<MembershipChanges, "isCaughtUp" | "promoteHere">;
  readonly clock: Clock;
  readonly log: Pick<Logger, "info" | "warn">;
}

export class AutoPromotion {
  readonly #parts: AutoPromotionParts;
  #timer: Timer | null = null;
  #busy = false;

  constructor(parts: AutoPromotionParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = this.#parts.clock.every(INTERVAL_MS, () => void this.look());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Promotes the first learner that is ready, if this member leads. Never rejects. */
  async look(): Promise<void> {
    const { replica, membership, changes, log } = this.#parts;
    if (this.#busy || !replica.isLeader) return;
    // One that has not published itself does not run yet.
    const ready = membership.members().find((member) => {
      return member.isLearner && member.name !== "" && changes.isCaughtUp(member.id);
    });
    if (ready === undefined) return;
    this.#busy = true;
    try {
      await changes.promoteHere(ready.id);
      log.info("promoted a learner that has caught up", { "promoted-member-id": ready.id });
    } catch (error) {
      log.warn("failed to promote a learner that has caught up", {
        "member-id": ready.id,
        error: error as Error,
      });
    } finally {
      this.#busy = false;
    }
  }
}
