// GET /members/hashkv of the peer URLs: what members compare to find out whether one of them is damaged.

import { toRpcError } from "../errors.js";
import type { Logger } from "../log/logger.js";
import type { ServiceContext } from "../services/context.js";
import { answer, errorAnswer, type HttpAnswer, type HttpRequest, withHeaders } from "./message.js";

/** gRPC texts begin with it; this endpoint's do not. */
const GRPC_PREFIX = "etcdserver: ";

export async function serveHashKv(context: ServiceContext, request: HttpRequest, log: Logger): Promise<HttpAnswer> {
  const named = request.headers.get("x-etcd-cluster-id");
  if (named !== undefined && named !== "" && named !== context.clusterId.toString(16)) {
    return errorAnswer(412, "cluster ID mismatch");
  }
  const revision = requestedRevision(request.body);
  if (revision === null) return errorAnswer(400, "error unmarshalling request");
  try {
    const found = await context.hashKv(revision);
    const body = {
      header: { revision: found.revision },
      hash: found.hash,
      compact_revision: found.compactRevision,
      hash_revision: found.hashRevision,
    };
    const cluster = [["X-Etcd-Cluster-Id", context.clusterId.toString(16)]] as const;
    return withHeaders(answer(200, "application/json", JSON.stringify(body)), cluster);
  } catch (error) {
    const text = toRpcError(error).message.replace(GRPC_PREFIX, "");
    log.warn("failed to get hashKV", { "requested-revision": revision, error: text });
    return errorAnswer(400, text);
  }
}

/** The revision that the body names, 0 without one; null: it is no such request. */
function requestedRevision(body: Uint8Array): number | null {
  try {
    const request: unknown = JSON.parse(Buffer.from(body).toString());
    if (typeof request !== "object" || Array.isArray(request)) return null;
    const revision = (request as { revision?: unknown } | null)?.revision ?? 0;
    return Number.isSafeInteger(revision) ? Number(revision) : null;
  } catch {
    return null;
  }
}
