// Ids of members, clusters, requests and leases, computed as etcd computes them.

import { createHash } from "node:crypto";

/**
 * Id of a member: from its peer URLs, and either the cluster's token (a first member) or the second at which it was
 * added, so that the same URLs may come back under a new id.
 */
export function memberIdOf(
  peerUrls: readonly string[],
  origin: { readonly token: string } | { readonly addedAtSeconds: number },
): bigint {
  const hash = createHash("sha1").update([...peerUrls].sort().join(""));
  hash.update("token" in origin ? origin.token : String(origin.addedAtSeconds));
  return hash.digest().readBigUInt64BE(0);
}

/** Id of a cluster: from the ids of its first members. */
export function clusterIdOf(memberIds: readonly bigint[]): bigint {
  const bytes = Buffer.alloc(8 * memberIds.length);
  const ascending = [...memberIds].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (const [position, id] of ascending.entries()) bytes.writeBigUInt64BE(id, 8 * position);
  return createHash("sha1").update(bytes).digest().readBigUInt64BE(0);
}

const SUFFIX_BITS = 48n;
const TIME_BITS = 40n;
const COUNTER_BITS = 8n;

/**
 * Ids that no other member and no earlier run of this one gives: low 16 bits of the member id, 40 bits of the start
 * time in milliseconds, 8 bits that count (and carry into the time).
 */
export class IdGenerator {
  readonly #prefix: bigint;
  #suffix: bigint;

  constructor(memberId: bigint, nowMs: number) {
    this.#prefix = (memberId & 0xffffn) << SUFFIX_BITS;
    this.#suffix = (BigInt(nowMs) & ((1n << TIME_BITS) - 1n)) << COUNTER_BITS;
  }

  next(): bigint {
    this.#suffix += 1n;
    return this.#prefix | (this.#suffix & ((1n << SUFFIX_BITS) - 1n));
  }

  /** An id for a lease: positive, because lease ids are signed on the wire. */
  nextLease(): bigint {
    return this.next() & ((1n << 63n) - 1n);
  }
}
