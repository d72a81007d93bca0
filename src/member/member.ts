// The composition root: opens a member's data, has its parts built, and starts and stops them in order.

import { Membership } from "../cluster/membership.js";
import { type Ask, peerClient } from "../cluster/peerclient.js";
import { type Publication, publishMember } from "../cluster/publish.js";
import { refuseDowngrade } from "../cluster/versions.js";
import type { Config, ListenUrl } from "../config/config.js";
import { rpcError } from "../errors.js";
import { Metrics } from "../http/metrics.js";
import type { Logger } from "../log/logger.js";
import type { NativeBinding, NativeEngine } from "../native/binding.js";
import { systemClock } from "../replica/clock.js";
import type { Leadership, OtherEvent } from "../replica/replica.js";
import { inspectDataDir, isInitialized, openToOthers } from "./datadir.js";
import { memberDirectory, requestTimeoutMs } from "./derived.js";
import { requireDescriptors } from "./descriptors.js";
import { claimData, firstMembers, recover, requireWritable } from "./identity.js";
import { bind, type PlannedListener, planListeners } from "./listeners.js";
import { type Opening, openData } from "./opening.js";
import { buildParts, type Parts } from "./parts.js";
import { requestStats } from "./requestlog.js";
import { logNoTransfer, logStart } from "./startlog.js";
import { MemberTls } from "./tls.js";

/** How long other members' calls over HTTP may go on after the links to them ended, as in etcd. */
const PEER_GRACE_MS = 1_000;

/** A removed member lives on for so long, so that others hear that its removal is committed. */
const REMOVED_STOP_DELAY_MS = 1_000;

/** How long calls may go on after that: nobody commits anything for it any more. */
const REMOVED_GRACE_MS = 1_000;

const texts = (urls: readonly ListenUrl[]) => urls.map((url) => url.text);

/** `stop` was called before the member had started. */
export class StoppedError extends Error {
  constructor(cause?: unknown) {
    super("the member was stopped while it started", { cause });
  }
}

/** One member. Several may live in one process. */
export class Member {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #binding: NativeBinding;
  /** The data, if whoever made this member has begun to open it. */
  #opening: Opening | null;
  /** The process must end with this message: the disk failed or data is damaged. */
  readonly #fatal: (reason: string) => void;
  /** The member was removed from its cluster and must stop. */
  readonly #removed: () => void;
  readonly #metrics = new Metrics();
  #engine: NativeEngine | null = null;
  #tls: MemberTls | null = null;
  #running: Parts | null = null;
  #stopping: Promise<void> | null = null;
  #leader = 0n;
  /** Resolves when clients are served: this member is published. Rejects with StoppedError. */
  readonly #ready: Promise<void>;
  #becomeReady: () => void = () => {};
  #neverReady: (error: StoppedError) => void = () => {};

