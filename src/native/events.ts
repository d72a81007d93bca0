// What the data plane tells the control plane; `NativeEngine.drain` brings it (binding.ts).

import type { EntryKind, EntryMeta, MetaRow, NativeStatus, PayloadHandle } from "./values.js";

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
  /**
   * Calls came with a token that is not known here: one that names an index which is not applied yet, or a JWT. They
   * wait for `auth.identified(ask)`. A token is asked for once at a time.
   */
  | { type: "identify"; ask: number; token: string }
  /** A message of a watch stream that `watchOpen` made: an encoded WatchResponse. */
  | { type: "watchMessage"; stream: number; data: Uint8Array }
  /** A write or sync failed, or data is damaged: the process must end with this message. */
  | { type: "fatal"; message: string }
  /** Writes are refused because the database has reached its quota; once in a drain. Answer with quotaRefused. */
  | { type: "quotaExceeded" }
  /** A log line from Rust. */
  | { type: "log"; level: "debug" | "info" | "warn" | "error"; message: string; fields: [string, string | string[]][] }
  /** A unary call that took too long (`warn`), or one of all where all are logged; figures as etcd counts, -1 = not. */
  | {
      type: "requestStats";
      warn: boolean;
      /** Microseconds since 1970. */
      startUs: number;
      /** As Go writes a duration. */
      spent: string;
      peer: string;
      path: string;
      requestCount: number;
      requestBytes: number;
      responseCount: number;
      responseBytes: number;
      /** The request without its values. */
      content: string;
    }
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
   * listens at its address, so its process ended. `ageMs`: how long ago that was. */
  | {
      type: "peerLink";
      peer: bigint;
      state: "active" | "inactive" | "gone" | "refused";
      ageMs: number;
      version: string;
      status: number;
      text: string;
    }
  /** A member of the same cluster, by its own word, called that `setPeer` never named. It was refused and calls again. */
  | { type: "peerStranger"; id: bigint; peerUrls: string[] }
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
      /** The client's user by its certificate, which was verified; null = by it there is none. */
      commonName: string | null;
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
      /** Why a linearizable read failed that this request has waited for already; null = it has for none. */
      failedRead: string | null;
      /** As for calls. */
      commonName: string | null;
    }
  | { type: "httpClosed"; request: number }
  | { type: "httpDrained"; request: number };
