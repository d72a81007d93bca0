// The links to other members over the data plane: raft's messages out, the peers' messages in, and who is connected.

import type { Logger } from "../log/logger.js";
import type { MetaRow, NativeEngine, NativeEvent, NativeLog, NativePeers, PersistEntry } from "../native/binding.js";
import type { MemberId, Message, ProposedEntry, SnapshotMeta } from "../raft/index.js";
import { restoredConfState } from "./bootstrap.js";
import type { Clock } from "./clock.js";
import { decodeMessage, encodeMessage } from "./peercodec.js";
import { PeerTally } from "./peertally.js";
import type { PeerSink, PeerTransport } from "./transport.js";

export type PeerEvent = Extract<
  NativeEvent,
  { type: "peerMessage" | "peerLink" | "peerUnreachable" | "peerSnapshot" | "peerSnapshotSent" }
>;

export interface PeerLinksOptions {
  id: MemberId;
  clock: Clock;
  log: Logger;
  /** --heartbeat-interval. */
  heartbeatMs: number;
  /** A peer says that this member was removed from the cluster for good. */
  removed: () => void;
  /** The control-plane rows of a store that is about to take the place of the own one. */
  snapshotArrived: (meta: readonly MetaRow[]) => void;
}

export class PeerLinks implements PeerTransport {
  readonly #peers: NativePeers;
  readonly #log: Pick<NativeLog, "dropPayloads">;
  readonly #options: PeerLinksOptions;
  readonly tally: PeerTally;
  #sink: PeerSink | null = null;
  readonly #linked = new Set<MemberId>();
  /** Peers whose link is up, and since when in the clock's milliseconds. */
  readonly #connected = new Map<MemberId, number>();
  readonly #versions = new Map<MemberId, string>();
  /** Why those that are not connected are not. */
  readonly #failures = new Map<MemberId, string>();
  /** The arrived store that raft is being told of; raft takes it in the same turn or never. */
  #arrived: { handle: number; index: number; meta: readonly MetaRow[] } | null = null;

  constructor(engine: Pick<NativeEngine, "peers" | "log">, options: PeerLinksOptions) {
    this.#peers = engine.peers;
    this.#log = engine.log;
    this.#options = options;
    this.tally = new PeerTally(options.heartbeatMs);
  }

  attach(sink: PeerSink): void {
    this.#sink = sink;
  }

  /** Adds a member, or gives it other peer URLs. */
  set(id: MemberId, peerUrls: readonly string[]): void {
    if (id === this.#options.id) return;
    this.#linked.add(id);
    this.#peers.set(id, [...peerUrls]);
  }

  remove(id: MemberId): void {
    this.#peers.remove(id);
    this.#linked.delete(id);
    this.#connected.delete(id);
    this.#versions.delete(id);
    this.#failures.delete(id);
    this.tally.forget(id);
  }

  send(messages: readonly Message[]): void {
    const lost = new Set<MemberId>();
    for (const message of messages) if (!this.#sendOne(message)) lost.add(message.to);
    for (const id of lost) this.#sink?.unreachable(id);
  }

  #sendOne(message: Message): boolean {
    const header = encodeMessage(message);
    if (message.type === "propose") {
      return this.#peers.forward(message.to, header, message.entries.map(forwarded));
    }
    if (message.type === "snapshot") {
      this.#peers.sendSnapshot(message.to, header);
      return true;
    }
    if (message.type === "heartbeat") this.#timeHeartbeat(message);
    if (message.type !== "append") return this.#peers.send(message.to, header, 0, 0, 0, 0);
    const last = message.entries.at(-1);
    if (last === undefined) return this.#peers.send(message.to, header, 0, 0, 0, 0);
    const bytes = message.entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const first = message.prevIndex + 1;
    return this.#peers.send(message.to, header, first, last.index, last.term, bytes);
  }

  #timeHeartbeat({ to, term }: Message): void {
    const { clock, heartbeatMs, log } = this.#options;
    const lateMs = this.tally.heartbeat(to, term, clock.nowMs());
    if (lateMs === 0) return;
    const text =
      "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk";
    log.warn(text, {
      to: to.toString(16),
      "heartbeat-interval": `${heartbeatMs}ms`,
      "exceeded-duration": `${lateMs}ms`,
    });
  }

  /** One event of the data plane that is about peers. */
  handle(event: PeerEvent): void {
    switch (event.type) {
      case "peerMessage":
        this.#receive(event);
        break;
      case "peerLink":
        this.#linkChanged(event);
        break;
      case "peerSnapshot":
        this.#receiveSnapshot(event);
        break;
      case "peerSnapshotSent":
        this.#sink?.snapshotSent(event.peer, event.arrived);
        break;
      case "peerUnreachable":
        this.#sink?.unreachable(event.peer);
        break;
    }
  }

