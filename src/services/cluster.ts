// etcdserverpb.Cluster: the member list and its changes.

import { clusterErrors } from "../cluster/errors.js";
import type { Member } from "../cluster/member.js";
import { parseUrl } from "../config/urls.js";
import type { etcdserverpb } from "../proto/index.js";
import { toBigint, toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { clusterService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

export function clusterHandlers(context: ServiceContext): HandlersOf<typeof clusterService> {
  /** Header and list, after the change: what every answer of this service has. */
  const answer = () => ({
    header: responseHeader(context, null),
    members: context.membership.members().map(encodeMember),
  });
  return {
    memberList: unary(context, async (request) => {
      if (request.linearizable) await context.linearizable();
      return answer();
    }),
    memberAdd: unary(context, async (request) => {
      const urls = checkedUrls(request.peerURLs);
      const added = await context.members.add(urls, request.isLearner);
      return { ...answer(), member: encodeMember(added) };
    }),
    memberRemove: unary(context, async (request) => {
      await context.members.remove(toBigint(request.ID));
      return answer();
    }),
    memberUpdate: unary(context, async (request) => {
      await context.members.update(toBigint(request.ID), request.peerURLs);
      return answer();
    }),
    memberPromote: unary(context, async (request) => {
      await context.members.promote(toBigint(request.ID));
      return answer();
    }),
  };
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
