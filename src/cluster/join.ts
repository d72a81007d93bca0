// What a new member learns from those that run already: that a cluster exists, who is in it, and its own id.

import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import { memberIdOf } from "./ids.js";
import { BootstrapError, parseInitialCluster } from "./initial.js";
import type { Member } from "./member.js";
import { type Ask, fetchCluster, type RemoteCluster } from "./peerclient.js";
import { resolveUrl } from "./resolve.js";
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
export async function joinCluster(config: Config, log: Logger, ask: Ask): Promise<Joined> {
  const named = parseInitialCluster(config.initialCluster);
  if (!named.has(config.name)) {
    throw new BootstrapError(
      `couldn't find local name ${JSON.stringify(config.name)} in the initial cluster configuration`,
    );
  }
  const remote = await fetchCluster(ask, remoteUrls(named, config.name), FETCH_TIMEOUT_MS, (address, error) => {
    log.warn("failed to get cluster response", { address, error });
  });
  if (remote === null) {
    throw new BootstrapError(
      "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
    );
  }
  const ids = await matchMembers(named, config.initialClusterToken, remote);
  const local = remote.members.find((member) => member.id === ids.get(config.name));
  if (!local) throw new BootstrapError(`two members of ${config.initialCluster} have the same peer URLs`);
  const others = remote.members.filter((member) => member.id !== local.id);
  if (!(await isCompatible(others, log, ask))) throw new BootstrapError("incompatible with current running cluster");
  refuseLearners(remote.members, config.maxLearners);
  return { clusterId: remote.clusterId, local, members: remote.members };
}

/** A member starts with no more learners in its cluster than it allows. Throws BootstrapError. */
export function refuseLearners(members: readonly Member[], most: number): void {
  if (members.filter((member) => member.isLearner).length > most) {
    throw new BootstrapError("membership: too many learner members in cluster");
  }
}

/** Whether a member that runs says so, and none runs a cluster version that this server cannot run. */
async function isCompatible(others: readonly Member[], log: Logger, ask: Ask): Promise<boolean> {
  const answers = await Promise.all(others.map((member) => askVersions(member, log, ask)));
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
async function matchMembers(
  named: ReadonlyMap<string, readonly string[]>,
  token: string,
  remote: RemoteCluster,
): Promise<Map<string, bigint>> {
  const refuse = (reason: string) => new BootstrapError(`error validating peerURLs ${describe(remote)}: ${reason}`);
  if (named.size !== remote.members.length) throw refuse("member count is unequal");
  // In the order of the ids that they would have in a new cluster: the last one is in the message.
  const candidates = await Promise.all(
    [...named].map(async ([name, urls]) => {
      const id = memberIdOf(urls, { token });
      return { name, id, urls: await Promise.all([...urls].sort().map(resolveUrl)) };
    }),
  );
  candidates.sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = new Map<string, bigint>();
  for (const { id, peerUrls } of remote.members) {
    const urls = await Promise.all([...peerUrls].sort().map(resolveUrl));
    const match = candidates.find((candidate) => difference(urls, candidate.urls) === null);
    if (match === undefined) {
      const last = difference(urls, candidates.at(-1)?.urls ?? []) ?? "";
      const which = `(${id.toString(16)}, [${peerUrls.join(" ")}])`;
      throw refuse(`PeerURLs: no match found for existing member ${which}, last resolver error (${last})`);
    }
    ids.set(match.name, id);
  }
  return ids;
}

/** What tells two sorted lists of URLs apart, in etcd's words; null: nothing. */
function difference(one: readonly string[], other: readonly string[]): string | null {
  const list = (urls: readonly string[]) => `[${urls.map((url) => JSON.stringify(url)).join(" ")}]`;
  if (one.length !== other.length) return `len(${list(one)}) != len(${list(other)})`;
  const at = one.findIndex((url, index) => url !== other[index]);
  return at < 0 ? null : `resolved urls: ${JSON.stringify(one[at])} != ${JSON.stringify(other[at])}`;
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
export async function refuseSecondBootstrap(config: Config, local: Member, ask: Ask): Promise<void> {
  const urls = remoteUrls(parseInitialCluster(config.initialCluster), config.name);
  // Members of a new cluster start one by one: that others are not there yet is no news.
  const remote = await fetchCluster(ask, urls, BOOTSTRAPPED_TIMEOUT_MS, () => {});
  if (remote === null) return;
  const known = remote.members.find((member) => member.id === local.id);
  if (known === undefined || known.clientUrls.length === 0) return;
  throw new BootstrapError(`member ${local.id.toString(16)} has already been bootstrapped`);
}
