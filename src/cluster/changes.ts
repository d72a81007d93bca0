// Changes of the membership as clients ask for them: the checks that etcd makes before a change goes through raft.

import { RpcError, rpcErrorOfText } from "../errors.js";
import type { Logger } from "../log/logger.js";
import type { Clock } from "../replica/clock.js";
import type { PeerLinks } from "../replica/peerlinks.js";
import type { Replica } from "../replica/replica.js";
import { ClusterChangeError, clusterErrors } from "./errors.js";
import { memberIdOf } from "./ids.js";
import type { Member } from "./member.js";
import type { Membership } from "./membership.js";
import type { Ask } from "./peerclient.js";

/** Links must have been up for so long before members are counted on, as with etcd. */
const HEALTH_INTERVAL_MS = 5_000;
/** The share of the leader's log that a learner must have before it counts as a voter. */
const READY_SHARE_MIN = 0.9;
/** With these the leader answers a promotion that the caller may not ask for: the body is why. */
const CALLER_REFUSALS: readonly number[] = [400, 401, 403];
/** Between two tries of a promotion while the leader is not known or changes. */
const RETRY_MS = 100;

export interface MembershipChangesParts {
  readonly memberId: bigint;
  readonly membership: Membership;
  readonly replica: Replica;
  readonly links: PeerLinks;
  readonly ask: Ask;
  readonly clock: Clock;
  readonly strictReconfigCheck: boolean;
  readonly requestTimeoutMs: number;
  readonly log: Logger;
  /** A promotion that this member decided on as the leader: null, or why it was refused. */
  readonly promotionDecided?: (refusal: Error | null) => void;
}

/** What the Cluster service asks for, checked against what this member knows and proposed to raft. */
export class MembershipChanges {
  readonly #parts: MembershipChangesParts;

  constructor(parts: MembershipChangesParts) {
    this.#parts = parts;
  }

  /** Resolves with the new member. Rejects with ClusterChangeError or ReplicaError. */
  async add(peerUrls: readonly string[], isLearner: boolean): Promise<Member> {
    const { replica, strictReconfigCheck } = this.#parts;
    const urls = [...peerUrls].sort();
    const id = memberIdOf(urls, { addedAtSeconds: Math.floor(Date.now() / 1_000) });
    const member: Member = { id, name: "", peerUrls: urls, clientUrls: [], isLearner };
    if (strictReconfigCheck) this.#checkAdd(member);
    await replica.proposeConfChange({
      change: { transition: "auto", steps: [{ type: isLearner ? "addLearner" : "addVoter", id }] },
      context: member,
    });
    return member;
  }

  /** Rejects with ClusterChangeError or ReplicaError. */
  async remove(id: bigint): Promise<void> {
    const { replica, strictReconfigCheck } = this.#parts;
    if (strictReconfigCheck) this.#checkRemove(id);
    await replica.proposeConfChange({ change: { transition: "auto", steps: [{ type: "remove", id }] }, context: null });
  }

  /** Gives a member other peer URLs. Rejects with ClusterChangeError or ReplicaError. */
  async update(id: bigint, peerUrls: readonly string[]): Promise<void> {
    const refusal = await this.#parts.replica.proposeControl({ type: "memberUpdate", id, peerUrls: [...peerUrls] });
    if (refusal instanceof Error) throw refusal;
  }

