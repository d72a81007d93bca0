// Constructors for the calls of the Auth service, and for those that only tests of authentication make.
package compat

import (
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"
)

func authenticateCall(name, password string) Call {
	return authCall("Authenticate", &pb.AuthenticateRequest{Name: name, Password: password}, &pb.AuthenticateResponse{})
}

func enableCall() Call {
	return authCall("AuthEnable", &pb.AuthEnableRequest{}, &pb.AuthEnableResponse{})
}
func disableCall() Call {
	return authCall("AuthDisable", &pb.AuthDisableRequest{}, &pb.AuthDisableResponse{})
}
func statusOfAuthCall() Call {
	return authCall("AuthStatus", &pb.AuthStatusRequest{}, &pb.AuthStatusResponse{})
}

func userAddCall(name, password string) Call {
	return userAddRequest(&pb.AuthUserAddRequest{Name: name, Password: password})
}

func userAddRequest(request *pb.AuthUserAddRequest) Call {
	return authCall("UserAdd", request, &pb.AuthUserAddResponse{})
}

func userDeleteCall(name string) Call {
	return authCall("UserDelete", &pb.AuthUserDeleteRequest{Name: name}, &pb.AuthUserDeleteResponse{})
}

func userGetCall(name string) Call {
	return authCall("UserGet", &pb.AuthUserGetRequest{Name: name}, &pb.AuthUserGetResponse{})
}

func userListCall() Call {
	return authCall("UserList", &pb.AuthUserListRequest{}, &pb.AuthUserListResponse{})
}

func changePasswordCall(name, password string) Call {
	return changePasswordRequest(&pb.AuthUserChangePasswordRequest{Name: name, Password: password})
}

func changePasswordRequest(request *pb.AuthUserChangePasswordRequest) Call {
	return authCall("UserChangePassword", request, &pb.AuthUserChangePasswordResponse{})
}

func grantRoleCall(user, role string) Call {
	return authCall("UserGrantRole", &pb.AuthUserGrantRoleRequest{User: user, Role: role}, &pb.AuthUserGrantRoleResponse{})
}

func revokeRoleCall(user, role string) Call {
	return authCall("UserRevokeRole", &pb.AuthUserRevokeRoleRequest{Name: user, Role: role}, &pb.AuthUserRevokeRoleResponse{})
}

func roleAddCall(name string) Call {
	return authCall("RoleAdd", &pb.AuthRoleAddRequest{Name: name}, &pb.AuthRoleAddResponse{})
}

func roleDeleteCall(name string) Call {
	return authCall("RoleDelete", &pb.AuthRoleDeleteRequest{Role: name}, &pb.AuthRoleDeleteResponse{})
}

func roleGetCall(name string) Call {
	return authCall("RoleGet", &pb.AuthRoleGetRequest{Role: name}, &pb.AuthRoleGetResponse{})
}

func roleListCall() Call {
	return authCall("RoleList", &pb.AuthRoleListRequest{}, &pb.AuthRoleListResponse{})
}

// permitCall grants a role the range from key to end; "": the key alone.
func permitCall(role string, what authpb.Permission_Type, key, end string) Call {
	return permitRequest(role, &authpb.Permission{PermType: what, Key: []byte(key), RangeEnd: []byte(end)})
}

func permitRequest(role string, permission *authpb.Permission) Call {
	return authCall("RoleGrantPermission", &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: permission}, &pb.AuthRoleGrantPermissionResponse{})
}

func forbidCall(role, key, end string) Call {
	return authCall("RoleRevokePermission", &pb.AuthRoleRevokePermissionRequest{Role: role, Key: []byte(key), RangeEnd: []byte(end)},
		&pb.AuthRoleRevokePermissionResponse{})
}

// watchCall creates one watcher; what comes after the response to that is not looked at.
func watchCall(request *pb.WatchCreateRequest) Call {
	return Call{Method: "/etcdserverpb.Watch/Watch", Open: true, Answer: func() proto.Message { return &pb.WatchResponse{} },
		Request: &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}}}
}

func keepAliveCall(id int64) Call {
	return Call{Method: "/etcdserverpb.Lease/LeaseKeepAlive", Open: true, Request: &pb.LeaseKeepAliveRequest{ID: id},
		Answer: func() proto.Message { return &pb.LeaseKeepAliveResponse{} }}
}

func maintenanceCall(name string, request, answer proto.Message) Call {
	return Call{Method: "/etcdserverpb.Maintenance/" + name, Request: request, Answer: func() proto.Message { return proto.Clone(answer) }}
}

// bare is the call of which only the outcome is compared.
func bare(call Call) Call {
	call.Bare = true
	return call
}

func clusterCall(name string, request, answer proto.Message) Call {
	return bare(Call{Method: "/etcdserverpb.Cluster/" + name, Request: request, Answer: func() proto.Message { return proto.Clone(answer) }})
}

// maintenanceCalls are all calls of the service that netcd serves, with etcd's answer to root.
func maintenanceCalls() map[string]Call {
	snapshot := bare(maintenanceCall("Snapshot", &pb.SnapshotRequest{}, &pb.SnapshotResponse{}))
	snapshot.Streams = true
	return map[string]Call{
		"Status":           bare(maintenanceCall("Status", &pb.StatusRequest{}, &pb.StatusResponse{})),
		"Alarm GET":        alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE),
		"Alarm ACTIVATE":   alarmCall(pb.AlarmRequest_ACTIVATE, 0, pb.AlarmType_NOSPACE),
		"Alarm DEACTIVATE": alarmCall(pb.AlarmRequest_DEACTIVATE, 0, pb.AlarmType_NOSPACE),
		"Defragment":       bare(maintenanceCall("Defragment", &pb.DefragmentRequest{}, &pb.DefragmentResponse{})),
		"Hash":             bare(maintenanceCall("Hash", &pb.HashRequest{}, &pb.HashResponse{})),
		"HashKV":           bare(maintenanceCall("HashKV", &pb.HashKVRequest{}, &pb.HashKVResponse{})),
		"MoveLeader":       bare(maintenanceCall("MoveLeader", &pb.MoveLeaderRequest{TargetID: 7}, &pb.MoveLeaderResponse{})),
		"Snapshot":         snapshot,
		"Downgrade": bare(maintenanceCall("Downgrade", &pb.DowngradeRequest{Action: pb.DowngradeRequest_VALIDATE, Version: "3.6"},
			&pb.DowngradeResponse{})),
	}
}

func lockCall(name string, lease int64) Call {
	return Call{Method: "/v3lockpb.Lock/Lock", Request: &v3lockpb.LockRequest{Name: []byte(name), Lease: lease},
		Answer: func() proto.Message { return &v3lockpb.LockResponse{} }}
}

func unlockCall(key string) Call {
	return Call{Method: "/v3lockpb.Lock/Unlock", Request: &v3lockpb.UnlockRequest{Key: []byte(key)},
		Answer: func() proto.Message { return &v3lockpb.UnlockResponse{} }}
}

func campaignCall(name string, lease int64) Call {
	return Call{Method: "/v3electionpb.Election/Campaign",
		Request: &v3electionpb.CampaignRequest{Name: []byte(name), Lease: lease, Value: []byte("v")},
		Answer:  func() proto.Message { return &v3electionpb.CampaignResponse{} }}
}

func leaderCall(name string) Call {
	return Call{Method: "/v3electionpb.Election/Leader", Request: &v3electionpb.LeaderRequest{Name: []byte(name)},
		Answer: func() proto.Message { return &v3electionpb.LeaderResponse{} }}
}
