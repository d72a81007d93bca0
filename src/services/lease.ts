// etcdserverpb.Lease. LeaseGrant, LeaseRevoke and LeaseKeepAlive are served by the data plane for gRPC clients; here
// are the same calls for who comes otherwise, and the two that only look.

import { OpKind } from "../native/binding.js";
import { etcdserverpb } from "../proto/index.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { leaseService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

type Handlers = Omit<HandlersOf<typeof leaseService>, "leaseKeepAlive">;

/** LeaseTimeToLive's TTL for a lease that there is not. */
const NO_LEASE = -1;

export function leaseHandlers(context: ServiceContext): Handlers {
  return {
    leaseGrant: unary(context, (request) => grantLease(context, request)),
    leaseRevoke: unary(context, (request) => revokeLease(context, toBigint(request.ID))),
    leaseTimeToLive: unary(context, (request) => timeToLive(context, request)),
    leaseLeases: unary(context, () => ({
      header: responseHeader(context, context.store().revision),
      leases: context.leases.all().map((id) => ({ ID: toInt64(id) })),
    })),
  };
}

/** Grants a lease through the log; an id of 0 asks for one. @throws an error with a status */
export async function grantLease(
  context: ServiceContext,
  { ID, TTL }: etcdserverpb.LeaseGrantRequest.$Properties,
): Promise<etcdserverpb.LeaseGrantResponse> {
  const { leases } = context;
  const ttl = TTL === null || TTL === undefined ? 0n : toBigint(TTL);
  const minimum = BigInt(leases.ttlSecondsMin);
  const request = {
    ID: ID === null || ID === undefined || ID.isZero() ? toInt64(leases.nextId()) : ID,
    TTL: toInt64(ttl < minimum ? minimum : ttl),
  };
  const encoded = etcdserverpb.LeaseGrantRequest.encode(request).finish();
  return etcdserverpb.LeaseGrantResponse.decode(await context.propose(OpKind.LeaseGrant, encoded));
}

/** Revokes a lease and deletes its keys through the log. @throws an error with a status */
async function revokeLease(
  context: Pick<ServiceContext, "propose">,
  id: bigint,
): Promise<etcdserverpb.LeaseRevokeResponse> {
  const encoded = etcdserverpb.LeaseRevokeRequest.encode({ ID: toInt64(id) }).finish();
  return etcdserverpb.LeaseRevokeResponse.decode(await context.propose(OpKind.LeaseRevoke, encoded));
}

async function timeToLive(
  context: ServiceContext,
  request: etcdserverpb.LeaseTimeToLiveRequest,
): Promise<etcdserverpb.LeaseTimeToLiveResponse.$Properties> {
  const found = await context.leases.timeToLive(toBigint(request.ID), request.keys);
  return {
    header: responseHeader(context, context.store().revision),
    ID: request.ID,
    TTL: toInt64(found?.ttlSeconds ?? NO_LEASE),
    grantedTTL: toInt64(found?.grantedTtlSeconds ?? 0),
    keys: [...(found?.keys ?? [])],
  };
}
