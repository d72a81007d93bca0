// The boundary between the TypeScript control plane and the Rust data plane: what crosses is plain data, with the
// same names on both sides (native/addon/src). Values are `null`, never `undefined`. Indices, terms and revisions
// are numbers (below 2^53); member, cluster and lease ids are bigints. Nothing here blocks: every method of
// NativeEngine and its handles only enqueues, unless it returns a promise. A Uint8Array that an event or an answer brings may be the data
// plane's own memory: it is read, never written to. A drain delivers `appended`, `acknowledged` and `committed` first
// and the marks that only move on (stable, persisted, applied, flushed) last, each once with its newest value.
// It is imported from here; the words that calls and events share are in values.ts, the events in events.ts.

import type { NativeEvent } from "./events.js";
import type {
  AuthUser,
  Caller,
  EntryKind,
  EntryMeta,
  GrantQuorum,
  HardState,
  MetaRow,
  MetaWrite,
  NativeStatus,
  OpKind,
  PayloadHandle,
  PersistEntry,
} from "./values.js";

export type { NativeEvent } from "./events.js";
export * from "./values.js";

export interface ListenerOptions {
  /** Names the listener in `call` and `http` events ("client", "peer", "metrics"). */
  role: "client" | "peer" | "metrics";
  /** host:port, or a path with `unix` true. */
  address: string;
  unix: boolean;
  grpc: boolean;
  http: boolean;
  /** Connections without TLS are served. With both the first byte of a connection decides. */
  plain: boolean;
  /** Connections with TLS are, by the options of the peers' port for the role "peer", else of the clients'. */
  tls: boolean;
  /** Connections wait, not accepted, until `release`. */
  held: boolean;
}

/** TLS of one side, clients' or peers': what the files hold, not where they are. Certificates, keys and CAs are PEM. */
export interface TlsOptions {
  certificate: Uint8Array;
  key: Uint8Array;
  /** What this member shows when it dials; null = the same as `certificate` and `key`. */
  clientCertificate: Uint8Array | null;
  clientKey: Uint8Array | null;
  /** Who signs the certificates of the other side; null = whom the system trusts. */
  trustedCa: Uint8Array | null;
  /** Callers must show a certificate that is good. */
  requiresClientCertificate: boolean;
  /** Revocation lists of callers' certificates, DER or PEM; null = none is kept. */
  crl: Uint8Array | null;
  /** Why there is no list although one is to be kept; every caller's certificate is refused with it. */
  crlProblem: string | null;
  /** Common names, one of which a certificate of the other side must have; empty = any. */
  allowedCommonNames: string[];
  /** Host names, for one of which it must be; empty = any. */
  allowedHostnames: string[];
  /** On the roles "peer" and "metrics" a caller's certificate may be for any address. */
  skipsSanVerification: boolean;
  /** The common name of a caller's certificate is a user, for calls without a token. */
  commonNameIsUser: boolean;
  /** Go's names of suites of TLS 1.2; empty = the default. */
  cipherSuites: string[];
  minVersion: "TLS1.2" | "TLS1.3";
  maxVersion: "TLS1.2" | "TLS1.3";
  /** When dialling: whoever answers is believed (certificates that members made for themselves). */
  skipsServerVerification: boolean;
  /** When dialling: the name that a certificate must have in place of the URL's host; null = the URL's host. */
  serverName: string | null;
}

/** What is said of TLS options that can be used. Times are milliseconds since 1970. */
export interface TlsFound {
  /** When the certificate that is shown first ends. */
  certificateEndMs: number;
  clientCertificateEndMs: number | null;
  /** When the first of the CA's certificates ends; null: there is none. */
  trustedCaEndMs: number | null;
  /** Names of suites that are known but that netcd does not have. */
  ignoredCipherSuites: string[];
}

/** A certificate that is signed by its own key; both PEM. */
export interface SelfSigned {
  certificate: string;
  key: string;
}

