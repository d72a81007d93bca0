// etcdserverpb.Maintenance: status, alarms, hashes, defragmentation. What else it has is in missing.ts until it is there.

import { type Alarm, AlarmType, alarmName } from "../cluster/alarms.js";
import { rpcError } from "../errors.js";
import type { etcdserverpb } from "../proto/index.js";
import { ETCD_VERSION, STORAGE_VERSION } from "../version.js";
import { toBigint, toInt64, toUint64 } from "../wire/int64.js";
import { isLearner, responseHeader, type ServiceContext } from "./context.js";
import type { maintenanceService } from "./definitions.js";
import { callerOf, type HandlersOf, unary } from "./handlers.js";

type Handlers = Pick<
  HandlersOf<typeof maintenanceService>,
  "status" | "alarm" | "moveLeader" | "defragment" | "hash" | "hashKv"
>;

const ADMIN = { auth: "admin" } as const;

const ALARM_ACTIONS = ["get", "activate", "deactivate"] as const;

export function maintenanceHandlers(context: ServiceContext): Handlers {
  return {
    status: unary(context, { auth: "known", learner: true }, () => statusOf(context)),
    alarm: unary(context, { auth: "ignored" }, async (request, _caller, { metadata }) => {
      await callerOf(context, metadata, ALARM_ACTIONS[request.action] === "get" ? "known" : "admin");
      return alarm(context, request);
    }),
    defragment: unary(context, ADMIN, async () => {
      await context.defragment();
      return {};
    }),
    // etcd sums its whole database file here, page for page; what members can compare is the same: the revisions.
    hash: unary(context, ADMIN, async () => {
      const { hash, revision } = await context.hashKv(0);
      return { header: responseHeader(context, revision), hash };
    }),
    hashKv: unary(context, ADMIN, async (request) => {
      const found = await context.hashKv(Number(toBigint(request.revision)));
      return {
        header: responseHeader(context, found.revision),
        hash: found.hash,
        compactRevision: toInt64(found.compactRevision),
        // Exact, as the request has it, also where a number is not.
        hashRevision: request.revision.isZero() ? toInt64(found.hashRevision) : request.revision,
      };
    }),
    moveLeader: unary(context, ADMIN, async (request) => {
      await context.transferLeader(toBigint(request.targetID));
      // As etcd's: without a header.
      return {};
    }),
  };
}

function statusOf(context: ServiceContext): etcdserverpb.StatusResponse.$Properties {
  const raft = context.raft();
  const store = context.store();
  const noLeader = raft.leader === 0n ? [rpcError("noLeader").message] : [];
  const alarms = context.alarms.list().map((set) => `memberID:${set.memberId}  alarm:${alarmName(set.type)}`);
  return {
    header: responseHeader(context, store.revision),
    version: ETCD_VERSION,
    // etcdctl divides by it.
    dbSize: toInt64(Math.max(1, store.dbSize)),
    leader: toUint64(raft.leader),
    raftIndex: toUint64(raft.committed),
    raftTerm: toUint64(raft.term),
    raftAppliedIndex: toUint64(raft.applied),
    errors: [...noLeader, ...alarms],
    dbSizeInUse: toInt64(store.dbSizeInUse),
    isLearner: isLearner(context),
    storageVersion: STORAGE_VERSION,
    dbSizeQuota: toInt64(context.quotaBytes),
    downgradeInfo: context.membership.downgrade,
  };
}

async function alarm(
  context: ServiceContext,
  request: etcdserverpb.AlarmRequest,
): Promise<etcdserverpb.AlarmResponse.$Properties> {
  const alarms = await alarmsOf(context, request);
  return {
    header: responseHeader(context, context.store().revision),
    alarms: alarms.map((set) => ({ memberID: toUint64(set.memberId), alarm: set.type })),
  };
}

/** The alarms that an answer holds: those asked for, or the one that was set or cleared. */
async function alarmsOf(context: ServiceContext, request: etcdserverpb.AlarmRequest): Promise<readonly Alarm[]> {
  const action = ALARM_ACTIONS[request.action];
  if (action === undefined) throw rpcError("unknownAlarmAction");
  const type: number = request.alarm;
  if (action === "get") {
    await context.linearizable();
    return context.alarms.list(type);
  }
  // It has no meaning, so nothing of it enters the log.
  if (action === "activate" && type === AlarmType.None) return [];
  const changed = await context.changeAlarm({ action, memberId: toBigint(request.memberID), alarm: type });
  return changed === null ? [] : [changed];
}
