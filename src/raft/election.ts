// Elections: campaigns (pre-vote first if so configured), votes given and counted, and the terms of messages.

import type { Core, Outgoing } from "./core.js";
import { appendOwn, broadcastAppend } from "./replication.js";
import {
  EntryKind,
  type MemberId,
  NONE,
  type SteppedMessage,
  type VoteMessage,
  type VoteResponseMessage,
} from "./types.js";

export type Campaign = "preElection" | "election" | "transfer";

/** The election timeout passed, or the driver or the leader asks for an election. */
export function hup(core: Core, campaign: Campaign): void {
  if (core.isLeader || !core.isPromotable) return;
  if (campaign === "preElection") preCampaign(core);
  else elect(core, campaign === "transfer");
}

/** Ticks between the early elections of two voters: enough for the first to win. */
const hastenedTurnTicks = 2;

/** Brings the election timeout forward, by this member's place among the voters that are left. */
export function hastenElection(core: Core, gone: MemberId): void {
  core.gone = gone;
  const turn = votersLeft(core).filter((id) => id < core.id).length;
  campaignWithin(core, 1 + turn * hastenedTurnTicks);
}

/** An early election was not won: its turn comes again when all others have had theirs. */
function hastenNext(core: Core): void {
  if (core.gone !== NONE) campaignWithin(core, votersLeft(core).length * hastenedTurnTicks);
}

function votersLeft({ gone, tracker }: Core): MemberId[] {
  return [...tracker.voters()].filter((id) => id !== gone);
}

function campaignWithin(core: Core, ticks: number): void {
  core.electionElapsed = Math.max(core.electionElapsed, core.electionTimeout - ticks);
}

function preCampaign(core: Core): void {
  core.becomePreCandidate();
  hastenNext(core);
  // Nothing is promised by a pre-vote, so the own one needs no stable storage.
  if (core.tracker.recordVote(core.id, true) === "won") {
    elect(core, false);
    return;
  }
  const { lastIndex, lastTerm } = core.log;
  for (const to of core.tracker.voters()) {
    if (to === core.id) continue;
    core.sendAt({ type: "preVote", to, lastIndex, lastTerm, transfer: false }, core.term + 1);
  }
}

/**
 * The requests leave only when the own term and vote are durable. Otherwise a member could win the term by the votes
 * of others, lose its memory of it in a crash, and win the same term again with another log.
 */
function elect(core: Core, transfer: boolean): void {
  core.becomeCandidate();
  core.unstableSelfVote = core.term;
  const { lastIndex, lastTerm } = core.log;
  for (const to of core.tracker.voters()) {
    if (to === core.id) continue;
    core.sendAfterPersist({ type: "vote", to, lastIndex, lastTerm, transfer });
  }
}

/** The own vote of `term` is durable and counts. */
export function selfVoteStable(core: Core, term: number): void {
  if (core.role !== "candidate" || core.term !== term) return;
  count(core, core.id, true);
}

export function handleVoteResponse(core: Core, message: VoteResponseMessage): void {
  const wanted = core.role === "preCandidate" ? "preVoteResponse" : "voteResponse";
  if (message.type !== wanted) return;
  count(core, message.from, !message.reject);
}

function count(core: Core, from: bigint, granted: boolean): void {
  const outcome = core.tracker.recordVote(from, granted);
  if (outcome === "lost") {
    core.becomeFollower(core.term, NONE);
    hastenNext(core);
  } else if (outcome === "won" && core.role === "preCandidate") elect(core, false);
  else if (outcome === "won") lead(core);
}

function lead(core: Core): void {
  core.becomeLeader();
  // Entries of earlier terms are committed only together with one of the own term, so there must be one.
  appendOwn(core, [{ kind: EntryKind.Empty, bytes: 0, payload: null, leavesJoint: false }]);
  broadcastAppend(core);
}