  #receive({ from, header, entries, payloads }: Extract<PeerEvent, { type: "peerMessage" }>): void {
    let message: Message;
    try {
      message = decodeMessage(header, from, this.#options.id, entries, payloads);
    } catch (error) {
      this.#options.log.warn("failed to decode message from peer", {
        "remote-peer-id": from.toString(16),
        error: String(error),
      });
      this.#log.dropPayloads(payloads, { code: 13, message: "undecodable" });
      return;
    }
    this.#sink?.message(message);
  }

  /** The store says where it stands: it may be ahead of the message that announced it. */
  #receiveSnapshot(event: Extract<PeerEvent, { type: "peerSnapshot" }>): void {
    const { from, header, snapshot: handle, index, term, meta } = event;
    const message = decodeMessage(header, from, this.#options.id, [], []);
    if (message.type !== "snapshot") throw new Error(`a store came with a ${message.type} message`);
    const confState = restoredConfState(meta);
    this.#arrived = { handle, index, meta };
    const sink = this.#sink;
    sink?.message({ ...message, snapshot: { index, term, confState } });
    // Raft decides within this turn, but not within the call: the event itself is a part of the turn.
    const dropUnlessTaken = () => {
      if (this.#arrived?.handle !== handle) return;
      this.#arrived = null;
      this.#peers.dropSnapshot(handle);
    };
    if (sink === null) dropUnlessTaken();
    else sink.later(dropUnlessTaken);
  }

  /** Raft takes the store that has just arrived. */
  installSnapshot(snapshot: SnapshotMeta): void {
    const arrived = this.#arrived;
    if (arrived?.index !== snapshot.index) throw new Error(`no store of entry ${snapshot.index} has arrived`);
    this.#arrived = null;
    this.#options.snapshotArrived(arrived.meta);
    this.#peers.installSnapshot(arrived.handle);
  }

  #linkChanged(event: Extract<PeerEvent, { type: "peerLink" }>): void {
    // A link that was being dialled when it was removed still says how that ended.
    if (!this.#linked.has(event.peer)) return;
    const { log, clock } = this.#options;
    const fields = { "peer-id": event.peer.toString(16) };
    if (event.state === "active") {
      // When it came up, not when JavaScript had time to hear of it.
      this.#connected.set(event.peer, clock.nowMs() - event.ageMs);
      this.#versions.set(event.peer, event.version);
      this.#failures.delete(event.peer);
      log.info("peer became active", fields);
      return;
    }
    const wasConnected = this.#connected.delete(event.peer);
    this.#failures.set(event.peer, event.text);
    if (wasConnected) {
      log.warn("peer became inactive (message send to peer failed)", { ...fields, error: event.text });
    }
    if (event.state === "gone") this.#sink?.refused(event.peer);
    if (event.state === "refused") {
      log.warn("peer refused the stream", { ...fields, status: event.status, error: event.text });
      if (event.status === removedStatus) this.#options.removed();
    }
  }

  /** Tells operators who is out of reach and why: a peer that never was in reach has no other line. */
  reportUnreachable(): void {
    for (const [id, error] of this.#failures) {
      this.#options.log.warn("prober detected unhealthy status", {
        "round-tripper-name": "ROUND_TRIPPER_RAFT_MESSAGE",
        "remote-peer-id": id.toString(16),
        rtt: "0s",
        error,
      });
    }
  }

  connectedSince(id: MemberId, sinceMs: number): boolean {
    const since = this.#connected.get(id);
    return since !== undefined && since <= sinceMs;
  }

  isConnected(id: MemberId): boolean {
    return this.#connected.has(id);
  }

  /** Since when the link is up, in the clock's milliseconds; null: it is not. */
  connectedAtMs(id: MemberId): number | null {
    return this.#connected.get(id) ?? null;
  }

  /** The server version that a peer named when its link came up; null: it never did. */
  version(id: MemberId): string | null {
    return this.#versions.get(id) ?? null;
  }
}

/** A proposal as it goes to the leader: its payload is in the data plane, here, or empty. */
function forwarded({ kind, payload }: ProposedEntry): PersistEntry {
  return {
    index: 0,
    term: 0,
    kind,
    payload: typeof payload === "number" ? payload : 0,
    data: payload instanceof Uint8Array ? payload : null,
  };
}

/** "Gone": the answer of a member to one that was removed. */
const removedStatus = 410;