  constructor(
    config: Config,
    log: Logger,
    binding: NativeBinding,
    fatal: (reason: string) => void,
    removed: () => void = () => {},
    opening: Opening | null = null,
  ) {
    this.#opening = opening;
    this.#engine = opening?.engine.native ?? null;
    this.#removed = once(() => setTimeout(() => this.#stopRemoved(removed), REMOVED_STOP_DELAY_MS));
    this.#config = config;
    this.#log = log;
    this.#binding = binding;
    this.#fatal = fatal;
    this.#ready = new Promise((resolve, reject) => {
      this.#becomeReady = resolve;
      this.#neverReady = reject;
    });
    // Nobody has to wait for it.
    this.#ready.catch(() => {});
  }

  /**
   * Resolves when all listeners are bound and raft runs; clients are served from `ready` on.
   * Rejects with DataDirError, FatalError, BootstrapError or StoppedError, and nothing stays open.
   */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      if (this.#stopping) throw error instanceof StoppedError ? error : new StoppedError(error);
      // Nobody has to stop what did not start.
      await this.#engine?.close(0);
      this.#opening?.lock.release();
      await this.#endParts();
      throw error;
    }
  }

  /** To be called after every wait of the start: what a stop has closed must not begin. */
  #goOn(): void {
    if (this.#stopping) throw new StoppedError();
  }

  async #start(): Promise<void> {
    this.#goOn();
    const config = this.#config;
    const memberDir = memberDirectory(config);
    const listeners = planListeners(config);
    const tls = new MemberTls(config, this.#binding, this.#log);
    this.#tls = tls;
    const type = inspectDataDir(config.dataDir, (filename) => {
      this.#log.warn("found invalid file under data directory", { filename, "data-dir": config.dataDir });
    });
    this.#log.info(type === "member" ? "server has already been initialized" : "Initialize and start etcd server", {
      "data-dir": config.dataDir,
      "dir-type": type,
    });
    for (const directory of [config.dataDir, memberDir]) {
      const error = openToOthers(directory);
      if (error !== null) this.#log.warn("check file permission", { error });
    }
    this.#log.info("configuring peer listeners", { "listen-peer-urls": texts(config.listenPeerUrls) });
    tls.prepare("peer");
    this.#log.info("configuring client listeners", { "listen-client-urls": texts(config.listenClientUrls) });
    tls.prepare("client");
    requireDescriptors(this.#binding);
    logStart(this.#log, config, isInitialized(memberDir));
    await requireWritable(config.dataDir, "data", this.#log);
    const ask = peerClient(() => tls.dialOptions());
    const opening = this.#opening ?? (await this.#open(ask));
    const { engine, identity } = opening;
    const recovered = await recover(config, opening, this.#log);
    tls.use(engine.native.transport);
    this.#goOn();
    const membership = Membership.restore(identity.clusterId, recovered.meta);
    refuseDowngrade(membership, this.#log);
    const first = await firstMembers(config, recovered, identity, membership.members(), this.#log, ask);
    this.#goOn();
    const running = buildParts({
      config,
      log: this.#log,
      engine: engine.native,
      recovered,
      identity,
      membership,
      ask,
      tls,
      first,
      metrics: this.#metrics,
      removed: this.#removed,
      otherEvent: (event) => this.#handleEvent(event),
      background: (work) => this.#background(work),
    });
    this.#running = running;
    running.replica.onLeaderChanged((leadership) => this.#leaderChanged(leadership));
    engine.onWake(() => running.replica.wake());
    await this.#bind(engine.native, listeners);
    running.clustering.start(running.replica, first.told);
    running.replica.start();
    if (config.initialElectionTickAdvance && (membership.members().length > 1 || first.told.length > 1)) {
      this.#background(running.clustering.advanceTicks(running.replica, () => this.#stopping !== null));
    }
    this.#background(this.#becomeServing(running, listeners));
  }

  async #open(ask: Ask): Promise<Opening> {
    const claim = await claimData(this.#config, this.#binding, this.#log, ask, () => this.#goOn());
    try {
      // A stop that has not seen the lock does not release it.
      this.#goOn();
      this.#opening = openData(this.#config, this.#binding, claim);
    } catch (error) {
      claim.lock.release();
      throw error;
    }
    this.#engine = this.#opening.engine.native;
    return this.#opening;
  }

  /** Resolves when clients are served; rejects with StoppedError if the member is stopped before. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /**
   * Ends clients' calls while raft and the links live, as they may need a quorum; then hands over the leadership, then
   * what others have passed on to this member; then links, raft and the store end. What was acknowledged is on disk.
   * May be called at any time.
   */
  stop(): Promise<void> {
    return this.#stopWithin(requestTimeoutMs(this.#config));
  }

  #stopWithin(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    const fields = {
      name: this.#config.name,
      "data-dir": this.#config.dataDir,
      "advertise-peer-urls": texts(this.#config.advertisePeerUrls),
      "advertise-client-urls": texts(this.#config.advertiseClientUrls),
    };
    this.#log.info("closing etcd server", fields);
    this.#neverReady(new StoppedError());
    const running = this.#running;
    running?.health.stop();
    running?.watches.closeAll(rpcError("stopped"));
    await this.#engine?.transport.drainClients(graceMs);
    if (running) {
      if (running.replica.isLeader && running.membership.voters().length > 1) {
        await running.clustering.handOver(running.replica);
      } else logNoTransfer(this.#log, running.replica, running.identity);
      for (const url of this.#config.listenPeerUrls) {
        this.#log.info("stopping serving peer traffic", { address: url.address });
      }
      await running.clustering.leave(running.replica);
    }
    await this.#engine?.close(PEER_GRACE_MS);
    this.#opening?.lock.release();
    await this.#endParts();
    if (running) {
      for (const url of this.#config.listenPeerUrls) {
        this.#log.info("stopped serving peer traffic", { address: url.address });
      }
    }
    this.#log.info("closed etcd server", fields);
  }

  /** Ends what would go on by itself. */
  async #endParts(): Promise<void> {
    this.#tls?.stop();
    this.#running?.lessor.stop();
    this.#running?.clustering.stop();
    this.#running?.replica.stop();
    await this.#running?.auth.stop();
  }

  async #stopRemoved(ended: () => void): Promise<void> {
    if (this.#stopping) return;
    this.#log.warn("server error", { error: "the member has been permanently removed from the cluster" });
    this.#log.warn("data-dir used by this member must be removed");
    await this.#stopWithin(REMOVED_GRACE_MS).catch((error: Error) => this.#log.error("shutdown failed", { error }));
    ended();
  }

  // --- serving ---

  async #bind(engine: NativeEngine, listeners: readonly PlannedListener[]): Promise<void> {
    const running = this.#running;
    if (!running) throw new TypeError("listeners are bound to a built member");
    await bind(engine.transport, listeners);
    this.#goOn();
    this.#log.info("now serving peer/client/metrics", {
      "local-member-id": running.identity.memberId,
      "initial-advertise-peer-urls": texts(this.#config.advertisePeerUrls),
      "listen-peer-urls": texts(this.#config.listenPeerUrls),
      "advertise-client-urls": texts(this.#config.advertiseClientUrls),
      "listen-client-urls": texts(this.#config.listenClientUrls),
      "listen-metrics-urls": texts(this.#config.listenMetricsUrls),
    });
    for (const { role, url, address } of listeners) {
      if (role === "metrics") this.#log.info("serving metrics", { address: url });
      if (role === "peer") this.#log.info("serving peer traffic", { address });
    }
  }

  /** Publishes this member, then lets clients in. */
  async #becomeServing(running: Parts, listeners: readonly PlannedListener[]): Promise<void> {
    await publishMember(this.#publication(running));
    // What a client may ask for rests on the version of the cluster.
    await running.membership.versionDecided;
    if (this.#stopping) return;
    this.#engine?.transport.release();
    this.#becomeReady();
    const clients = listeners.filter((listener) => listener.role === "client");
    for (const _ of clients) this.#log.info("ready to serve client requests");
    this.#log.info("grpc service status changed", { service: "", status: "SERVING" });
    for (const { traffic, address, tls } of clients) {
      const how = tls ? "securely" : "insecurely; this is strongly discouraged!";
      this.#log.info(`serving client traffic ${how}`, { traffic, address });
    }
  }

  #publication({ replica, membership, identity }: Parts): Publication {
    return {
      replica,
      membership,
      memberId: identity.memberId,
      name: this.#config.name,
      clientUrls: texts(this.#config.advertiseClientUrls),
      requestTimeoutMs: requestTimeoutMs(this.#config),
      clock: systemClock,
      log: this.#log,
      stopped: () => this.#stopping !== null,
    };
  }

  #leaderChanged({ leader, term, isLeader }: Leadership): void {
    const running = this.#running;
    if (!running) return;
    running.lessor.leadershipChanged(isLeader);
    const before = this.#leader;
    this.#leader = leader;
    if (before === leader) return;
    const raft = this.#log.named("raft");
    const own = `raft.node: ${running.identity.memberId.toString(16)}`;
    const [old, now] = [before.toString(16), leader.toString(16)];
    if (leader === 0n) raft.info(`${own} lost leader ${old} at term ${term}`);
    else if (before === 0n) raft.info(`${own} elected leader ${now} at term ${term}`);
    else raft.info(`${own} changed leader from ${old} to ${now} at term ${term}`);
    if (leader !== 0n) this.#metrics.leaderChanged();
    if (isLeader) this.#background(running.clustering.leads());
  }

  /** Work that nobody waits for; it deals with its own errors, so one that comes out is a bug and ends the process. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fatal((error as Error).stack ?? String(error)));
  }

  // --- events of the data plane ---

  #handleEvent(event: OtherEvent): void {
    switch (event.type) {
      case "fatal":
        this.#fatal(event.message);
        break;
      case "log":
        this.#log[event.level](event.message, Object.fromEntries(event.fields));
        break;
      case "requestStats":
        this.#log[event.warn ? "warn" : "debug"]("request stats", requestStats(event));
        break;
      case "peerMessage":
      case "peerLink":
      case "peerUnreachable":
      case "peerSnapshot":
      case "peerSnapshotSent":
        this.#running?.clustering.links.handle(event);
        break;
      case "peerStranger":
        this.#running?.clustering.meet(event.id, event.peerUrls);
        break;
      case "watchMessage":
        this.#running?.watches.deliver(event);
        break;
      case "quotaExceeded":
        if (this.#running) this.#background(this.#running.noSpace.quotaExceeded());
        break;
      case "identify":
        this.#running?.auth.answer(event);
        break;
      case "leaseRenew":
        this.#running?.lessor.handleRenewal(event.renewal, event.lease);
        break;
      default:
        this.#running?.server.handle(event);
    }
  }
}

/** The function, with no effect from its second call on. */
function once(call: () => void): () => void {
  let called = false;
  return () => {
    if (called) return;
    called = true;
    call();
  };
}
