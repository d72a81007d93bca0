// What a new member learns from those that run already: that a cluster exists, who is in it, and its own id.

import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import { BootstrapError, parseInitialCluster } from "./initial.js";
import type { Member } from "./member.js";
import { fetchCluster, type RemoteCluster } from "./peerclient.js";
import { askVersions, canRun } from "./versions.js";

/** How long one peer may take to answer, as with etcd. */
const FETCH_TIMEOUT_MS = 10_000;
const BOOTSTRAPPED_TIMEOUT_MS = 1_000;

export interface Joined {
  readonly clusterId: bigint;
  readonly local: Member;
  /** All members, this one among them. */
  readonly members: readonly Member[];
}

/** Peer URLs of all but `name`, in order. */
function remoteUrls(named: ReadonlyMap<string, readonly string[]>, name: string): string[] {
  return [...named]
    .filter(([other]) => other !== name)
    .flatMap(([, urls]) => urls)
    .sort();
}

/** The identity that a running cluster gave this member when it was added there. Rejects with BootstrapError. */
export async function joinCluster(config: Config, log: Logger): Promise<Joined> {
  const named = parseInitialCluster(config.initialCluster);
  if (!named.has(config.name)) {
    throw new BootstrapError(
      `couldn't find local name ${JSON.stringify(config.name)} in the initial cluster configuration`,
    );
  }
  const remote = await fetchCluster(remoteUrls(named, config.name), FETCH_TIMEOUT_MS);
  if (remote === null) {
    throw new BootstrapError(
      "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
    );
  }
  const ids = matchMembers(named, remote);
  const local = remote.members.find((member) => member.id === ids.get(config.name));
  if (!local) throw new TypeError("every name was matched a moment ago");
  const others = remote.members.filter((member) => member.id !== local.id);
  if (!(await isCompatible(others, log))) throw new BootstrapError("incompatible with current running cluster");
  const learners = remote.members.filter((member) => member.isLearner);
  if (learners.length > config.maxLearners) {
    throw new BootstrapError("membership: too many learner members in cluster");
  }
  return { clusterId: remote.clusterId, local, members: remote.members };
}

/** Whether a member that runs says so, and none runs a cluster version that this server cannot run. */
async function isCompatible(others: readonly Member[], log: Logger): Promise<boolean> {
  const answers = await Promise.all(others.map((member) => askVersions(member, log)));
  const decided = answers.flatMap((answer) => (answer === null ? [] : [answer.cluster]));
  const versions = decided.filter((version) => version !== "not_decided");
  const tooHigh = versions.find((version) => !canRun(version));
  if (tooHigh === undefined) return versions.length > 0;
  log.warn("cluster version of remote member is not compatible; too high", {
    "remote-member-cluster-version": tooHigh,
  });
  return false;
}

/** The id of every name of --initial-cluster: the member of the cluster with the same peer URLs. */
function matchMembers(named: ReadonlyMap<string, readonly string[]>, remote: RemoteCluster): Map<string, bigint> {
  const refuse = (reason: string) => new BootstrapError(`error validating peerURLs ${describe(remote)}: ${reason}`);
  if (named.size !== remote.members.length) throw refuse("member count is unequal");
  const ids = new Map<string, bigint>();
  for (const [name, urls] of named) {
    const wanted = [...urls].sort().join(",");
    const match = remote.members.find((member) => [...member.peerUrls].sort().join(",") === wanted);
    if (!match) {
      const others = remote.members.flatMap((member) => member.peerUrls);
      throw refuse(
        `unmatched member while checking PeerURLs (${JSON.stringify(urls)} not in ${JSON.stringify(others)})`,
      );
    }
    ids.set(name, match.id);
  }
  return ids;
}

/** As etcd prints a cluster. */
function describe({ clusterId, members }: RemoteCluster): string {
  const each = members.map(
    ({ id, peerUrls, isLearner, name, clientUrls }) =>
      `&{ID:${id.toString(16)} RaftAttributes:{PeerURLs:[${peerUrls.join(" ")}] IsLearner:${isLearner}} ` +
      `Attributes:{Name:${name} ClientURLs:[${clientUrls.join(" ")}]}}`,
  );
  return `{ClusterID:${clusterId.toString(16)} Members:[${each.join(" ")}] RemovedMemberIDs:[]}`;
}

/**
 * A new cluster must not be started by a member that others know as a running one: it lost its data, and its votes
 * with them. Rejects with BootstrapError.
 */
export async function refuseSecondBootstrap(config: Config, local: Member, log: Logger): Promise<void> {
  const urls = remoteUrls(parseInitialCluster(config.initialCluster), config.name);
  const remote = await fetchCluster(urls, BOOTSTRAPPED_TIMEOUT_MS);
  if (remote === null) return;
  const known = remote.members.find((member) => member.id === local.id);
  if (known === undefined || known.clientUrls.length === 0) return;
  log.error("bootstrap failed", { error: `member ${local.id.toString(16)} has already been bootstrapped` });
  throw new BootstrapError(`member ${local.id.toString(16)} has already been bootstrapped`);
}
