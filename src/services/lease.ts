// etcdserverpb.Lease. LeaseGrant, LeaseRevoke and LeaseKeepAlive are served by the data plane for gRPC clients; here
// are the same calls for who comes otherwise, and the two that only look.

import { type Caller, OpKind } from "../native/binding.js";
import { etcdserverpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { leaseService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

type Handlers = Omit<HandlersOf<typeof leaseService>, "leaseKeepAlive">;

/** The end of the range of a single key. */
const NO_END = new Uint8Array();

/** LeaseTimeToLive's TTL for a lease that there is not. */
const NO_LEASE = -1;

export function leaseHandlers(context: ServiceContext): Handlers {
  return {
    leaseGrant: unary(context, { auth: "known" }, (request, caller) => grantLease(context, request, caller)),
    // Whether the caller may delete the lease's keys is decided when the entry is applied.
    leaseRevoke: unary(context, { auth: "resolved" }, (request, caller) =>
      revokeLease(context, toBigint(request.ID), caller),
    ),
    leaseTimeToLive: unary(context, { auth: "known" }, (request, caller) => timeToLive(context, request, caller)),
    leaseLeases: unary(context, { auth: "known" }, (_request, caller) => {
      const ids = context.leases.all();
      // The list tells of every lease, so one that is not the caller's refuses it whole.
      if (context.auth.enabled) for (const id of ids) context.permissions.readLease(caller, id);
      return {
        header: responseHeader(context, context.store().revision),
        leases: ids.map((id) => ({ ID: toInt64(id) })),
      };
    }),
  };
}

/** Grants a lease through the log; an id of 0 asks for one. @throws an error with a status */
export async function grantLease(
  context: ServiceContext,
  { ID, TTL }: etcdserverpb.LeaseGrantRequest.$Properties,
  caller: Caller,
): Promise<etcdserverpb.LeaseGrantResponse> {
  const { leases } = context;
  const ttl = TTL === null || TTL === undefined ? 0n : toBigint(TTL);
  const minimum = BigInt(leases.ttlSecondsMin);
  const request = {
    ID: ID === null || ID === undefined || ID.isZero() ? toInt64(leases.nextId()) : ID,
    TTL: toInt64(ttl < minimum ? minimum : ttl),
  };
  const encoded = etcdserverpb.LeaseGrantRequest.encode(request).finish();
  return etcdserverpb.LeaseGrantResponse.decode(await context.propose(OpKind.LeaseGrant, encoded, caller));
}

/** Revokes a lease and deletes its keys through the log. @throws an error with a status */
async function revokeLease(
  context: Pick<ServiceContext, "propose">,
  id: bigint,
  caller: Caller,
): Promise<etcdserverpb.LeaseRevokeResponse> {
  const encoded = etcdserverpb.LeaseRevokeRequest.encode({ ID: toInt64(id) }).finish();
  return etcdserverpb.LeaseRevokeResponse.decode(await context.propose(OpKind.LeaseRevoke, encoded, caller));
}

async function timeToLive(
  context: ServiceContext,
  { ID, keys }: etcdserverpb.LeaseTimeToLiveRequest,
  caller: Caller,
): Promise<etcdserverpb.LeaseTimeToLiveResponse.$Properties> {
  const id = toBigint(ID);
  if (keys) context.permissions.readLease(caller, id);
  const found = await context.leases.timeToLive(id, keys);
  const attached = found?.keys ?? [];
  // Again: keys may have been attached, and rights taken away, while the leader was asked.
  if (context.auth.enabled) {
    for (const key of attached) context.permissions.read(caller, key, NO_END);
  }
  return {
    header: responseHeader(context, context.store().revision),
    ID,
    TTL: toInt64(found?.ttlSeconds ?? NO_LEASE),
    grantedTTL: toInt64(found?.grantedTtlSeconds ?? 0),
    keys: [...attached],
  };
}
