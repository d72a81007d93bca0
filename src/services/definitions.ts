// The gRPC services as grpc-js describes them: paths, kinds and codecs, typed by the generated messages.

import type { MethodDefinition } from "@grpc/grpc-js";
import { etcdserverpb, grpc as health, v3electionpb, v3lockpb } from "../proto/index.js";

interface Codec<Out, In> {
  encode(message: In): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Out;
}

type Method<Req, Res, ReqStream extends boolean, ResStream extends boolean> = MethodDefinition<Req, Res> & {
  readonly requestStream: ReqStream;
  readonly responseStream: ResStream;
};

/** A maker of the methods of one service. Requests are decoded messages, responses plain properties. */
function serviceOf(service: string) {
  function method<Q, R extends object, S, T extends object, QS extends boolean, TS extends boolean>(
    name: string,
    request: Codec<Q, R>,
    response: Codec<S, T>,
    requestStream: QS,
    responseStream: TS,
  ): Method<Q, T, QS, TS> {
    return {
      path: `/${service}/${name}`,
      originalName: name,
      requestStream,
      responseStream,
      requestSerialize: (message) => Buffer.from(request.encode(message as unknown as R).finish()),
      requestDeserialize: (bytes) => request.decode(bytes),
      responseSerialize: (message) => Buffer.from(response.encode(message).finish()),
      responseDeserialize: (bytes) => response.decode(bytes) as unknown as T,
    };
  }
  return {
    unary: <Q, R extends object, S, T extends object>(name: string, request: Codec<Q, R>, response: Codec<S, T>) =>
      method(name, request, response, false, false),
    serverStream: <Q, R extends object, S, T extends object>(
      name: string,
      request: Codec<Q, R>,
      response: Codec<S, T>,
    ) => method(name, request, response, false, true),
    bidi: <Q, R extends object, S, T extends object>(name: string, request: Codec<Q, R>, response: Codec<S, T>) =>
      method(name, request, response, true, true),
  };
}

const pb = etcdserverpb;
const kv = serviceOf("etcdserverpb.KV");
const lease = serviceOf("etcdserverpb.Lease");
const cluster = serviceOf("etcdserverpb.Cluster");
const maintenance = serviceOf("etcdserverpb.Maintenance");
const auth = serviceOf("etcdserverpb.Auth");
const election = serviceOf("v3electionpb.Election");
const lock = serviceOf("v3lockpb.Lock");
const checks = serviceOf("grpc.health.v1.Health");

/** Served in Rust; here for tests that call a member, so that one file says what etcd serves. */
export const kvService = {
  range: kv.unary("Range", pb.RangeRequest, pb.RangeResponse),
  rangeStream: kv.serverStream("RangeStream", pb.RangeRequest, pb.RangeStreamResponse),
  put: kv.unary("Put", pb.PutRequest, pb.PutResponse),
  deleteRange: kv.unary("DeleteRange", pb.DeleteRangeRequest, pb.DeleteRangeResponse),
  txn: kv.unary("Txn", pb.TxnRequest, pb.TxnResponse),
  compact: kv.unary("Compact", pb.CompactionRequest, pb.CompactionResponse),
} as const;