/** A request that the data plane answers by itself, with 200 and this answer: a GET of exactly this target. */
export interface Probe {
  /** What it asks about; it is counted as that. */
  kind: "version" | "health" | "livez" | "readyz";
  /** Which listeners answer it, by their role. */
  listener: "client" | "peer" | "metrics";
  /** Path and query. */
  target: string;
  // Where one of these does not hold, or a read fails, the request comes as an `http` event.
  /** Only while a leader is known. */
  needsLeader: boolean;
  /** Only by a member that is no learner. */
  needsVote: boolean;
  /** Only after a read of this member's store. */
  readsStore: boolean;
  /** Only when a linearizable read might be served. */
  readsQuorum: boolean;
  headers: [string, string][];
  body: string;
}

/** Probes that the data plane has answered so far; all were good. */
export interface ProbeCounts {
  health: number;
  livez: number;
  readyz: number;
}

/** One rule of the audit log: of those that match a request the first decides. */
export interface AuditRule {
  /** gRPC paths; with `#read` behind: the requests of that RPC that only look. */
  calls: string[];
  /** The empty name is a request without a user; null = whoever asks. */
  users: string[] | null;
  /** Of keys, in UTF-8; null = whatever keys, and requests without any. */
  prefixes: string[] | null;
  results: ("ok" | "refused" | "failed")[];
  /** Whether what matches gets a line. */
  logged: boolean;
}

export interface AuditOptions {
  path: string;
  /** The file is rotated at so many bytes; null = never. */
  bytesMax: number | null;
  /** Rotated files are removed after so many days; null = never. */
  daysMax: number | null;
  /** So many rotated files are kept; null = all. */
  backupsMax: number | null;
  /** Requests wait while the disk is slower than they are; else lines are left out and counted. */
  blocks: boolean;
  rules: AuditRule[];
}

export interface EngineOptions {
  /** `<data-dir>/member`. */
  memberDir: string;
  /** Where the WAL is; null = `<memberDir>/wal`. */
  walDir: string | null;
  /** Written into a new WAL; an existing one is checked against it. */
  clusterId: bigint;
  memberId: bigint;
  unsafeNoFsync: boolean;
  quotaBackendBytes: number;
  maxRequestBytes: number;
  maxTxnOps: number;
  maxConcurrentStreams: number;
  grpcKeepaliveMinTimeMs: number;
  grpcKeepaliveIntervalMs: number;
  grpcKeepaliveTimeoutMs: number;
  /** How long a proposal or a read index may take before its client gets `request timed out`. */
  requestTimeoutMs: number;
  electionTimeoutMs: number;
  /** The shortest time to live that a lease is granted. */
  leaseTtlSecondsMin: number;
  /** --metrics=extensive: measure how long each gRPC call takes. */
  extensiveMetrics: boolean;
  /** Unary calls that take longer are logged (`requestStats`). */
  warningUnaryRequestDurationMs: number;
  /** Every unary call is. */
  logRequests: boolean;
  /** Operations that are applied and reads that take longer are logged. */
  warningApplyDurationMs: number;
  /** null = no audit log is kept. */
  audit: AuditOptions | null;
  /** A link from another member may bring nothing for so long. */
  peerReadTimeoutMs: number;
  /** Another member may acknowledge or take nothing for so long. */
  peerWriteTimeoutMs: number;
  /** Longest time from a change to its commit in the store. */
  backendBatchIntervalMs: number;
  /** Changes that are committed before that; null = only their bytes count. */
  backendBatchLimit: number | null;
  /** Revisions that one slice of a compaction removes; null = as many as leave room for others. */
  compactionBatchLimit: number | null;
  compactionSleepIntervalMs: number;
  watchProgressNotifyIntervalMs: number;
  /** What tokens look like (--auth-token): simple ones that name an index, those that `identify` is asked for, or none. */
  authToken: "simple" | "jwt" | "none";
  /** Transport threads; 0 = chosen from the cores. */
  frontThreads: number;
  /** Whether raft may hand out the append grant (off in tests of the slow path). */
  appendGrant: boolean;
}

/** What a member says of itself when it connects to a peer. */
export interface PeerIdentity {
  /** Version of this server. */
  version: string;
  /** Oldest cluster version that it can join. */
  minClusterVersion: string;
  /** Peer URLs that it advertises. */
  peerUrls: string[];
}

