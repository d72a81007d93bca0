// What a member is made of once its store is open, each part given those that it needs. Built by member.ts.

import { randomInt } from "node:crypto";
import { join } from "node:path";
import { Auth } from "../auth/auth.js";
import { Alarms, AlarmType } from "../cluster/alarms.js";
import { type ClusterState, controlHandlers, membershipHandler } from "../cluster/apply.js";
import type { Membership } from "../cluster/membership.js";
import type { Ask } from "../cluster/peerclient.js";
import type { Config } from "../config/config.js";
import { httpRequest, type ListenerRole } from "../http/message.js";
import type { MetricSources, Metrics } from "../http/metrics.js";
import { HttpRouter } from "../http/router.js";
import { createLessor } from "../lease/create.js";
import type { Lessor } from "../lease/lessor.js";
import { leaseForwarder } from "../lease/peers.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import { defragment, oneAtATime } from "../maintenance/defragment.js";
import { NoSpaceAlarm } from "../maintenance/nospace.js";
import type { NativeEngine, Recovered } from "../native/binding.js";
import { type HttpExchange, NativeServer } from "../native/server.js";
import { WatchStreams } from "../native/watch.js";
import type { RaftStatus } from "../raft/index.js";
import { systemClock } from "../replica/clock.js";
import { type OtherEvent, Replica } from "../replica/replica.js";
import type { ServiceContext } from "../services/context.js";
import { HealthState } from "../services/health.js";
import { registerServices } from "../services/register.js";
import { Clustering } from "./clustering.js";
import type { Identity } from "./datadir.js";
import { backendQuotaBytes, leaseTtlSecondsMin, memberDirectory, requestTimeoutMs } from "./derived.js";
import type { FirstMembers } from "./identity.js";
import { serviceContext } from "./servicecontext.js";
import { SnapshotLog } from "./snapshotlog.js";
import { logRecovered } from "./startlog.js";

/** The revision tree in the member directory. */
const STORE_FILE = "store.mdb";

/** What the parts are made from, and what they call when something concerns the whole member. */
export interface Foundation {
  readonly config: Config;
  readonly log: Logger;
  readonly engine: NativeEngine;
  readonly recovered: Recovered;
  readonly identity: Identity;
  readonly membership: Membership;
  readonly ask: Ask;
  readonly tls: MetricSources["tls"];
  readonly first: FirstMembers;
  readonly metrics: Metrics;
  /** The member was removed from its cluster. May be called more than once. */
  readonly removed: () => void;
  /** An event of the data plane that is not the replica's. */
  readonly otherEvent: (event: OtherEvent) => void;
  /** Takes work that nobody waits for. */
  readonly background: (work: Promise<void>) => void;
}

export interface Parts {
  readonly identity: Identity;
  readonly membership: Membership;
  readonly alarms: Alarms;
  readonly auth: Auth;
  readonly replica: Replica;
  readonly clustering: Clustering;
  readonly server: NativeServer;
  readonly health: HealthState;
  readonly lessor: Lessor;
  readonly noSpace: NoSpaceAlarm;
  /** Watch streams of services. */
  readonly watches: WatchStreams;
}

/** Builds all parts; nothing of them runs yet. */
export function buildParts(base: Foundation): Parts {
  const { config, log, engine, recovered, identity, membership } = base;
  const alarms = Alarms.restore(recovered.meta);
  // The data plane does not read the alarms itself.
  const tokens = engine.auth;
  const auth = new Auth({
    config,
    rows: recovered.meta,
    native: tokens,
    log,
    clock: systemClock,
    replica: () => replica,
  });
  const announceAlarms = () => engine.setAlarms(alarms.has(AlarmType.NoSpace), alarms.has(AlarmType.Corrupt));
  const announceProbes = () => engine.transport.setProbes(router.probes());
  const clustering = new Clustering({
    config,
    engine,
    identity,
    membership,
    ask: base.ask,
    replaceRows: (meta) => {
      membership.replace(meta);
      alarms.replace(meta);
      auth.replace(meta);
    },
    requestTimeoutMs: requestTimeoutMs(config),
    log,
    removed: base.removed,
    promotionDecided: (refusal) => base.metrics.promotionDecided(refusal),
  });
  announceAlarms();
  logRecovered(log, recovered, membership, identity);
  const replica = buildReplica(base, { clustering, alarms, auth, announceAlarms, announceProbes });
  const lessor = buildLessor(base, replica);
  const watches = new WatchStreams(engine);
  const context = serviceContext({
    engine,
    replica,
    identity,
    membership,
    alarms,
    auth,
    members: clustering.changes(replica),
    transferLeader: (to) => clustering.transferLeader(replica, to),
    quotaBytes: backendQuotaBytes(config),
    defragment: oneAtATime(() =>
      defragment({
        store: engine,
        path: join(memberDirectory(config), STORE_FILE),
        hasLeader: () => replica.leader() !== 0n,
        linearizable: () => replica.readIndex(),
        log,
      }),
    ),
    leaseTtlSecondsMin: leaseTtlSecondsMin(config),
    lessor,
    watches,
  });
  const { changeAlarm, quotaBytes, memberId } = context;
  const answerRefused = () => engine.quotaRefused();
  const noSpace = new NoSpaceAlarm({ memberId, alarms, quotaBytes, changeAlarm, answerRefused, log });
  const health = new HealthState();
  base.metrics.attach({
    context,
    gates: config.gates,
    native: () => engine.metrics(),
    auth,
    authTokens: () => tokens.tokens(),
    tls: base.tls,
    lessor,
    links: clustering.links,
  });
  const router = buildRouter(base, context, () => replica.status());
  announceProbes();
  const server = buildServer(base, context, health, router);
  return { identity, membership, alarms, auth, replica, clustering, server, health, lessor, noSpace, watches };
}

