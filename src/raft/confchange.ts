// How a configuration becomes the next one: simple changes of at most one voter, and joint consensus. Pure: takes a
// configuration, returns a new one, or throws ConfChangeError for a change that does not fit.

import type { Config } from "./tracker.js";
import type { ConfChange, ConfChangeStep, MemberId } from "./types.js";

/** The change does not fit the configuration it is applied to. */
export class ConfChangeError extends Error {
  override readonly name = "ConfChangeError";
}

interface Draft {
  incoming: Set<MemberId>;
  outgoing: Set<MemberId>;
  learners: Set<MemberId>;
  learnersNext: Set<MemberId>;
  autoLeave: boolean;
}

export function isLeaveJoint(change: ConfChange): boolean {
  return change.steps.length === 0 && change.transition === "auto";
}

function usesJoint(change: ConfChange): boolean {
  return change.transition !== "auto" || change.steps.length > 1;
}

/** The configuration after `change`. @throws ConfChangeError */
export function applyChange(config: Config, change: ConfChange): Config {
  const draft: Draft = {
    incoming: new Set(config.incoming),
    outgoing: new Set(config.outgoing),
    learners: new Set(config.learners),
    learnersNext: new Set(config.learnersNext),
    autoLeave: config.autoLeave,
  };
  if (isLeaveJoint(change)) leaveJoint(draft);
  else if (usesJoint(change)) enterJoint(draft, change);
  else simple(draft, config, change.steps);
  check(draft);
  return draft;
}

function simple(draft: Draft, before: Config, steps: ConfChangeStep[]): void {
  if (draft.outgoing.size > 0) {
    throw new ConfChangeError("can't apply simple config change in joint config");
  }
  for (const step of steps) applyStep(draft, step);
  let changed = 0;
  for (const id of draft.incoming) if (!before.incoming.has(id)) changed += 1;
  for (const id of before.incoming) if (!draft.incoming.has(id)) changed += 1;
  // Two majorities overlap for sure only if they differ in one member.
  if (changed > 1) throw new ConfChangeError("more than one voter changed without entering joint config");
}

function enterJoint(draft: Draft, change: ConfChange): void {
  if (draft.outgoing.size > 0) throw new ConfChangeError("config is already joint");
  if (draft.incoming.size === 0) {
    throw new ConfChangeError("can't make a zero-voter config joint");
  }
  draft.outgoing = new Set(draft.incoming);
  draft.autoLeave = change.transition !== "jointExplicit";
  for (const step of change.steps) applyStep(draft, step);
}

function leaveJoint(draft: Draft): void {
  if (draft.outgoing.size === 0) throw new ConfChangeError("can't leave a non-joint config");
  for (const id of draft.learnersNext) draft.learners.add(id);
  draft.learnersNext.clear();
  draft.outgoing.clear();
  draft.autoLeave = false;
}

function applyStep(draft: Draft, step: ConfChangeStep): void {
  const { id } = step;
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
  if (step.type === "addVoter") {
    draft.incoming.add(id);
    return;
  }
  draft.incoming.delete(id);
  if (step.type === "remove") return;
  // A voter of the outgoing half cannot be a learner at the same time; it becomes one when the joint phase ends.
  if (draft.outgoing.has(id)) draft.learnersNext.add(id);
  else draft.learners.add(id);
}

function check(draft: Draft): void {
  if (draft.incoming.size === 0) throw new ConfChangeError("removed all voters");
  for (const id of draft.learners) {
    if (draft.incoming.has(id) || draft.outgoing.has(id)) {
      throw new ConfChangeError(`${id} is learner and voter at once`);
    }
  }
  for (const id of draft.learnersNext) {
    if (!draft.outgoing.has(id)) throw new ConfChangeError(`${id} is not an outgoing voter`);
  }
}
