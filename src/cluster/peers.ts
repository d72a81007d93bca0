// Keeps the links to other members equal to the membership, and tells operators of it in etcd's words.

import { parseUrls } from "../config/urls.js";
import { limits } from "../limits.js";
import type { Logger } from "../log/logger.js";
import type { NativePeers } from "../native/binding.js";
import type { PeerLinks } from "../replica/peerlinks.js";
import type { Member } from "./member.js";
import type { Membership } from "./membership.js";

export interface ClusterPeersParts {
  readonly memberId: bigint;
  readonly peers: Pick<NativePeers, "setRemoved">;
  readonly links: Pick<PeerLinks, "set" | "remove">;
  readonly membership: Membership;
  readonly log: Logger;
}

export class ClusterPeers {
  readonly #parts: ClusterPeersParts;
  /** Peer URLs of those that are linked, by id. */
  readonly #linked = new Map<bigint, string>();
  /** Those of them that the membership never named, the oldest first. */
  readonly #strangers = new Set<bigint>();

  constructor(parts: ClusterPeersParts) {
    this.#parts = parts;
  }

  /** Links members that the log does not name yet: a member that joins was told of them by the cluster. */
  introduce(members: readonly Member[]): void {
    for (const member of members) this.#link(member);
  }

  /**
   * Links a member that called and that the membership does not name. It may have joined, and lead, while this one was
   * away; then what it sends brings the log that names it. Anybody may say so, hence the bound.
   */
  meet(id: bigint, peerUrls: readonly string[]): void {
    const { links, membership, memberId, log } = this.#parts;
    if (id === 0n || id === memberId || this.#linked.has(id) || membership.isRemoved(id)) return;
    const fields = { "local-member-id": memberId, "remote-peer-id": id, "remote-peer-urls": peerUrls };
    const refusal = refusalOf(peerUrls);
    if (refusal !== null) {
      log.warn("a remote peer that is not known has no usable URLs", { ...fields, error: refusal });
      return;
    }
    const [oldest] = this.#strangers;
    if (oldest !== undefined && this.#strangers.size >= limits.strangersMax) {
      log.warn("too many remote peers that are not known; forgetting the oldest", {
        ...fields,
        "forgotten-id": oldest,
      });
      this.#unlink(oldest);
    }
    links.set(id, peerUrls);
    this.#linked.set(id, peerUrls.join(","));
    this.#strangers.add(id);
    log.info("added new remote peer", fields);
  }

  #unlink(id: bigint): void {
    this.#parts.links.remove(id);
    this.#linked.delete(id);
    this.#strangers.delete(id);
  }

  /** To be called after every change of the membership. Only a removal ends a link: the log may lag behind. */
  sync(): void {
    const { peers, membership, memberId, log } = this.#parts;
    for (const member of membership.members()) this.#link(member);
    for (const id of [...this.#linked.keys()]) {
      if (!membership.isRemoved(id)) continue;
      log.info("stopping remote peer", { "remote-peer-id": id });
      this.#unlink(id);
      log.info("stopped remote peer", { "remote-peer-id": id });
      log.info("removed remote peer", { "local-member-id": memberId, "removed-remote-peer-id": id });
    }
    peers.setRemoved(membership.removed());
  }

  #link({ id, peerUrls }: Member): void {
    const { links, memberId, log } = this.#parts;
    const urls = peerUrls.join(",");
    const before = this.#strangers.delete(id) ? undefined : this.#linked.get(id);
    if (id === memberId || before === urls) return;
    if (before === undefined) log.info("starting remote peer", { "remote-peer-id": id });
    links.set(id, peerUrls);
    this.#linked.set(id, urls);
    if (before !== undefined) {
      log.info("updated remote peer", {
        "local-member-id": memberId,
        "updated-remote-peer-id": id,
        "updated-remote-peer-urls": peerUrls,
      });
      return;
    }
    log.info("started remote peer", { "remote-peer-id": id });
    log.info("added remote peer", {
      "local-member-id": memberId,
      "remote-peer-id": id,
      "remote-peer-urls": peerUrls,
    });
  }
}

/** Why these are no URLs of a member; null: they are. */
function refusalOf(peerUrls: readonly string[]): Error | null {
  try {
    parseUrls(peerUrls.join(","));
    return null;
  } catch (error) {
    return error as Error;
  }
}
