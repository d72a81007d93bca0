// Messages of other members, whose term was admitted: which of them a leader and a follower handle, and where.

import type { Core } from "./core.js";
import { handleVoteResponse, hup, isFromLeader } from "./election.js";
import { confirmReads, requestRead } from "./reads.js";
import {
  handleAppend,
  handleAppendResponse,
  handleHeartbeat,
  handleHeartbeatResponse,
  handleSnapshot,
} from "./replication.js";
import { beginTransfer } from "./transfer.js";
import { invariant, NONE, type SteppedMessage } from "./types.js";

export function stepLeader(core: Core, message: SteppedMessage): void {
  switch (message.type) {
    case "appendResponse":
      handleAppendResponse(core, message);
      break;
    case "heartbeatResponse":
      handleHeartbeatResponse(core, message);
      confirmReads(core, message);
      break;
    case "readIndex":
      requestRead(core, { from: message.from, context: message.context });
      break;
    case "transferLeader":
      beginTransfer(core, message.transferee);
      break;
    default:
      invariant(!isFromLeader(message), `two leaders in term ${core.term}: ${core.id} and ${message.from}`);
  }
}

export function stepFollower(core: Core, message: SteppedMessage): void {
  if (isFromLeader(message)) followLeader(core, message);
  switch (message.type) {
    case "append":
      handleAppend(core, message);
      break;
    case "heartbeat":
      handleHeartbeat(core, message);
      break;
    case "snapshot":
      handleSnapshot(core, message);
      break;
    case "preVoteResponse":
    case "voteResponse":
      if (core.role !== "follower") handleVoteResponse(core, message);
      break;
    case "timeoutNow":
      // The leader asks for it, so there is no pre-vote to win first.
      if (core.role === "follower") hup(core, "transfer");
      break;
    case "readIndexResponse":
      core.readStates.push({ context: message.context, index: message.index });
      break;
    case "transferLeader":
      break;
    default:
  }
}

function followLeader(core: Core, message: SteppedMessage): void {
  if (core.role === "follower") {
    invariant(
      core.lead === NONE || core.lead === message.from,
      `two leaders in term ${core.term}: ${core.lead} and ${message.from}`,
    );
    core.electionElapsed = 0;
    core.follows(message.from);
  } else {
    core.becomeFollower(message.term, message.from);
  }
}
