// The boundary between the TypeScript control plane and the Rust data plane: what crosses is plain data, with the
// same names on both sides (native/addon/src). Values are `null`, never `undefined`. Indices, terms and revisions
// are numbers (below 2^53); member, cluster and lease ids are bigints. Nothing here blocks: every method of
// NativeEngine only enqueues, unless it returns a promise. A Uint8Array that an event or an answer brings may be the data
// plane's own memory: it is read, never written to. A drain delivers `appended`, `acknowledged` and `committed` first
// and the marks that only move on (stable, persisted, applied, flushed) last, each once with its newest value.

/** What one raft log entry holds; the number is on disk (engine: `EntryKind`). */
export const EntryKind = { Empty: 0, Batch: 1, Control: 2, ConfChange: 3 } as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

/** What one request of a batch does; the number is on disk (engine: `OpKind`). */
export const OpKind = {
  Put: 1,
  DeleteRange: 2,
  Txn: 3,
  Compact: 4,
  LeaseGrant: 5,
  LeaseRevoke: 6,
  LeaseCheckpoint: 7,
} as const;
export type OpKind = (typeof OpKind)[keyof typeof OpKind];

/**
 * Names a payload that stays in Rust: a closed batch that waits for a proposal, or the entries of a message from a
 * peer. 0 = none. Rust forgets a handle when its entry was persisted or `dropPayloads` named it.
 */
export type PayloadHandle = number;

export interface HardState {
  term: number;
  /** Member voted for in this term, 0n = none. */
  vote: bigint;
  commit: number;
}

/** Metadata of a log entry; its payload stays in Rust. */
export interface EntryMeta {
  index: number;
  term: number;
  kind: EntryKind;
  /** Size of the payload in bytes. */
  bytes: number;
}

/** An entry that raft hands to the WAL. The payload is either in Rust (`payload`) or given here (`data`). */
export interface PersistEntry {
  index: number;
  term: number;
  kind: EntryKind;
  payload: PayloadHandle;
  data: Uint8Array | null;
}

/** How the leader's data plane decides what is committed, with the others. */
export interface GrantQuorum {
  /** Whether this member is a voter. */
  ownVote: boolean;
  committed: number;
  /** All other members. */
  members: GrantMember[];
}

export interface GrantMember {
  id: bigint;
  votes: boolean;
  /** The last entry that is known to be durable there and equal. */
  matched: number;
}

/** A write of control-plane state, stored in the same LMDB transaction as the consistent index. */
export interface MetaWrite {
  table: "meta" | "members" | "auth" | "alarms";
  key: Uint8Array;
  /** null deletes. */
  value: Uint8Array | null;
}

export interface MetaRow {
  table: MetaWrite["table"];
  key: Uint8Array;
  value: Uint8Array;
}

