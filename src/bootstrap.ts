// How a member comes to its identity and to the first members of its cluster.

import { BootstrapError, type InitialCluster, initialCluster } from "./cluster/initial.js";
import type { Member } from "./cluster/member.js";
import { resolveUrl } from "./cluster/resolve.js";
import type { Config } from "./config/config.js";
import { type Identity, writeIdentity } from "./datadir.js";
import type { Logger } from "./log/logger.js";
import type { Recovered } from "./native/binding.js";
import { isEmpty } from "./replica/bootstrap.js";

function bootstrap(config: Config): Promise<InitialCluster> {
  if (config.initialClusterState === "existing") {
    // Who joins asks the others who they are.
    throw new BootstrapError("cannot fetch cluster info from peer urls: netcd cannot join an existing cluster yet");
  }
  return initialCluster(
    {
      name: config.name,
      initialCluster: config.initialCluster,
      token: config.initialClusterToken,
      advertisePeerUrls: config.advertisePeerUrls.map((url) => url.text),
    },
    resolveUrl,
  );
}

/** The ids of a new member, by its flags; written into its directory for good. Rejects with BootstrapError. */
export async function createIdentity(config: Config, memberDir: string, log: Logger): Promise<Identity> {
  log.info("bootstrapping cluster");
  const { local, clusterId } = await bootstrap(config);
  const identity = { memberId: local.id, clusterId };
  log.info("starting local member", { "local-member-id": identity.memberId, "cluster-id": clusterId });
  writeIdentity(memberDir, identity);
  return identity;
}

/**
 * The first members, as long as their entries are not in the log: at the first start, and again if that crashed
 * before the entries were written. Else null. Rejects with BootstrapError.
 */
export async function initialMembers(
  config: Config,
  recovered: Recovered,
  identity: Identity,
  log: Logger,
): Promise<readonly Member[] | null> {
  if (!isEmpty(recovered)) {
    log.info("restarting local member", {
      "cluster-id": identity.clusterId,
      "local-member-id": identity.memberId,
      "commit-index": recovered.hardState.commit,
    });
    return null;
  }
  const cluster = await bootstrap(config);
  if (cluster.local.id !== identity.memberId || cluster.clusterId !== identity.clusterId) {
    const owner = identity.memberId.toString(16);
    throw new BootstrapError(`the data directory belongs to member ${owner}, not to one with these flags`);
  }
  return cluster.members;
}
