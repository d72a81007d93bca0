// Leadership transfer: the leader stops taking proposals, brings the transferee up to date and tells it to campaign.

import type { Core } from "./core.js";
import { sendAppend } from "./replication.js";
import { type MemberId, NONE } from "./types.js";

export function beginTransfer(core: Core, transferee: MemberId): void {
  const progress = core.tracker.progress.get(transferee);
  if (progress === undefined || progress.isLearner || !core.tracker.isVoter(transferee)) return;
  if (transferee === core.transferee) return;
  core.transferee = NONE;
  if (transferee === core.id) return;
  // The transfer must end within an election timeout, counted from here.
  core.electionElapsed = 0;
  core.transferee = transferee;
  if (progress.match === core.log.lastIndex) core.send({ type: "timeoutNow", to: transferee });
  else {
    progress.paused = false;
    sendAppend(core, transferee);
  }
}