export interface ListenerOptions {
  /** Names the listener in `call` and `http` events ("client", "peer", "metrics"). */
  role: "client" | "peer" | "metrics";
  /** host:port, or a path with `unix` true. */
  address: string;
  unix: boolean;
  grpc: boolean;
  http: boolean;
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
  /** --metrics=extensive: measure how long each gRPC call takes. */
  extensiveMetrics: boolean;
  compactionBatchLimit: number;
  compactionSleepIntervalMs: number;
  watchProgressNotifyIntervalMs: number;
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

/** gRPC status as it crosses: code and etcd's text. */
export interface NativeStatus {
  code: number;
  message: string;
}

export type NativeEvent =
  // --- raft and storage ---
  /** A closed batch waits for a proposal (no grant is held). Answer with an entry that names it, or dropPayloads. */
  | { type: "batch"; payload: PayloadHandle; bytes: number; requests: number }
  /** Under a grant: these entries were stamped, or taken from the leader, and given to the WAL. */
  | { type: "appended"; entries: EntryMeta[] }
  /** Under the append grant a member said, in this term, that it has everything up to index; it is counted already. */
  | { type: "acknowledged"; from: bigint; index: number; term: number }
  /** Under a grant: entries up to index are committed, and apply knows it. */
  | { type: "committed"; index: number }
  /** Everything given to the WAL up to this entry is on stable storage (the entries of the grant of this term). */
  | { type: "stable"; index: number; term: number }
  /** `persist(seq)` and all before it are on stable storage. */
  | { type: "persisted"; seq: number }
  /** Entries up to index were applied to the store. */
  | { type: "applied"; index: number }
  /** Apply stands at this entry until `controlApplied(index)`. */
  | { type: "control"; index: number; term: number; kind: EntryKind; data: Uint8Array }
  /** The store is durable in the revision tree up to index: the log before it may be compacted. */
  | { type: "flushed"; index: number; term: number }
  /** A batch of linearizable reads waits for one read index; answer with readIndexReady(ctx). */
  | { type: "readRequest"; ctx: number }
  /** The answer of `propose(token)`. `data` is the encoded response, null with an error. */
  | { type: "proposed"; token: number; data: Uint8Array | null; error: NativeStatus | null }
  /** A keep-alive that this member does not decide on its own; answer with leaseRenewed. */
  | { type: "leaseRenew"; renewal: number; lease: bigint }
  /** A message of a watch stream that `watchOpen` made: an encoded WatchResponse. */
  | { type: "watchMessage"; stream: number; data: Uint8Array }
  | { type: "leaseChanged"; granted: { id: bigint; ttlSeconds: number }[]; revoked: bigint[] }
  /** A write or sync failed, or data is damaged: the process must end with this message. */
  | { type: "fatal"; message: string }
  /** Writes are refused because the database has reached its quota; once in a drain. Answer with quotaRefused. */
  | { type: "quotaExceeded" }
  /** A log line from Rust. */
  | { type: "log"; level: "debug" | "info" | "warn" | "error"; message: string; fields: [string, string][] }
  // --- other members ---
  /** A raft message; `payloads[i]` is that of `entries[i]`, 0 for an empty one. Those not used must be dropped. */
  | {
      type: "peerMessage";
      from: bigint;
      header: Uint8Array;
      entries: EntryMeta[];
      payloads: PayloadHandle[];
    }
  /** `version` of an active peer's server; `status` and `text` of a refusal, `text` why it is inactive. Gone: nobody
   * listens at its address, so its process ended. */
  | {
      type: "peerLink";
      peer: bigint;
      state: "active" | "inactive" | "gone" | "refused";
      version: string;
      status: number;
      text: string;
    }
  /** Messages to this peer were dropped; raft must not count on them. */
  | { type: "peerUnreachable"; peer: bigint }
  /**
   * A peer's store arrived whole and checked, with the message that announced it. It waits as a file until
   * `installSnapshot` or `dropSnapshot` names it. `meta` holds its control-plane rows.
   */
  | {
      type: "peerSnapshot";
      from: bigint;
      header: Uint8Array;
      snapshot: number;
      index: number;
      term: number;
      meta: MetaRow[];
    }
  /** How `peerSendSnapshot` ended. */
  | { type: "peerSnapshotSent"; peer: bigint; arrived: boolean }
  // --- transport ---
  /** A gRPC call that TypeScript serves. */
  | {
      type: "call";
      call: number;
      path: string;
      metadata: [string, string | Uint8Array][];
      peer: string;
      /** From grpc-timeout; null = none. */
      deadlineMs: number | null;
      listener: string;
    }
  | { type: "callMessage"; call: number; data: Uint8Array }
  | { type: "callHalfClose"; call: number }
  /** The client cancelled, its deadline passed or the connection is gone; nothing more may be sent. */
  | { type: "callCancelled"; call: number; code: number }
  /** The send queue of this call has room again after callSend returned false. */
  | { type: "callDrained"; call: number }
  /** An HTTP/1.1 (or non-gRPC HTTP/2) request, with its whole body. */
  | {
      type: "http";
      request: number;
      method: string;
      /** Path and query as sent. */
      url: string;
      headers: [string, string][];
      body: Uint8Array;
      peer: string;
      listener: string;
    }
  | { type: "httpClosed"; request: number }
  | { type: "httpDrained"; request: number };

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

export interface NativeEngine {
  /** Opens or creates WAL and store off the main thread. Rejects with a message that names file and offset. */
  open(): Promise<Recovered>;
  /** Binds and serves; resolves with the bound addresses in the order given. */
  listen(listeners: ListenerOptions[]): Promise<string[]>;
  /** All events since the last call; called once for every wake. */
  drain(): NativeEvent[];

  // --- raft log ---
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
  compactLog(index: number, term: number): void;
  /** The payloads of entries, for control-plane use (tests, conf changes of a restart). */
  readEntries(first: number, last: number): Promise<{ meta: EntryMeta; data: Uint8Array }[]>;

  // --- requests ---
  /** Propose one operation from TypeScript; answered by `proposed`. */
  propose(kind: OpKind, request: Uint8Array, token: number): void;
  /** Answers the writes that the quota has refused so far. */
  quotaRefused(): void;
  readIndexReady(ctx: number, index: number): void;
  readIndexFailed(ctx: number, error: NativeStatus): void;
  /** A serializable RangeRequest served off the main thread; resolves with the encoded RangeResponse. */
  range(request: Uint8Array): Promise<Uint8Array>;
  /** Term for headers, and what the front must know to refuse requests early. */
  setServing(state: { term: number; hasLeader: boolean; isLearner: boolean; capable: boolean }): void;
  /** Which alarms are set: NOSPACE and CORRUPT change what the front and apply admit. */
  setAlarms(noSpace: boolean, corrupt: boolean): void;

