// How a member comes to its identity and to the first members of its cluster.

import { forceNewCluster, unappliedSteps } from "../cluster/force.js";
import { BootstrapError, initialCluster } from "../cluster/initial.js";
import { joinCluster, refuseLearners, refuseSecondBootstrap } from "../cluster/join.js";
import type { Member } from "../cluster/member.js";
import type { Ask } from "../cluster/peerclient.js";
import { resolveUrl } from "../cluster/resolve.js";
import type { Config } from "../config/config.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding, Recovered } from "../native/binding.js";
import { isEmpty } from "../replica/bootstrap.js";
import { type Identity, makeWritable, readIdentity, writeIdentity } from "./datadir.js";
import { waitForLock } from "./datalock.js";
import { memberDirectory } from "./derived.js";
import { openError } from "./failures.js";
import type { Claim, Opening } from "./opening.js";

interface Found {
  readonly clusterId: bigint;
  readonly local: Member;
  readonly members: readonly Member[];
}

async function find(config: Config, log: Logger, ask: Ask): Promise<Found> {
  const joins = config.initialClusterState === "existing";
  const found = await (joins ? joinCluster(config, log, ask) : initial(config));
  if (!joins) refuseLearners(found.members, config.maxLearners);
  return found;
}

function initial(config: Config): Promise<Found> {
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

/** As `find`, for a member that has no data: it must not have had any. */
async function findUnused(config: Config, log: Logger, ask: Ask): Promise<Found> {
  const found = await find(config, log, ask);
  if (config.initialClusterState === "new") await refuseSecondBootstrap(config, found.local, ask);
  return found;
}

/** A refusal is said before the process ends by it, as etcd does. */
function logged<T>(work: Promise<T>, log: Logger): Promise<T> {
  return work.catch((error: unknown) => {
    if (error instanceof BootstrapError) log.error("bootstrap failed", { error });
    throw error;
  });
}

/** Rejects with BootstrapError if the directory is not there to be written to. */
export function requireWritable(directory: string, which: "data" | "member", log: Logger): Promise<void> {
  const refusal = makeWritable(directory, which);
  return refusal === null ? Promise.resolve() : logged(Promise.reject(new BootstrapError(refusal)), log);
}

/**
 * Takes the directory for this member, once nobody else has it, and reads or decides whose it is. Rejects with
 * BootstrapError, DataDirError, or what `goOn` throws.
 */
export async function claimData(
  config: Config,
  binding: NativeBinding,
  log: Logger,
  ask: Ask,
  goOn: () => void,
): Promise<Claim> {
  const memberDir = memberDirectory(config);
  await requireWritable(memberDir, "member", log);
  const lock = await waitForLock(binding, memberDir, log, goOn);
  try {
    const identity = readIdentity(memberDir) ?? (await createIdentity(config, memberDir, log, ask, goOn));
    return { lock, identity };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * The ids of a new member, by its flags; written into its directory for good, unless `goOn` throws. Rejects with
 * BootstrapError.
 */
async function createIdentity(
  config: Config,
  memberDir: string,
  log: Logger,
  ask: Ask,
  goOn: () => void,
): Promise<Identity> {
  log.info("bootstrapping cluster");
  const { local, clusterId } = await logged(findUnused(config, log, ask), log);
  goOn();
  const identity = { memberId: local.id, clusterId };
  log.info("starting local member", { "local-member-id": identity.memberId, "cluster-id": clusterId });
  writeIdentity(memberDir, identity);
  return identity;
}

/** What is found on disk. Rejects with FatalError. */
async function read(config: Config, { found }: Opening): Promise<Recovered> {
  try {
    return await found;
  } catch (error) {
    throw openError(memberDirectory(config), (error as Error).message);
  }
}

/** Opens the data; with --force-new-cluster the log then ends with entries that leave this member alone. */
export async function recover(config: Config, opening: Opening, log: Logger): Promise<Recovered> {
  const { memberId, clusterId } = opening.identity;
  const wal = opening.engine.native.log;
  const found = await read(config, opening);
  if (!config.forceNewCluster || isEmpty(found)) return found;
  const forced = forceNewCluster(found, memberId, await unappliedSteps(wal, found));
  log.info("forcing restart member", {
    "cluster-id": clusterId,
    "local-member-id": memberId,
    "wal-commit-index": found.hardState.commit,
    "commit-index": forced.hardState.commit,
  });
  if (forced.discarded > 0) {
    log.info("discarding uncommitted WAL entries", {
      "commit-index-from-wal": found.hardState.commit,
      "number-of-discarded-entries": forced.discarded,
    });
  }
  if (forced.entries.length === 0) return found;
  wal.persist(0, forced.hardState, forced.entries);
  return forced.recovered;
}

/** Whom a member starts with, beyond what its store knows. */
export interface FirstMembers {
  /** Whose entries the log of a new cluster begins with; null: the log is there, or comes from others. */
  readonly initial: readonly Member[] | null;
  /** Whom to listen to until the log says who is in the cluster. */
  readonly told: readonly Member[];
}

/**
 * The flags count as long as the log does not say who the members are: at the first start, and again if that crashed
 * before the entries were there. `known` are the members in the store. Rejects with BootstrapError.
 */
export async function firstMembers(
  config: Config,
  recovered: Recovered,
  identity: Identity,
  known: readonly Member[],
  log: Logger,
  ask: Ask,
): Promise<FirstMembers> {
  const empty = isEmpty(recovered);
  const joins = config.initialClusterState === "existing";
  if (!empty) {
    log.info("restarting local member", {
      "cluster-id": identity.clusterId,
      "local-member-id": identity.memberId,
      "commit-index": recovered.hardState.commit,
    });
    const check = async () => refuseLearners(known, config.maxLearners);
    await logged(check(), log);
    // A cluster that started here has its members in the log.
    if (known.length > 0 || !joins) return { initial: null, told: [] };
  }
  const found = await logged(find(config, log, ask), log);
  if (found.local.id !== identity.memberId || found.clusterId !== identity.clusterId) {
    const owner = identity.memberId.toString(16);
    throw new BootstrapError(`the data directory belongs to member ${owner}, not to one with these flags`);
  }
  return joins ? { initial: null, told: found.members } : { initial: found.members, told: found.members };
}
