// etcdserverpb.Cluster: the member list and its changes.

import type { Metadata } from "@grpc/grpc-js";
import { clusterErrors } from "../cluster/errors.js";
import type { Member } from "../cluster/member.js";
import { parseUrl } from "../config/urls.js";
import type { etcdserverpb } from "../proto/index.js";
import { toBigint, toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { clusterService } from "./definitions.js";
import { callerOf, type HandlersOf, unary } from "./handlers.js";

const ADMIN = { auth: "admin" } as const;

export function clusterHandlers(context: ServiceContext): HandlersOf<typeof clusterService> {
  /** Header and list, after the change: what every answer of this service has. */
  const answer = () => ({
    header: responseHeader(context, null),
    members: context.membership.members().map(encodeMember),
  });
  return {
    // As in etcd, an identity is asked for only behind the read index.
    memberList: unary(context, { auth: "ignored" }, async (request, _caller, { metadata }) => {
      if (request.linearizable) await context.linearizable();
      await callerOf(context, metadata, "known");
      return answer();
    }),
    // As in etcd, URLs that are none are refused before anybody is asked who they are.
    memberAdd: unary(context, { auth: "ignored" }, async (request, _caller, { metadata }) => {
      const urls = checkedUrls(request.peerURLs);
      await callerOf(context, metadata, "admin");
      const added = await context.members.add(urls, request.isLearner);
      return { ...answer(), member: encodeMember(added) };
    }),
    memberRemove: unary(context, ADMIN, async (request) => {
      await context.members.remove(toBigint(request.ID));
      return answer();
    }),
    memberUpdate: unary(context, ADMIN, async (request) => {
      await context.members.update(toBigint(request.ID), request.peerURLs);
      return answer();
    }),
    memberPromote: unary(context, ADMIN, async (request, _caller, { metadata }) => {
      await context.members.promote(toBigint(request.ID), tokenIn(metadata));
      return answer();
    }),
  };
}

/** The token that a call came with, for the leader to find out for itself who calls. */
function tokenIn(metadata: Metadata): string | null {
  const given = metadata.get("token")[0] ?? metadata.get("authorization")[0];
  return given === undefined ? null : given.toString();
}

/** The peer URLs of a new member. Throws if there is none, or one is none. */
function checkedUrls(given: readonly string[]): string[] {
  if (given.length === 0) throw clusterErrors.badUrls();
  try {
    return given.map((url) => parseUrl(url).text).sort();
  } catch {
    throw clusterErrors.badUrls();
  }
}

/** A member as clients see it. */
function encodeMember(member: Member): etcdserverpb.Member.$Properties {
  return {
    ID: toUint64(member.id),
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}
