// The generator's calls that change neither users nor keys: questions, watches, recipes, maintenance, members.
package compat

import (
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/protobuf/proto"
)

func (g *authGenerator) question() Call {
	switch g.random.IntN(8) {
	case 0:
		return statusOfAuthCall()
	case 1:
		return userListCall()
	case 2:
		return roleListCall()
	case 3, 4, 5:
		return userGetCall(g.user())
	default:
		return roleGetCall(g.role())
	}
}

// isQuestion tells the calls of the Auth service that change nothing.
func isQuestion(call Call) bool {
	switch call.Request.(type) {
	case *pb.AuthStatusRequest, *pb.AuthUserListRequest, *pb.AuthRoleListRequest, *pb.AuthUserGetRequest, *pb.AuthRoleGetRequest,
		*pb.AuthenticateRequest:
		return true
	}
	return false
}

// needsAdmin tells the calls whose caller must have the role root, or is asked for no more if he has it.
func needsAdmin(call Call) bool {
	name := call.Method[strings.LastIndex(call.Method, "/")+1:]
	if alarm, ok := call.Request.(*pb.AlarmRequest); ok {
		return alarm.Action != pb.AlarmRequest_GET
	}
	switch call.Request.(type) {
	case *pb.AuthStatusRequest, *pb.AuthenticateRequest:
		return false
	}
	return strings.HasPrefix(call.Method, "/etcdserverpb.Auth/") ||
		slices.Contains([]string{"Compact", "Defragment", "Hash", "HashKV", "MoveLeader", "MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote",
			"LeaseLeases", "LeaseTimeToLive", "LeaseRevoke", "LeaseKeepAlive"}, name)
}

func (g *authGenerator) watch() Call {
	key := g.key()
	call := watchCall(&pb.WatchCreateRequest{Key: key, RangeEnd: g.rangeEnd(key), PrevKv: g.oneIn(3), ProgressNotify: g.oneIn(5),
		StartRevision: pick(g.generator, 0, 0, 0, g.revision, g.revision+1000, g.compacted, 1, -1)})
	straighten(call.Request.ProtoReflect())
	return call
}

// recipe gives every lock and election a name of its own, so that none waits for another.
func (g *authGenerator) recipe() Call {
	g.names++
	name := fmt.Sprintf("%s%d", pick(g.generator, "ka/", "kb/", "z"), g.names)
	lease := g.lease()
	if lease == 0 {
		lease = 7777 // With none the server would choose one by chance.
	}
	key := fmt.Sprintf("%s/%x", name, uint64(lease))
	switch g.random.IntN(6) {
	case 0, 1:
		return lockCall(name, lease)
	case 2:
		return unlockCall(key)
	case 3:
		return campaignCall(name, lease)
	case 4:
		return leaderCall(name)
	default:
		return Call{Method: "/v3electionpb.Election/Resign", Answer: func() proto.Message { return &v3electionpb.ResignResponse{} },
			Request: &v3electionpb.ResignRequest{Leader: &v3electionpb.LeaderKey{Name: []byte(name), Key: []byte(key), Rev: 5, Lease: lease}}}
	}
}

func (g *authGenerator) maintenance() Call {
	switch n := g.random.IntN(100); {
	case n < 2:
		return bare(maintenanceCall("Defragment", &pb.DefragmentRequest{}, &pb.DefragmentResponse{}))
	case n < 20:
		return bare(maintenanceCall("Status", &pb.StatusRequest{}, &pb.StatusResponse{}))
	case n < 30:
		return bare(maintenanceCall("Hash", &pb.HashRequest{}, &pb.HashResponse{}))
	case n < 45:
		return bare(maintenanceCall("HashKV", &pb.HashKVRequest{Revision: pick(g.generator, 0, g.revision, g.revision+1)}, &pb.HashKVResponse{}))
	case n < 55:
		return bare(maintenanceCall("MoveLeader", &pb.MoveLeaderRequest{TargetID: 7}, &pb.MoveLeaderResponse{}))
	case n < 75:
		return alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE)
	default:
		return alarmCall(pick(g.generator, pb.AlarmRequest_ACTIVATE, pb.AlarmRequest_DEACTIVATE), 0, pick(g.generator, pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT))
	}
}

// cluster changes no members: what root may do is asked for with URLs and ids that are none.
func (g *authGenerator) cluster(who account) Call {
	switch g.random.IntN(6) {
	case 0:
		urls := []string{pick(g.generator, "nonsense", "ftp://127.0.0.1:1", "http://127.0.0.1")}
		if g.enabled && (who == nobody || strings.HasPrefix(who.name, "junk")) {
			urls = []string{"http://127.0.0.1:1"}
		}
		return clusterCall("MemberAdd", &pb.MemberAddRequest{PeerURLs: urls, IsLearner: g.oneIn(2)}, &pb.MemberAddResponse{})
	case 1:
		return clusterCall("MemberRemove", &pb.MemberRemoveRequest{ID: 7}, &pb.MemberRemoveResponse{})
	case 2:
		return clusterCall("MemberUpdate", &pb.MemberUpdateRequest{ID: 7, PeerURLs: []string{"http://127.0.0.1:1"}}, &pb.MemberUpdateResponse{})
	case 3:
		return clusterCall("MemberPromote", &pb.MemberPromoteRequest{ID: 7}, &pb.MemberPromoteResponse{})
	default:
		return clusterCall("MemberList", &pb.MemberListRequest{Linearizable: g.oneIn(2)}, &pb.MemberListResponse{})
	}
}