/** What a restart found on disk. */
export interface Recovered {
  /** True if there was no WAL: a new member. */
  fresh: boolean;
  clusterId: bigint;
  memberId: bigint;
  hardState: HardState;
  /** The entry before the first one of the log (its payload may be gone). */
  snapshotIndex: number;
  snapshotTerm: number;
  entries: EntryMeta[];
  /** Payloads of Control and ConfChange entries above appliedIndex, by index, are delivered again by apply. */
  appliedIndex: number;
  appliedTerm: number;
  revision: number;
  compactRevision: number;
  meta: MetaRow[];
  leases: { id: bigint; ttlSeconds: number; remainingTtlSeconds: number }[];
  /** Bytes cut from a torn tail of the WAL. */
  tornBytes: number;
}

export interface LeaseTimes {
  grantedTtlSeconds: number;
  /** null unless this member is the leader. */
  expiresInMs: number | null;
}

export interface LeaseCheckpoint {
  id: bigint;
  remainingTtlSeconds: number;
}

export interface LeaseRenewal {
  /** "checkpointed": the lease was shortened by a checkpoint, the log must make it whole first. */
  outcome: "renewed" | "checkpointed" | "expired" | "unknown" | "notLeader";
  /** 0 unless renewed. */
  ttlSeconds: number;
}

export interface StoreStatus {
  revision: number;
  compactRevision: number;
  keys: number;
  dbSize: number;
  dbSizeInUse: number;
  tailBytes: number;
  appliedIndex: number;
  flushedIndex: number;
}

/** The answer to HashKV. */
export interface StoreHash {
  /** CRC-32C over the kept revisions. */
  hash: number;
  hashRevision: number;
  compactRevision: number;
  /** The store's revision when the hash began. */
  revision: number;
}

/** The raft log. */
export interface NativeLog {
  /** Queue for the WAL: entries replace any of the same or a higher index. Answered by `persisted`. */
  persist(seq: number, hardState: HardState | null, entries: PersistEntry[]): void;
  dropPayloads(payloads: PayloadHandle[], error: NativeStatus): void;
  /** The append grant of the leader of `term`; without others stable is committed and reads need no quorum. */
  grant(term: number, nextIndex: number, others: GrantQuorum | null): void;
  /** Sends to these members at once what is stamped after `last`; false: more was stamped already. */
  stream(last: number, members: bigint[]): boolean;
  /** Asks again for the quorum's word that linearizable reads wait for, if they do. */
  repeatRead(): void;
  /** The follow grant: appends of this leader in this term that continue the log after `last` are taken and answered. */
  follow(term: number, leader: bigint, last: number): void;
  /**
   * Someone waits until index is applied: the event comes at once, however long marks may wait otherwise. Of several the
   * smallest counts; the others are asked for again after it.
   */
  awaitApplied(index: number): void;
  /** Ends either grant; returns the last index given to the WAL (its `appended` event is in the queue). */
  revokeGrant(): number;
  /** Apply up to index. */
  commit(index: number): void;
  /** The control entry at index was applied; its writes go to disk with it, and apply goes on. */
  controlApplied(index: number, writes: MetaWrite[]): void;
  /** Queue a Control or ConfChange entry under the grant; comes back in `appended`, then `control`. */
  proposeControl(kind: EntryKind, data: Uint8Array): void;
  /** As proposeControl, for an entry whose payload is here already; its handle is then forgotten. */
  stampPayload(kind: EntryKind, payload: PayloadHandle): void;
  /** A forwarded batch may be lost: the next one no longer waits for it. It is answered when it comes back or drops. */
  releaseBatch(payload: PayloadHandle): void;
  /** Forget log entries up to index; WAL segments before it are purged. */
  compact(index: number, term: number): void;
  /** The payloads of entries, for control-plane use (tests, conf changes of a restart). */
  readEntries(first: number, last: number): Promise<{ meta: EntryMeta; data: Uint8Array }[]>;
  /** The answers to `readRequest`. */
  readIndexReady(ctx: number, index: number): void;
  readIndexFailed(ctx: number, error: NativeStatus): void;
}

