// Lease calls between members, as etcd has them on the peer URLs: the forwarder of one that does not lead, and the
// answers of the one that does.

import type { Membership } from "../cluster/membership.js";
import type { Ask, PeerAnswer } from "../cluster/peerclient.js";
import { limits } from "../limits.js";
import { etcdserverpb, leasepb } from "../proto/index.js";
import { ReplicaError } from "../replica/errors.js";
import { toBigint, toInt64 } from "../wire/int64.js";
import { leaseErrors } from "./errors.js";
import type { LeaseForwarder, LeaseStatus } from "./forward.js";
import type { Lessor } from "./lessor.js";

const PROTOBUF = "application/protobuf";
const NOT_FOUND = "lease not found";
const PATHS = { renew: "/leases", timeToLive: "/leases/internal" } as const;

const { LeaseKeepAliveRequest, LeaseKeepAliveResponse } = etcdserverpb;
const { LeaseInternalRequest, LeaseInternalResponse } = leasepb;

/** Asks the leader at its peer URLs, one after the other until one answers, within `timeoutMs` for all of them. */
export function leaseForwarder(membership: Membership, askPeer: Ask, timeoutMs: number): LeaseForwarder {
  /** null: there is no such lease. */
  const ask = async (leader: bigint, path: string, body: Uint8Array): Promise<Buffer | null> => {
    let failure: unknown = leaseErrors.noLeader();
    const urls = membership.member(leader)?.peerUrls ?? [];
    for (const url of urls) {
      const headers = { "Content-Type": PROTOBUF };
      try {
        const question = { method: "POST", url, path, headers, body, timeoutMs: timeoutMs / urls.length } as const;
        return answerOf(await askPeer(question));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };
  return {
    renew: async (leader, id) => {
      const body = await ask(leader, PATHS.renew, LeaseKeepAliveRequest.encode({ ID: toInt64(id) }).finish());
      return body === null ? 0 : Number(toBigint(LeaseKeepAliveResponse.decode(body).TTL));
    },
    timeToLive: async (leader, id, keys) => {
      const request = LeaseInternalRequest.encode({ LeaseTimeToLiveRequest: { ID: toInt64(id), keys } });
      const body = await ask(leader, PATHS.timeToLive, request.finish());
      return body === null ? null : decodeStatus(body, keys);
    },
  };
}

/** null: there is no such lease. Throws ReplicaError if the member could not answer. */
function answerOf({ status, body }: PeerAnswer): Buffer | null {
  if (status === 200) return body;
  const text = body.toString().trimEnd();
  if (status === 404 && text === NOT_FOUND) return null;
  throw status === 408 ? leaseErrors.appliedTooLate() : new ReplicaError(2, text);
}

function decodeStatus(body: Uint8Array, keys: boolean): LeaseStatus {
  const status = LeaseInternalResponse.decode(body).LeaseTimeToLiveResponse;
  if (!status) throw new ReplicaError(2, "an answer without a lease");
  return {
    ttlSeconds: Number(toBigint(status.TTL ?? toInt64(0))),
    grantedTtlSeconds: Number(toBigint(status.grantedTTL ?? toInt64(0))),
    keys: keys ? (status.keys ?? []) : null,
  };
}

export interface LeaseAnswer {
  readonly status: number;
  readonly type: string;
  /** A text is why there is no answer. */
  readonly body: string | Uint8Array;
}

/** Whether other members' lease calls come to this path. */
export function isLeasePath(path: string): boolean {
  return path === PATHS.renew || path === PATHS.timeToLive;
}

/** What this member's lessor answers to another at a path of lease calls. */
export async function answerLease(
  lessor: Pick<Lessor, "renewHere" | "timeToLiveHere">,
  path: string,
  body: Uint8Array,
): Promise<LeaseAnswer> {
  if (body.length > limits.leaseCallBytesMax) return refusal(413, "request body too large");
  try {
    const answer = path === PATHS.renew ? await renew(lessor, body) : await timeToLive(lessor, body);
    return answer === null ? refusal(404, NOT_FOUND) : { status: 200, type: PROTOBUF, body: answer };
  } catch (error) {
    const { message } = error as Error;
    if (message === leaseErrors.appliedTooLate().message) {
      return refusal(408, "waiting for node to catch up its applied index has timed out");
    }
    return refusal(path === PATHS.renew ? 400 : 500, message);
  }
}

function refusal(status: number, text: string): LeaseAnswer {
  return { status, type: "text/plain; charset=utf-8", body: text };
}

async function renew(lessor: Pick<Lessor, "renewHere">, body: Uint8Array): Promise<Uint8Array | null> {
  const id = toBigint(LeaseKeepAliveRequest.decode(body).ID);
  const ttl = await lessor.renewHere(id);
  return ttl === 0 ? null : LeaseKeepAliveResponse.encode({ ID: toInt64(id), TTL: toInt64(ttl) }).finish();
}

async function timeToLive(lessor: Pick<Lessor, "timeToLiveHere">, body: Uint8Array): Promise<Uint8Array | null> {
  const request = LeaseInternalRequest.decode(body).LeaseTimeToLiveRequest;
  const id = toBigint(request?.ID ?? toInt64(0));
  const status = await lessor.timeToLiveHere(id, request?.keys ?? false);
  if (status === null) return null;
  return LeaseInternalResponse.encode({
    LeaseTimeToLiveResponse: {
      ID: toInt64(id),
      TTL: toInt64(status.ttlSeconds),
      grantedTTL: toInt64(status.grantedTtlSeconds),
      keys: status.keys === null ? [] : [...status.keys],
    },
  }).finish();
}
