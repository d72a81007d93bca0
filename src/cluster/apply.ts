// What committed control entries and configuration changes do to the cluster's state.

import type { Logger } from "../log/logger.js";
import type { MetaWrite } from "../native/binding.js";
import type { ConfChangeStep } from "../raft/index.js";
import type { ControlHandlers, MembershipChange, MembershipHandler } from "../replica/commands.js";
import type { ReplicaError } from "../replica/errors.js";
import type { Alarms } from "./alarms.js";
import { clusterErrors } from "./errors.js";
import type { Member } from "./member.js";
import type { Membership } from "./membership.js";
import { shortVersion } from "./versions.js";

export interface ClusterState {
  readonly membership: Membership;
  readonly alarms: Alarms;
  readonly memberId: bigint;
  readonly maxLearners: number;
  readonly log: Logger;
  /** Members came, went, or have other URLs. */
  membersChanged(): void;
  /** This member was removed. */
  removed(): void;
  /** The alarms that restrain the data plane changed. */
  alarmsChanged(): void;
}

/** Commands whose feature is not there cannot be proposed here; one in the log means a newer version wrote it. */
function unknown(type: string): never {
  throw new Error(`the log holds a ${type} command, which this version of netcd cannot apply`);
}

/** What each control command does to the cluster's state; the writes go to the store with the entry. */
export function controlHandlers(state: ClusterState): Omit<ControlHandlers, "auth"> {
  const { membership, alarms } = state;
  return {
    memberAttributes: ({ id, name, clientUrls }) => ({
      result: null,
      writes: membership.setAttributes(id, name, clientUrls),
    }),
    memberUpdate: ({ id, peerUrls }) => {
      const member = membership.member(id);
      const refusal = member === null ? clusterErrors.memberNotFound() : checkUrls(membership, id, peerUrls);
      if (refusal !== null || member === null) return { result: refusal, writes: [] };
      const writes = membership.put({ ...member, peerUrls });
      state.log.info("updated member", {
        "cluster-id": membership.clusterId,
        "local-member-id": state.memberId,
        "updated-remote-peer-id": id,
        "updated-remote-peer-urls": peerUrls,
        "updated-remote-peer-is-learner": member.isLearner,
      });
      state.membersChanged();
      return { result: null, writes };
    },
    clusterVersion: ({ version }) => {
      logVersion(state, version);
      return { result: null, writes: membership.setClusterVersion(version) };
    },
    alarm: ({ action, memberId, alarm }) => {
      const change = { memberId, type: alarm };
      const writes = action === "activate" ? alarms.activate(change) : alarms.deactivate(change);
      state.alarmsChanged();
      return { result: writes.length > 0 ? change : null, writes };
    },
    downgrade: () => unknown("downgrade"),
  };
}

function logVersion({ membership, memberId, log }: ClusterState, version: string): void {
  const before = membership.clusterVersion;
  const ids = { "cluster-id": membership.clusterId, "local-member-id": memberId };
  if (before === null) log.info("set initial cluster version", { ...ids, "cluster-version": shortVersion(version) });
  else {
    const change = { from: shortVersion(before), to: shortVersion(version) };
    log.info("updated cluster version", { ...ids, ...change });
  }
  log.info("enabled capabilities for version", { "cluster-version": shortVersion(version) });
}

/** No two members have a peer URL in common. */
function checkUrls(membership: Membership, id: bigint, urls: readonly string[]): ReplicaError | null {
  const others = membership.members().filter((member) => member.id !== id);
  const taken = others.some((member) => member.peerUrls.some((url) => urls.includes(url)));
  return taken ? clusterErrors.peerUrlExists() : null;
}

/** What a configuration change must fit, and what it does to the members. */
export function membershipHandler(state: ClusterState): MembershipHandler {
  return {
    check: (change) => {
      const refusal = change.change.steps.map((step) => checkStep(state, change, step)).find((error) => error !== null);
      if (refusal) {
        state.log.error("Validation on configuration change failed", { shouldApplyV3: true, error: refusal });
      }
      return refusal ?? null;
    },
    applied: (change) => {
      const writes = change.change.steps.flatMap((step) => applyStep(state, change, step));
      state.membersChanged();
      if (change.change.steps.some(({ type, id }) => type === "remove" && id === state.memberId)) state.removed();
      return { result: null, writes };
    },
  };
}

function isPromotion({ context }: MembershipChange): boolean {
  return (context as { promote?: unknown } | null)?.promote === true;
}

function checkStep(state: ClusterState, change: MembershipChange, { type, id }: ConfChangeStep): ReplicaError | null {
  const { membership, maxLearners } = state;
  if (membership.isRemoved(id)) return clusterErrors.memberNotFound();
  const known = membership.member(id);
  if (type === "remove") return known === null ? clusterErrors.memberNotFound() : null;
  if (isPromotion(change)) {
    if (known === null) return clusterErrors.memberNotFound();
    return known.isLearner ? null : clusterErrors.notLearner();
  }
  if (known !== null) return clusterErrors.memberExists();
  const refusal = checkUrls(membership, id, memberOf(change.context, id).peerUrls);
  if (refusal !== null) return refusal;
  const learners = membership.members().filter((member) => member.isLearner).length;
  return type === "addLearner" && learners >= maxLearners ? clusterErrors.tooManyLearners() : null;
}

function applyStep(state: ClusterState, change: MembershipChange, { type, id }: ConfChangeStep): MetaWrite[] {
  const { membership, memberId, log } = state;
  const ids = { "cluster-id": membership.clusterId, "local-member-id": memberId };
  if (type === "remove") {
    const gone = membership.member(id);
    log.info("removed member", {
      ...ids,
      "removed-remote-peer-id": id,
      "removed-remote-peer-urls": gone?.peerUrls ?? [],
      "removed-remote-peer-is-learner": gone?.isLearner ?? false,
    });
    logApplied(state, "ConfChangeRemoveNode", id);
    return membership.remove(id);
  }
  const known = membership.member(id);
  if (known !== null) log.info("promote member", { ...ids, "promoted-member-id": id });
  const member = known ?? memberOf(change.context, id);
  if (known === null) {
    log.info("added member", {
      ...ids,
      "added-peer-id": id,
      "added-peer-peer-urls": member.peerUrls,
      "added-peer-is-learner": type === "addLearner",
    });
  }
  logApplied(state, type === "addLearner" ? "ConfChangeAddLearnerNode" : "ConfChangeAddNode", id);
  return membership.put({ ...member, isLearner: type === "addLearner" });
}

/** The entries of a bootstrap are no changes of a running cluster: there is no cluster version yet. */
function logApplied({ membership, memberId, log }: ClusterState, change: string, id: bigint): void {
  if (membership.clusterVersion === null) return;
  log.info("applied a configuration change through raft", {
    "local-member-id": memberId,
    "raft-conf-change": change,
    "raft-conf-change-node-id": id,
  });
}

/** The new member that a change carries as its context. */
function memberOf(context: unknown, id: bigint): Member {
  const member = context as Partial<Member> | null;
  if (!member || member.id !== id || !Array.isArray(member.peerUrls)) {
    throw new Error(`the entry that adds member ${id.toString(16)} does not describe it`);
  }
  return {
    id,
    name: member.name ?? "",
    peerUrls: member.peerUrls,
    clientUrls: member.clientUrls ?? [],
    isLearner: member.isLearner ?? false,
  };
}