  // --- maintenance ---
  /** The hash at a revision, 0 = the current one, off the main thread. Rejects with etcd's text if it is not there. */
  hashKv(revision: number): Promise<StoreHash>;
  /** Gives back the database's free pages, off the main thread, while the store serves. Rejects with the reason. */
  defragment(): Promise<void>;

  // --- leases ---
  /** This member leads: time runs for its leases from now on, `extendMs` more for each, and checkpoints are due every
   * `checkpointMs`, null = never. */
  leasePromote(extendMs: number, checkpointMs: number | null): void;
  /** This member no longer leads: nothing expires here. */
  leaseDemote(): void;
  /** This member certainly led a moment ago. Without this for 1.5 s every renewal becomes a `leaseRenew` event. */
  leaseAttend(): void;
  /** Up to `max` leases that have expired; each is named again after `retryMs` if it is still there. */
  leaseExpired(max: number, retryMs: number): bigint[];
  /** Up to `max` leases whose checkpoint is due. */
  leaseCheckpoints(max: number): LeaseCheckpoint[];
  leaseRenew(id: bigint): LeaseRenewal;
  /** null: there is no such lease here. */
  leaseTimes(id: bigint): LeaseTimes | null;
  /** Keys in ascending order; null: there is no such lease here. */
  leaseKeys(id: bigint): Uint8Array[] | null;
  /** All leases; on the leader those that expire first come first. */
  leases(): bigint[];
  /** A positive id that no lease has had. */
  nextLeaseId(): bigint;
  /** The answer to a `leaseRenew` event: a TTL, 0 = no such lease, or the error that ends the stream. */
  leaseRenewed(renewal: number, ttlSeconds: number, error: NativeStatus | null): void;

  // --- watch streams of TypeScript itself ---
  /** Opens a watch stream under a number that the caller chose and uses once. */
  watchOpen(stream: number): void;
  /** Gives the stream an encoded WatchRequest; what comes of it are `watchMessage` events. */
  watchSend(stream: number, request: Uint8Array): void;
  /** Ends the stream. Messages of it may still be in the event queue. */
  watchClose(stream: number): void;
  // --- other members ---
  setPeerIdentity(identity: PeerIdentity): void;
  /** Adds a peer, or gives it other URLs. */
  setPeer(peer: bigint, urls: string[]): void;
  removePeer(peer: bigint): void;
  /** Members that were removed for good: their streams are refused. */
  setRemovedPeers(peers: bigint[]): void;
  /**
   * Sends a message with the log entries first..=last (last 0: none), of which the last has term lastTerm, and whose
   * payloads have this size. False: dropped, the peer does not keep up.
   */
  peerSend(to: bigint, header: Uint8Array, first: number, last: number, lastTerm: number, bytes: number): boolean;
  /** Sends a message with entries that are in no log yet; their index and term are 0. */
  peerForward(to: bigint, header: Uint8Array, entries: PersistEntry[]): boolean;
  /** Streams a copy of the store behind this message; ends in `peerSnapshotSent`. */
  peerSendSnapshot(to: bigint, header: Uint8Array): void;
  /**
   * The arrived store takes the place of the own one, and the log starts after it. Queued like `persist`, whose next
   * `persisted` says that this is durable too.
   */
  installSnapshot(snapshot: number): void;
  dropSnapshot(snapshot: number): void;

  // --- transport ---
  /** False: the queue of this call is full, wait for callDrained. */
  callSend(call: number, message: Uint8Array): boolean;
  callEnd(call: number, code: number, message: string, trailers: [string, string | Uint8Array][]): void;
  /** A whole answer. */
  httpRespond(request: number, status: number, headers: [string, string][], body: Uint8Array): void;
  /** A streamed answer: start, any number of writes (false = wait for httpDrained), end. */
  httpStart(request: number, status: number, headers: [string, string][]): void;
  httpWrite(request: number, chunk: Uint8Array): boolean;
  httpEnd(request: number): void;

  // --- observation ---
  storeStatus(): StoreStatus;
  /** The data plane's metrics in Prometheus text exposition format. */
  metrics(): string;

  /**
   * GOAWAY to clients, let calls finish for at most graceMs, then flush and close everything. Events go on coming
   * meanwhile and may be answered; what is called after it resolved is ignored, or refused where there is an answer.
   */
  close(graceMs: number): Promise<void>;
}

export interface NativeBinding {
  /** `wake` is called on the main thread when the event queue becomes non-empty. */
  NativeEngine: new (
    options: EngineOptions,
    wake: () => void,
  ) => NativeEngine;
}
