// The links to other members as the replica sees them. One voter alone needs none.

import type { MemberId, Message, SnapshotMeta } from "../raft/index.js";

/** What a transport tells the replica. */
export interface PeerSink {
  /** Calls when everything that came of the messages before is done. */
  later(call: () => void): void;
  /** A message arrived. The payloads of its entries are handles of the own data plane, or bytes. */
  message(message: Message): void;
  /** The connection was lost: optimistic sending stops. */
  unreachable(id: MemberId): void;
  /** The connection was lost and nobody listens at the address any more: the process of `id` ended. */
  refused(id: MemberId): void;
  /** How the snapshot on its way to `id` ended. */
  snapshotSent(id: MemberId, arrived: boolean): void;
}

export interface PeerTransport {
  attach(sink: PeerSink): void;
  /**
   * Sends, or drops: raft repeats what matters. Messages may arrive late, out of order and more than once, except
   * `propose`: it arrives at most once, as its requests would be executed twice.
   *
   * Payloads of `append` entries are found in the data plane by index. A `snapshot` message goes out with a stream of
   * the store whose applied index may be higher than in the message; the transport then writes the stream's own index
   * and term into it. It is delivered when the stream is complete.
   */
  send(messages: readonly Message[]): void;
  /** Whether the link to `id` has been up since then, in the clock's milliseconds. */
  connectedSince(id: MemberId, sinceMs: number): boolean;
  /**
   * The received store takes the place of the own one, and the log starts after it. Queued like NativeLog.persist
   * and before the persist of the same Ready, whose `persisted` says that both are durable.
   */
  installSnapshot(snapshot: SnapshotMeta): void;
}