export function handleVote(core: Core, message: VoteMessage): void {
  const isPre = message.type === "preVote";
  const free =
    core.vote === message.from || (core.vote === NONE && core.lead === NONE) || (isPre && message.term > core.term);
  const granted = free && isUpToDate(core, message.lastIndex, message.lastTerm);
  if (granted && !isPre) {
    core.electionElapsed = 0;
    core.vote = message.from;
  }
  const type = isPre ? "preVoteResponse" : "voteResponse";
  const response: Outgoing = { type, to: message.from, reject: !granted };
  // A granted pre-vote speaks for the term that was asked about; a refusal tells the term of this member.
  core.sendAfterPersist(response, granted ? message.term : core.term);
}

/**
 * Whether a candidate's log is good enough for this member's vote.
 *
 * A voter compares with its whole log, as its entries may have been counted for a commit. A member that knows itself
 * to be none compares with what it knows to be committed. Its vote is wanted only by candidates that have not heard
 * yet that it left; if it held a longer log against them, and could itself not be elected, nobody could: a leader that
 * appends behind the conf change that removes it, and then steps down, would take the cluster with it. Nothing is lost
 * by it: what was committed after the removal is on a majority without this member, which the candidate must win
 * as well. A conf change in the log that is not applied may make it a voter again, so then the whole log counts.
 */
function isUpToDate(core: Core, lastIndex: number, lastTerm: number): boolean {
  const { log } = core;
  if (log.isUpToDate(lastIndex, lastTerm)) return true;
  const leftForGood = !core.tracker.isVoter(core.id) && !log.hasKind(log.applied, log.lastIndex, EntryKind.ConfChange);
  if (!leftForGood) return false;
  const term = log.term(log.committed) as number;
  return lastTerm > term || (lastTerm === term && lastIndex >= log.committed);
}

/**
 * What the term of a message says before its content is looked at. False: the message is not to be handled.
 */
export function admitTerm(core: Core, message: SteppedMessage): boolean {
  // Requests that only pass through have none. By type: an answer without a term would count in every term.
  if (message.type === "readIndex" || message.type === "transferLeader") return true;
  if (message.term > core.term) return admitHigherTerm(core, message);
  if (message.term < core.term) {
    answerOldTerm(core, message);
    return false;
  }
  return true;
}

function admitHigherTerm(core: Core, message: SteppedMessage): boolean {
  if (message.type === "vote" || message.type === "preVote") {
    // While this member hears from a leader, an election would only disturb.
    const { checkQuorum, electionTicks } = core.options;
    const leased = checkQuorum && core.lead !== NONE && core.electionElapsed < electionTicks;
    if (leased && !message.transfer) return false;
    if (message.type === "preVote") return true;
  }
  // The answer to an own pre-vote carries the term to come; it is entered only by winning.
  if (message.type === "preVoteResponse" && !message.reject) return true;
  const { electionElapsed, electionTimeout, isLeader } = core;
  core.becomeFollower(message.term, isFromLeader(message) ? message.from : NONE);
  if (message.type === "vote" && !isLeader) {
    // Only a vote that is granted starts the timeout anew. Otherwise a candidate that can never win, but is quick to
    // try again, would keep a better one from ever trying.
    core.electionElapsed = electionElapsed;
    core.electionTimeout = electionTimeout;
  }
  return true;
}

export function isFromLeader(message: SteppedMessage): boolean {
  return message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
}

/** A leader or candidate of an old term learns of the newer one, or it would disturb or wait for ever. */
function answerOldTerm(core: Core, message: SteppedMessage): void {
  const { checkQuorum, preVote } = core.options;
  if (message.type === "preVote") {
    core.sendAfterPersist({ type: "preVoteResponse", to: message.from, reject: true });
  } else if (message.type === "vote" && core.lead === NONE) {
    // Members that do not know of each other's configuration may campaign in terms that never meet.
    core.sendAfterPersist({ type: "voteResponse", to: message.from, reject: true });
  } else if (isFromLeader(message) && (checkQuorum || preVote)) {
    // Index 0 acknowledges nothing; only the term matters.
    core.sendAfterPersist({
      type: "appendResponse",
      to: message.from,
      index: 0,
      reject: false,
      hintIndex: 0,
      hintTerm: 0,
    });
  }
}
