// What committed control entries and configuration changes do to the cluster's state.

import type { Logger } from "../log/logger.js";
import type { ControlHandlers, MembershipChange, MembershipHandler } from "../replica/commands.js";
import { type Alarms, AlarmType } from "./alarms.js";
import type { Member } from "./member.js";
import type { Membership } from "./membership.js";

export interface ClusterState {
  readonly membership: Membership;
  readonly alarms: Alarms;
  readonly memberId: bigint;
  readonly log: Logger;
  /** The alarms that restrain the data plane changed. */
  alarmsChanged(noSpace: boolean, corrupt: boolean): void;
}

/** Majors and minors of `X.Y.Z`, as log lines have them. */
function shortVersion(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}

/** Commands whose feature is not there cannot be proposed here; one in the log means a newer version wrote it. */
function unknown(type: string): never {
  throw new Error(`the log holds a ${type} command, which this version of netcd cannot apply`);
}

export function controlHandlers(state: ClusterState): ControlHandlers {
  const { membership, alarms } = state;
  return {
    memberAttributes: ({ id, name, clientUrls }) => ({
      result: null,
      writes: membership.setAttributes(id, name, clientUrls),
    }),
    memberUpdate: ({ id, peerUrls }) => {
      const member = membership.member(id);
      return { result: null, writes: member ? membership.put({ ...member, peerUrls }) : [] };
    },
    clusterVersion: ({ version }) => {
      logVersion(state, version);
      return { result: null, writes: membership.setClusterVersion(version) };
    },
    alarm: ({ action, memberId, alarm }) => {
      const change = { memberId, type: alarm };
      const writes = action === "activate" ? alarms.activate(change) : alarms.deactivate(change);
      state.alarmsChanged(alarms.has(AlarmType.NoSpace), alarms.has(AlarmType.Corrupt));
      return { result: null, writes };
    },
    downgrade: () => unknown("downgrade"),
    auth: () => unknown("auth"),
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

export function membershipHandler(state: ClusterState): MembershipHandler {
  return {
    check: () => null,
    applied: (change) => ({ result: null, writes: applyChange(state, change) }),
  };
}

function applyChange(state: ClusterState, { change, context }: MembershipChange) {
  const { membership, memberId, log } = state;
  const ids = { "cluster-id": membership.clusterId, "local-member-id": memberId };
  return change.steps.flatMap(({ type, id }) => {
    if (type === "remove") {
      log.info("removed member", { ...ids, "removed-remote-peer-id": id });
      return membership.remove(id);
    }
    const known = membership.member(id);
    const member = known ?? memberOf(context, id);
    log.info(known ? "ignore already added member" : "added member", {
      ...ids,
      "added-peer-id": id,
      "added-peer-peer-urls": member.peerUrls,
      "added-peer-is-learner": type === "addLearner",
    });
    return membership.put({ ...member, isLearner: type === "addLearner" });
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
