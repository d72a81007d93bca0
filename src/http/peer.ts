// Endpoints of the peer URLs: what members ask each other, and tools ask members, outside of raft's streams.

import { encodeMemberList } from "../cluster/peerclient.js";
import { toRpcError } from "../errors.js";
import { answerLease } from "../lease/peers.js";
import type { Logger } from "../log/logger.js";
import type { ServiceContext } from "../services/context.js";
import { serveHashKv } from "./hashkv.js";
import { answer, errorAnswer, type HttpAnswer, type HttpRequest, methodNotAllowed, withHeaders } from "./message.js";

const JSON_TYPE = "application/json";
const PROMOTE = "/members/promote/";
/** gRPC texts of a promotion's refusals as the peer endpoint words them. */
const PROMOTE_REFUSALS: Readonly<Record<string, readonly [number, string]>> = {
  "etcdserver: member not found": [404, "membership: ID not found"],
  "etcdserver: can only promote a learner member": [412, "membership: can only promote a learner member"],
  "etcdserver: can only promote a learner member which is in sync with leader": [
    412,
    "etcdserver: can only promote a learner member which is in sync with leader",
  ],
};

/** null: no endpoint of this file. */
export async function servePeer(
  context: ServiceContext,
  request: HttpRequest,
  log: Logger,
): Promise<HttpAnswer | null> {
  const { path, method } = request;
  if (path === "/raft/probing") return answer(200, JSON_TYPE, `{"OK":true,"Now":"${now()}"}\n`);
  if (path === "/members") {
    if (method !== "GET") return withCluster(context, methodNotAllowed());
    return withCluster(context, memberList(context));
  }
  if (path === "/members/hashkv") return withCluster(context, await serveHashKv(context, request, log));
  if (method === "POST") {
    const lease = await answerLease(context.lessor, path, request.body);
    if (lease !== null) return withCluster(context, answer(lease.status, lease.type, lease.body));
  }
  if (path.startsWith(PROMOTE)) return withCluster(context, await promote(context, request));
  return null;
}

/** As Go prints a time: with the fraction that is there. */
function now(): string {
  return new Date().toISOString();
}

function withCluster(context: ServiceContext, given: HttpAnswer): HttpAnswer {
  return withHeaders(given, [["X-Etcd-Cluster-Id", context.clusterId.toString(16)]]);
}

function memberList(context: ServiceContext): HttpAnswer {
  return answer(200, JSON_TYPE, encodeMemberList(context.membership.members()));
}

async function promote(context: ServiceContext, { path, method }: HttpRequest): Promise<HttpAnswer> {
  if (method !== "POST") {
    const error = errorAnswer(405, "Method Not Allowed");
    return { ...error, headers: [["Allow", "POST"], ...error.headers] };
  }
  const text = path.slice(PROMOTE.length);
  if (!/^\d{1,20}$/.test(text)) return errorAnswer(404, `member ${text} not found in cluster`);
  try {
    await context.members.promoteHere(BigInt(text));
    return memberList(context);
  } catch (error) {
    const refusal = PROMOTE_REFUSALS[toRpcError(error).message];
    if (refusal === undefined) return answer(500, JSON_TYPE, '{"message":"Internal Server Error"}');
    return errorAnswer(...refusal);
  }
}
