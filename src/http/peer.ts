// Endpoints of the peer URLs: what members ask each other, and tools ask members, outside of raft's streams.

import { Metadata, status } from "@grpc/grpc-js";
import { encodeMemberList } from "../cluster/peerclient.js";
import { toRpcError } from "../errors.js";
import { answerLease, isLeasePath } from "../lease/peers.js";
import type { Logger } from "../log/logger.js";
import { ERRORS } from "../proto/errors.js";
import type { ServiceContext } from "../services/context.js";
import { callerOf } from "../services/handlers.js";
import { serveHashKv } from "./hashkv.js";
import { answer, errorAnswer, type HttpAnswer, type HttpRequest, methodNotAllowed, withHeaders } from "./message.js";
import { answerProbe } from "./probing.js";

const JSON_TYPE = "application/json";
const PROMOTE = "/members/promote/";
/** gRPC texts of a promotion's refusals as the peer endpoint words them. */
const PROMOTE_REFUSALS: Readonly<Record<string, readonly [number, string]>> = {
  [ERRORS.memberNotFound[1]]: [404, "membership: ID not found"],
  [ERRORS.notLearner[1]]: [412, "membership: can only promote a learner member"],
  [ERRORS.learnerNotReady[1]]: [412, ERRORS.learnerNotReady[1]],
};

/** Codes of who may not ask for a promotion, as HTTP has them. */
const CALLER_REFUSALS: Readonly<Partial<Record<status, number>>> = {
  [status.INVALID_ARGUMENT]: 400,
  [status.FAILED_PRECONDITION]: 400,
  [status.UNAUTHENTICATED]: 401,
  [status.PERMISSION_DENIED]: 403,
};

type Endpoint = (context: ServiceContext, request: HttpRequest, log: Logger) => HttpAnswer | Promise<HttpAnswer>;

const GET_ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  "/members": memberList,
  "/members/hashkv": serveHashKv,
  "/downgrade/enabled": downgradeEnabled,
};

/** null: no endpoint of this file. */
export async function servePeer(
  context: ServiceContext,
  request: HttpRequest,
  log: Logger,
): Promise<HttpAnswer | null> {
  const { path, method } = request;
  if (path === "/raft/probing") return answerProbe();
  const endpoint = GET_ENDPOINTS[path];
  if (endpoint) return method === "GET" ? endpoint(context, request, log) : methodNotAllowed();
  if (isLeasePath(path)) {
    // etcd does not say here what is allowed.
    if (method !== "POST") return errorAnswer(405, "Method Not Allowed");
    const lease = await answerLease(context.lessor, path, request.body);
    if (typeof lease.body === "string") return errorAnswer(lease.status, lease.body);
    return answer(lease.status, lease.type, lease.body);
  }
  if (!path.startsWith(PROMOTE)) return null;
  return method === "POST" ? withCluster(context, await promote(context, request)) : methodNotAllowed("POST");
}

function withCluster(context: ServiceContext, given: HttpAnswer): HttpAnswer {
  return withHeaders(given, [["X-Etcd-Cluster-Id", context.clusterId.toString(16)]]);
}

function memberList(context: ServiceContext): HttpAnswer {
  return withCluster(context, answer(200, JSON_TYPE, encodeMemberList(context.membership.members())));
}

async function downgradeEnabled(context: ServiceContext): Promise<HttpAnswer> {
  try {
    await context.linearizable();
  } catch (error) {
    return withCluster(context, errorAnswer(500, `failed linearized read: ${(error as Error).message}`));
  }
  return withCluster(context, answer(200, "text/plain", String(context.membership.downgrade.enabled)));
}

/** The only question of members to each other behind which there is a client: the token that it came with is sent along. */
async function promote(context: ServiceContext, { path, headers }: HttpRequest): Promise<HttpAnswer> {
  const text = path.slice(PROMOTE.length);
  if (!/^\d{1,20}$/.test(text)) return errorAnswer(404, `member ${text} not found in cluster`);
  try {
    await callerOf(context, asMetadata(headers.get("authorization")), "admin");
  } catch (error) {
    const { code, message } = toRpcError(error);
    return errorAnswer(CALLER_REFUSALS[code] ?? 500, message);
  }
  try {
    await context.members.promoteHere(BigInt(text));
    return answer(200, JSON_TYPE, encodeMemberList(context.membership.members()));
  } catch (error) {
    const refusal = PROMOTE_REFUSALS[toRpcError(error).message];
    if (refusal === undefined) return answer(500, JSON_TYPE, '{"message":"Internal Server Error"}');
    return errorAnswer(...refusal);
  }
}

/** A token in the header of a member's question, as a client's call has it. */
function asMetadata(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}
