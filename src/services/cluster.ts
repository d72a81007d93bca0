// etcdserverpb.Cluster: the member list. Changes of the membership are in missing.ts until they are there.

import type { Member } from "../cluster/member.js";
import type { etcdserverpb } from "../proto/index.js";
import { toUint64 } from "../wire/int64.js";
import { responseHeader, type ServiceContext } from "./context.js";
import type { clusterService } from "./definitions.js";
import { type HandlersOf, unary } from "./handlers.js";

type Handlers = Pick<HandlersOf<typeof clusterService>, "memberList">;

export function clusterHandlers(context: ServiceContext): Handlers {
  return {
    memberList: unary(context, async (request) => {
      if (request.linearizable) await context.linearizable();
      return {
        header: responseHeader(context, null),
        members: context.membership.members().map(encodeMember),
      };
    }),
  };
}

/** A member as clients see it. */
export function encodeMember(member: Member): etcdserverpb.Member.$Properties {
  return {
    ID: toUint64(member.id),
    name: member.name,
    peerURLs: [...member.peerUrls],
    clientURLs: [...member.clientUrls],
    isLearner: member.isLearner,
  };
}