export const leaseService = {
  leaseGrant: lease.unary("LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse),
  leaseRevoke: lease.unary("LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse),
  leaseKeepAlive: lease.bidi("LeaseKeepAlive", pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse),
  leaseTimeToLive: lease.unary("LeaseTimeToLive", pb.LeaseTimeToLiveRequest, pb.LeaseTimeToLiveResponse),
  leaseLeases: lease.unary("LeaseLeases", pb.LeaseLeasesRequest, pb.LeaseLeasesResponse),
} as const;

export const clusterService = {
  memberAdd: cluster.unary("MemberAdd", pb.MemberAddRequest, pb.MemberAddResponse),
  memberRemove: cluster.unary("MemberRemove", pb.MemberRemoveRequest, pb.MemberRemoveResponse),
  memberUpdate: cluster.unary("MemberUpdate", pb.MemberUpdateRequest, pb.MemberUpdateResponse),
  memberList: cluster.unary("MemberList", pb.MemberListRequest, pb.MemberListResponse),
  memberPromote: cluster.unary("MemberPromote", pb.MemberPromoteRequest, pb.MemberPromoteResponse),
} as const;

export const maintenanceService = {
  alarm: maintenance.unary("Alarm", pb.AlarmRequest, pb.AlarmResponse),
  status: maintenance.unary("Status", pb.StatusRequest, pb.StatusResponse),
  defragment: maintenance.unary("Defragment", pb.DefragmentRequest, pb.DefragmentResponse),
  hash: maintenance.unary("Hash", pb.HashRequest, pb.HashResponse),
  hashKv: maintenance.unary("HashKV", pb.HashKVRequest, pb.HashKVResponse),
  snapshot: maintenance.serverStream("Snapshot", pb.SnapshotRequest, pb.SnapshotResponse),
  moveLeader: maintenance.unary("MoveLeader", pb.MoveLeaderRequest, pb.MoveLeaderResponse),
  downgrade: maintenance.unary("Downgrade", pb.DowngradeRequest, pb.DowngradeResponse),
} as const;

export const authService = {
  authEnable: auth.unary("AuthEnable", pb.AuthEnableRequest, pb.AuthEnableResponse),
  authDisable: auth.unary("AuthDisable", pb.AuthDisableRequest, pb.AuthDisableResponse),
  authStatus: auth.unary("AuthStatus", pb.AuthStatusRequest, pb.AuthStatusResponse),
  authenticate: auth.unary("Authenticate", pb.AuthenticateRequest, pb.AuthenticateResponse),
  userAdd: auth.unary("UserAdd", pb.AuthUserAddRequest, pb.AuthUserAddResponse),
  userGet: auth.unary("UserGet", pb.AuthUserGetRequest, pb.AuthUserGetResponse),
  userList: auth.unary("UserList", pb.AuthUserListRequest, pb.AuthUserListResponse),
  userDelete: auth.unary("UserDelete", pb.AuthUserDeleteRequest, pb.AuthUserDeleteResponse),
  userChangePassword: auth.unary(
    "UserChangePassword",
    pb.AuthUserChangePasswordRequest,
    pb.AuthUserChangePasswordResponse,
  ),
  userGrantRole: auth.unary("UserGrantRole", pb.AuthUserGrantRoleRequest, pb.AuthUserGrantRoleResponse),
  userRevokeRole: auth.unary("UserRevokeRole", pb.AuthUserRevokeRoleRequest, pb.AuthUserRevokeRoleResponse),
  roleAdd: auth.unary("RoleAdd", pb.AuthRoleAddRequest, pb.AuthRoleAddResponse),
  roleGet: auth.unary("RoleGet", pb.AuthRoleGetRequest, pb.AuthRoleGetResponse),
  roleList: auth.unary("RoleList", pb.AuthRoleListRequest, pb.AuthRoleListResponse),
  roleDelete: auth.unary("RoleDelete", pb.AuthRoleDeleteRequest, pb.AuthRoleDeleteResponse),
  roleGrantPermission: auth.unary(
    "RoleGrantPermission",
    pb.AuthRoleGrantPermissionRequest,
    pb.AuthRoleGrantPermissionResponse,
  ),
  roleRevokePermission: auth.unary(
    "RoleRevokePermission",
    pb.AuthRoleRevokePermissionRequest,
    pb.AuthRoleRevokePermissionResponse,
  ),
} as const;

export const electionService = {
  campaign: election.unary("Campaign", v3electionpb.CampaignRequest, v3electionpb.CampaignResponse),
  proclaim: election.unary("Proclaim", v3electionpb.ProclaimRequest, v3electionpb.ProclaimResponse),
  leader: election.unary("Leader", v3electionpb.LeaderRequest, v3electionpb.LeaderResponse),
  observe: election.serverStream("Observe", v3electionpb.LeaderRequest, v3electionpb.LeaderResponse),
  resign: election.unary("Resign", v3electionpb.ResignRequest, v3electionpb.ResignResponse),
} as const;

export const lockService = {
  lock: lock.unary("Lock", v3lockpb.LockRequest, v3lockpb.LockResponse),
  unlock: lock.unary("Unlock", v3lockpb.UnlockRequest, v3lockpb.UnlockResponse),
} as const;

const hv1 = health.health.v1;

export const healthService = {
  check: checks.unary("Check", hv1.HealthCheckRequest, hv1.HealthCheckResponse),
  list: checks.unary("List", hv1.HealthListRequest, hv1.HealthListResponse),
  watch: checks.serverStream("Watch", hv1.HealthCheckRequest, hv1.HealthCheckResponse),
} as const;
