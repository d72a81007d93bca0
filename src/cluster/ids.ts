// Ids of members and clusters, computed as etcd computes them.

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