/** The lease table and its clock. */
export interface NativeLeases {
  /** This member leads: time runs for its leases from now on, `extendMs` more for each, and checkpoints are due every
   * `checkpointMs`, null = never. */
  promote(extendMs: number, checkpointMs: number | null): void;
  /** This member no longer leads: nothing expires here. */
  demote(): void;
  /** This member certainly led a moment ago. Without this for 1.5 s every renewal becomes a `leaseRenew` event. */
  attend(): void;
  /** Up to `max` leases that have expired; each is named again after `retryMs` if it is still there. */
  expired(max: number, retryMs: number): bigint[];
  /** Up to `max` leases whose checkpoint is due. */
  checkpoints(max: number): LeaseCheckpoint[];
  renew(id: bigint): LeaseRenewal;
  /** null: there is no such lease here. */
  times(id: bigint): LeaseTimes | null;
  /** Keys in ascending order; null: there is no such lease here. */
  keys(id: bigint): Uint8Array[] | null;
  /** All leases; on the leader those that expire first come first. */
  all(): bigint[];
  /** A positive id that no lease has had. */
  nextId(): bigint;
  /** The answer to a `leaseRenew` event: a TTL, 0 = no such lease, or the error that ends the stream. */
  renewed(renewal: number, ttlSeconds: number, error: NativeStatus | null): void;
}

/** The other members: links to them, and copies of the store that come from them. */
export interface NativePeers {
  setIdentity(identity: PeerIdentity): void;
  /** Adds a peer, or gives it other URLs. */
  set(peer: bigint, urls: string[]): void;
  remove(peer: bigint): void;
  /** Members that were removed for good: their streams are refused. */
  setRemoved(peers: bigint[]): void;
  /**
   * Sends a message with the log entries first..=last (last 0: none), of which the last has term lastTerm, and whose
   * payloads have this size. False: dropped, the peer does not keep up.
   */
  send(to: bigint, header: Uint8Array, first: number, last: number, lastTerm: number, bytes: number): boolean;
  /** Sends a message with entries that are in no log yet; their index and term are 0. */
  forward(to: bigint, header: Uint8Array, entries: PersistEntry[]): boolean;
  /** Streams a copy of the store behind this message; ends in `peerSnapshotSent`. */
  sendSnapshot(to: bigint, header: Uint8Array): void;
  /**
   * The arrived store takes the place of the own one, and the log starts after it. Queued like `persist`, whose next
   * `persisted` says that this is durable too.
   */
  installSnapshot(snapshot: number): void;
  dropSnapshot(snapshot: number): void;
  /**
   * Asks all peers to send nothing more; what they sent before is among the events when it resolves. Peers that do not
   * answer are not waited for.
   */
  leave(): Promise<void>;
}

/** Listeners, and what TypeScript answers of their calls and requests. */
export interface NativeTransport {
  /** Binds, and serves what is not held; resolves with the bound addresses in the order given. */
  listen(listeners: ListenerOptions[]): Promise<string[]>;
  /** Serves the listeners that are held. */
  release(): void;
  /**
   * TLS of the clients' or the peers' side from now on: handshakes and dials take it, connections that are open go on.
   * Throws etcd's text if it cannot be used; then what was there before stays.
   */
  setTls(side: "client" | "peer", options: TlsOptions): void;
  /** The probes that are answered without JavaScript from now on, in place of those of before. */
  setProbes(probes: Probe[]): void;
  probeCounts(): ProbeCounts;
  /** GOAWAY to clients, and their calls finish, for at most graceMs. All else goes on: the calls may need a quorum. */
  drainClients(graceMs: number): Promise<void>;
  /** False: the queue of this call is full, wait for callDrained. */
  callSend(call: number, message: Uint8Array): boolean;
  callEnd(call: number, code: number, message: string, trailers: [string, string | Uint8Array][]): void;
  /** A whole answer. */
  httpRespond(request: number, status: number, headers: [string, string][], body: Uint8Array): void;
  /** A streamed answer: start, any number of writes (false = wait for httpDrained), end. */
  httpStart(request: number, status: number, headers: [string, string][]): void;
  httpWrite(request: number, chunk: Uint8Array): boolean;
  httpEnd(request: number): void;
}