  /**
   * Makes a voter of a learner, by the leader, who gets the token (null: none) and checks again who asks. Rejects with
   * ClusterChangeError, ReplicaError or RpcError.
   */
  async promote(id: bigint, token: string | null): Promise<void> {
    const { replica, clock, requestTimeoutMs } = this.#parts;
    const until = clock.nowMs() + requestTimeoutMs;
    while (clock.nowMs() < until) {
      if (replica.isLeader) {
        const outcome = await this.promoteHere(id).then(
          () => null,
          (error: unknown) => error,
        );
        if (outcome === null) return;
        if (replica.isLeader) throw outcome;
      } else if (await this.#promoteByLeader(id, token, until)) return;
      await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
    }
    throw clusterErrors.timeout();
  }

  /** True: done. False: there is no leader, or it could not be asked. */
  async #promoteByLeader(id: bigint, token: string | null, until: number): Promise<boolean> {
    const { membership, replica, clock, log } = this.#parts;
    const leader = membership.member(replica.leader());
    const urls = leader?.peerUrls ?? [];
    for (const [at, url] of urls.entries()) {
      // One that does not answer leaves time for those after it.
      const timeoutMs = Math.max(1, (until - clock.nowMs()) / (urls.length - at));
      try {
        const headers = token === null ? {} : { Authorization: token };
        const answer = await this.#parts.ask({
          method: "POST",
          url,
          path: `/members/promote/${id}`,
          headers,
          timeoutMs,
        });
        if (answer.status === 200) return true;
        const text = answer.body.toString().trimEnd();
        const refusal = rpcErrorOfText(text);
        if (refusal !== null && CALLER_REFUSALS.includes(answer.status)) throw refusal;
        if (answer.status === 404) throw clusterErrors.memberNotFound();
        if (answer.status === 412) {
          throw text.includes("in sync") ? clusterErrors.learnerNotReady() : clusterErrors.notLearner();
        }
        throw new Error(`${url} answered ${answer.status}: ${text}`);
      } catch (error) {
        if (error instanceof ClusterChangeError || error instanceof RpcError) throw error;
        log.warn("failed to promote a member", { "member-id": id, error: error as Error });
      }
    }
    return false;
  }

  /** As `promote`, on the leader; elsewhere it is refused with `not leader`. */
  async promoteHere(id: bigint): Promise<void> {
    const { replica, promotionDecided } = this.#parts;
    try {
      await this.#promoteHere(id);
    } catch (error) {
      if (replica.isLeader) promotionDecided?.(error as Error);
      throw error;
    }
    promotionDecided?.(null);
  }

  async #promoteHere(id: bigint): Promise<void> {
    const { replica, membership, strictReconfigCheck, log } = this.#parts;
    this.#checkCaughtUp(id);
    const voters = membership.voters();
    // The learner itself counts as started.
    const started = voters.filter(isStarted).length + 1;
    if (strictReconfigCheck && started < quorumOf(voters.length + 1)) {
      log.warn("rejecting member promote request; not enough healthy members", { "requested-member-promote-id": id });
      throw clusterErrors.notEnoughStarted();
    }
    await replica.proposeConfChange({
      change: { transition: "auto", steps: [{ type: "addVoter", id }] },
      context: { promote: true },
    });
  }

  /** Whether the leader may count on this learner now. */
  isCaughtUp(id: bigint): boolean {
    return this.#readyShare(id) >= READY_SHARE_MIN;
  }

  /** NaN: not the leader, or no such member. */
  #readyShare(id: bigint): number {
    const { progress, lastIndex } = this.#parts.replica.status();
    const learner = progress?.get(id);
    return learner === undefined ? Number.NaN : learner.match / lastIndex;
  }

  #checkCaughtUp(id: bigint): void {
    const { replica, log } = this.#parts;
    const { progress } = replica.status();
    if (progress === null) throw clusterErrors.notLeader();
    if (!progress.has(id)) throw clusterErrors.memberNotFound();
    const share = this.#readyShare(id);
    if (share >= READY_SHARE_MIN) return;
    log.error("rejecting promote learner: learner is not ready", {
      "learner-ready-percent": share,
      "ready-percent-threshold": READY_SHARE_MIN,
    });
    throw clusterErrors.learnerNotReady();
  }

  #checkAdd(member: Member): void {
    const { memberId, membership, log } = this.#parts;
    const fields = { "local-member-id": memberId, "requested-member-add": member.peerUrls.join(",") };
    if (!member.isLearner && !this.#mayAddVoter()) {
      const error = clusterErrors.notEnoughStarted();
      log.warn("rejecting member add request; not enough healthy members", { ...fields, error });
      throw error;
    }
    const voters = membership.voters();
    // The new member, a learner too, counts as one that is down. A cluster of one always takes a second.
    if (voters.length === 1 || this.#connected(voters) >= quorumOf(voters.length + 1)) return;
    const error = clusterErrors.unhealthy();
    log.warn(
      "rejecting member add request; local member has not been connected to majority peers, reconfigure breaks active quorum",
      { ...fields, error },
    );
    throw error;
  }

  #mayAddVoter(): boolean {
    const { memberId, membership, log } = this.#parts;
    const voters = membership.voters();
    const started = voters.filter(isStarted).length;
    // A cluster of one takes a second member; it is how a lost cluster is restored.
    if (voters.length === 1 && started === 1) return true;
    const quorum = quorumOf(voters.length + 1);
    if (started >= quorum) return true;
    log.warn("rejecting member add; started member will be less than quorum", {
      "number-of-started-member": started,
      quorum,
      "cluster-id": membership.clusterId,
      "local-member-id": memberId,
    });
    return false;
  }

  #checkRemove(id: bigint): void {
    const { memberId, membership, links, log } = this.#parts;
    if (membership.member(id)?.isLearner) return;
    const fields = { "local-member-id": memberId, "requested-member-remove-id": id };
    const voters = membership.voters();
    const rest = voters.filter((voter) => voter.id !== id);
    if (rest.length === 0 || rest.filter(isStarted).length < quorumOf(rest.length)) {
      const error = clusterErrors.notEnoughStarted();
      log.warn("rejecting member remove request; not enough healthy members", { ...fields, error });
      throw error;
    }
    // A member that is down is no part of what holds the quorum now.
    if (id !== memberId && !links.isConnected(id)) return;
    if (this.#connected(voters) - 1 >= quorumOf(voters.length - 1)) return;
    const error = clusterErrors.unhealthy();
    log.warn(
      "rejecting member remove request; local member has not been connected to all peers, reconfigure breaks active quorum",
      { ...fields, error },
    );
    throw error;
  }

  /** How many of these members, this one included, have been connected for a while. */
  #connected(members: readonly Member[]): number {
    const { memberId, links, clock } = this.#parts;
    const since = clock.nowMs() - HEALTH_INTERVAL_MS;
    return members.filter(({ id }) => id === memberId || links.connectedSince(id, since)).length;
  }
}

function quorumOf(members: number): number {
  return Math.floor(members / 2) + 1;
}

function isStarted(member: Member): boolean {
  return member.name !== "";
}