/** What applied entries change beside the members, and what tells the data plane of it. */
interface Applied {
  readonly clustering: Clustering;
  readonly alarms: Alarms;
  readonly auth: Auth;
  readonly announceAlarms: () => void;
  readonly announceProbes: () => void;
}

function buildReplica(
  base: Foundation,
  { clustering, alarms, auth, announceAlarms, announceProbes }: Applied,
): Replica {
  const { config, log, engine, recovered, identity, membership, metrics } = base;
  const state: ClusterState = {
    membership,
    alarms,
    memberId: identity.memberId,
    maxLearners: config.maxLearners,
    log,
    membersChanged: () => clustering.membersChanged(),
    removed: base.removed,
    alarmsChanged: () => {
      announceAlarms();
      announceProbes();
    },
    versionChanged: announceProbes,
  };
  const snapshots = new SnapshotLog(log, identity.memberId, config.snapshotCount, recovered.snapshotIndex);
  return new Replica(engine, recovered, {
    id: identity.memberId,
    heartbeatMs: config.heartbeatIntervalMs,
    electionMs: config.electionTimeoutMs,
    requestTimeoutMs: requestTimeoutMs(config),
    preVote: config.preVote,
    appendGrant: true,
    logRetention: {
      snapshotCount: config.snapshotCount,
      catchUpEntries: config.snapshotCatchupEntries,
      bytesMax: config.maxWals === 0 ? Number.POSITIVE_INFINITY : config.maxWals * limits.walSegmentBytes,
    },
    initialMembers: base.first.initial?.map((member) => ({ id: member.id, context: member })) ?? null,
    handlers: { ...controlHandlers(state), auth: auth.handler },
    membership: membershipHandler(state),
    transport: clustering.links,
    clock: systemClock,
    random: (below) => randomInt(below),
    otherEvent: base.otherEvent,
    snapshotInstalled: (snapshot, applied) => {
      snapshots.applying(snapshot, applied);
      metrics.applyingSnapshot(true);
      announceAlarms();
      announceProbes();
      clustering.membersChanged();
    },
    snapshotApplied: (snapshot) => {
      snapshots.applied(snapshot);
      metrics.applyingSnapshot(false);
    },
    logCompacted: (compaction) => snapshots.compacted(compaction),
  });
}

function buildLessor({ config, engine, membership, ask, log }: Foundation, replica: Replica): Lessor {
  return createLessor({
    table: engine.leases,
    replica,
    electionMs: config.electionTimeoutMs,
    requestTimeoutMs: requestTimeoutMs(config),
    checkpoints: config.gates.get("LeaseCheckpoint") === true,
    forwarder: leaseForwarder(membership, ask, requestTimeoutMs(config)),
    log,
  });
}

function buildRouter(base: Foundation, context: ServiceContext, raftStatus: () => RaftStatus): HttpRouter {
  const { config, metrics, log } = base;
  const { transport } = base.engine;
  const rules = { cors: config.cors, hostWhitelist: config.hostWhitelist };
  return new HttpRouter({ context, metrics, rules, log, raftStatus, probeCounts: () => transport.probeCounts() });
}

/** What answers the calls that the data plane hands over. */
function buildServer(base: Foundation, context: ServiceContext, health: HealthState, router: HttpRouter): NativeServer {
  const server = new NativeServer(base.engine.transport);
  registerServices(server, context, health);
  server.setHttpHandler((exchange) => base.background(serveHttp(exchange, router)));
  return server;
}

async function serveHttp(exchange: HttpExchange, router: HttpRouter): Promise<void> {
  const { request } = exchange;
  const role = request.listener as ListenerRole;
  const given = await router.serve(httpRequest({ ...request, role }));
  const headers = given.headers.map(([name, value]): [string, string] => [name, value]);
  exchange.respond(given.status, headers, Buffer.from(given.body));
}