/** Users, as far as the data plane knows them: tokens, and the table that it makes of the rows of "auth". */
export interface NativeAuth {
  /** The identity behind a token, which is renewed by that; null: it is not known here. */
  identify(token: string): AuthUser | null;
  /** Registers a token. revision null: always the current one (simple tokens); ttlMs null: no end. `renewed`: by use. */
  register(token: string, user: string, revision: number | null, ttlMs: number | null, renewed: boolean): void;
  /** The tokens of a user are void, and so are the watches that he has opened with them. */
  forgetUser(user: string): void;
  forgetAll(): void;
  /** The answer to `identify`: null = look again, it is registered now; else the error of the calls that wait. */
  identified(ask: number, error: NativeStatus | null): void;
  /** Checks under the current table; null = permitted. */
  checkRange(caller: Caller, key: Uint8Array, rangeEnd: Uint8Array, write: boolean): NativeStatus | null;
  /** The same for each key of a lease; an identity is enough if there is none, or no such lease here. */
  checkLease(caller: Caller, id: bigint, write: boolean): NativeStatus | null;
  /** Registered tokens. */
  tokens(): number;
}

/** One member's data plane: its life, its events, its store, and a handle for each of the other subjects. */
export interface NativeEngine {
  // Every access makes a handle: whoever calls one often keeps it.
  readonly log: NativeLog;
  readonly leases: NativeLeases;
  readonly peers: NativePeers;
  readonly transport: NativeTransport;
  readonly auth: NativeAuth;

  /** Opens or creates WAL and store off the main thread. Rejects with a message that names file and offset. */
  open(): Promise<Recovered>;
  /** All events since the last call; called once for every wake. */
  drain(): NativeEvent[];
  /** Term for headers, and what the transport must know to refuse requests early. */
  setServing(state: { term: number; hasLeader: boolean; isLearner: boolean }): void;
  /** The data plane's metrics in Prometheus text exposition format. */
  metrics(): string;
  /**
   * End the links, let calls finish for at most graceMs, then flush and close everything. Events go on coming
   * meanwhile and may be answered; what is called after it resolved is ignored, or refused where there is an answer.
   */
  close(graceMs: number): Promise<void>;

  // --- the store ---
  /** Propose one operation from TypeScript as this caller; answered by `proposed`. */
  propose(kind: OpKind, request: Uint8Array, token: number, caller: Caller): void;
  /** Answers the writes that the quota has refused so far. */
  quotaRefused(): void;
  /**
   * A serializable RangeRequest of this caller, served off the main thread; resolves with the encoded RangeResponse.
   * Rejects with etcd's text if it is refused.
   */
  range(request: Uint8Array, caller: Caller): Promise<Uint8Array>;
  /** Which alarms are set: NOSPACE and CORRUPT change what the front and apply admit. */
  setAlarms(noSpace: boolean, corrupt: boolean): void;
  storeStatus(): StoreStatus;
  /** The hash at a revision, 0 = the current one, off the main thread. Rejects with etcd's text if it is not there. */
  hashKv(revision: number): Promise<StoreHash>;
  /** Gives back the database's free pages, off the main thread, while the store serves. Rejects with the reason. */
  defragment(): Promise<void>;
  /**
   * Opens a watch stream of this caller under a number that is used once. What he may not watch is refused, and what he
   * may not watch any more is cancelled.
   */
  watchOpen(stream: number, caller: Caller): void;
  /** Gives the stream an encoded WatchRequest; what comes of it are `watchMessage` events. */
  watchSend(stream: number, request: Uint8Array): void;
  /** Ends the stream. Messages of it may still be in the event queue. */
  watchClose(stream: number): void;
}

/** The lock of a directory; the end of the process releases it too. */
export interface DirectoryLock {
  release(): void;
}

export interface NativeBinding {
  /** `wake` is called on the main thread when the event queue becomes non-empty. */
  NativeEngine: new (
    options: EngineOptions,
    wake: () => void,
  ) => NativeEngine;
  /** Locks a directory, without waiting; null: another handle (of this or another process) has it. */
  lockDirectory(path: string): DirectoryLock | null;
  /** Whether these could be used. Throws etcd's text if not. */
  checkTls(options: TlsOptions): TlsFound;
  /** For these host names and addresses, from now on for so many days, as etcd makes them (P-521). */
  selfSignedCertificate(hosts: string[], days: number): SelfSigned;
  /** Files and sockets that this process may have open. */
  descriptorLimit(): number;
  /** Has this process, whole, ignore the signals that Node has no name for. For a program, not for a member in another one. */
  ignoreUnnamedSignals(): void;
}
