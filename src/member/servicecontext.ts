// What the services see of the member, made of its parts.

import type { Auth } from "../auth/auth.js";
import type { Alarm, Alarms } from "../cluster/alarms.js";
import type { MembershipChanges } from "../cluster/changes.js";
import type { Membership } from "../cluster/membership.js";
import { RpcError, rpcErrorOfText } from "../errors.js";
import type { Lessor } from "../lease/lessor.js";
import type { NativeEngine, NativeStatus } from "../native/binding.js";
import type { WatchStreams } from "../native/watch.js";
import { etcdserverpb } from "../proto/index.js";
import type { Replica } from "../replica/replica.js";
import type { ServiceContext } from "../services/context.js";
import type { Identity } from "./datadir.js";

export interface ContextParts {
  readonly engine: NativeEngine;
  readonly replica: Replica;
  readonly identity: Identity;
  readonly membership: Membership;
  readonly alarms: Alarms;
  readonly auth: Auth;
  readonly members: MembershipChanges;
  readonly transferLeader: (to: bigint) => Promise<void>;
  readonly quotaBytes: number;
  readonly defragment: () => Promise<void>;
  readonly leaseTtlSecondsMin: number;
  readonly lessor: Lessor;
  readonly watches: WatchStreams;
}

/** The cheapest read there is: the number of keys of one name. */
const PROBE = etcdserverpb.RangeRequest.encode({
  key: Buffer.from("a"),
  serializable: true,
  countOnly: true,
}).finish();

export function serviceContext(parts: ContextParts): ServiceContext {
  const { engine, replica, identity, membership, alarms, auth, members, quotaBytes, lessor, watches } = parts;
  const table = engine.leases;
  const permissions = engine.auth;
  return {
    ...identity,
    membership,
    alarms,
    auth,
    permissions: {
      read: (caller, key, rangeEnd) => unlessRefused(permissions.checkRange(caller, key, rangeEnd, false)),
      readLease: (caller, id) => unlessRefused(permissions.checkLease(caller, id, false)),
    },
    members,
    transferLeader: parts.transferLeader,
    quotaBytes,
    raft: () => {
      const { term, committed } = replica.status();
      return { term, leader: replica.leader(), committed, applied: replica.appliedIndex };
    },
    store: () => engine.storeStatus(),
    linearizable: () => replica.readIndex(),
    serializableRead: async () => {
      await engine.range(PROBE, "internal");
    },
    propose: (kind, request, caller) => replica.proposeOp(kind, request, caller),
    range: (request, caller) => engine.range(request, caller).catch(withStatus),
    leases: {
      ttlSecondsMin: parts.leaseTtlSecondsMin,
      nextId: () => table.nextId(),
      all: () => table.all(),
      timeToLive: (id, keys) => lessor.timeToLive(id, keys),
    },
    lessor,
    watches,
    hashKv: (revision) => engine.hashKv(revision).catch(withStatus),
    defragment: parts.defragment,
    changeAlarm: async (change) => (await replica.proposeControl({ type: "alarm", ...change })) as Alarm | null,
  };
}

/** What the data plane rejects with is a text; clients get the status that belongs to it. */
function withStatus(error: Error): never {
  throw rpcErrorOfText(error.message) ?? error;
}

function unlessRefused(refusal: NativeStatus | null): void {
  if (refusal !== null) throw new RpcError(refusal.code, refusal.message);
}
