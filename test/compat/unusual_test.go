// Values that no client library sends: enums with numbers that they do not have, ids and revisions at the ends of their
// types. What of it enters the log must not hurt: the same answer as etcd's, the same state after it, and after a restart.
package compat

import (
	"math"
	"net/http"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// codeUnknown is gRPC's Unknown.
const codeUnknown = 2

// numbersBeyond are what an int64 holds and no revision, limit or time to live should be.
var numbersBeyond = []int64{-1, math.MinInt64, math.MaxInt64}

func TestUnusualFields(t *testing.T) {
	p := newPair(t, "unusual fields")
	defer p.report()
	client := &http.Client{Timeout: callWaitMax}
	for _, part := range [][]Call{alarmCases(), memberCases(), leaseEndCases(), compareCases(), sortCases(), revisionCases()} {
		for _, call := range part {
			p.compare(call)
			p.compareHealth(client, call.String())
		}
		p.compareState()
	}
	requireAlive(p)
	restart(p)
	p.compareHealth(client, "restart")
	p.compareState()
}

// TestUnknownAlarmActions: etcd ends with a nil pointer; netcd refuses and goes on.
func TestUnknownAlarmActions(t *testing.T) {
	p := newPair(t, "unknown alarm actions")
	for _, action := range []int32{3, 7, -1, math.MaxInt32} {
		answer := alarmCall(pb.AlarmRequest_AlarmAction(action), 0, pb.AlarmType_NOSPACE).Send(p.netcd)
		if answer.Code != codeUnknown || answer.Text != "etcdserver: unknown method" {
			t.Errorf("action %d: %s", action, answer)
		}
	}
	p.compareState()
}

// compareState looks at everything that requests can have changed.
func (p *pair) compareState() {
	p.t.Helper()
	p.compare(alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE))
	p.compare(leasesCall())
	p.compare(rangeCall(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}))
	p.compare(hashCall(0))
}

func (p *pair) compareHealth(client *http.Client, after string) {
	p.t.Helper()
	request := httpCase{method: "GET", path: "/health"}
	ours, theirs := fetched(p.t, client, p.servers[0].ClientURL, request), fetched(p.t, client, p.servers[1].ClientURL, request)
	if ours != theirs {
		p.differ("health after "+after, ours, theirs)
	}
}

// restart kills both servers and starts them on what they have written.
func restart(p *pair) {
	p.t.Helper()
	for _, server := range p.servers {
		if err := server.Kill(); err != nil {
			p.t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			p.t.Fatal(err)
		}
	}
	p.netcd, p.etcd = p.servers[0].Connect(p.t), p.servers[1].Connect(p.t)
}

func alarmCall(action pb.AlarmRequest_AlarmAction, member uint64, alarm pb.AlarmType) Call {
	return Call{Method: "/etcdserverpb.Maintenance/Alarm", Request: &pb.AlarmRequest{Action: action, MemberID: member, Alarm: alarm},
		Answer: func() proto.Message { return &pb.AlarmResponse{} }}
}

func alarmCases() []Call {
	const get, activate, deactivate = pb.AlarmRequest_GET, pb.AlarmRequest_ACTIVATE, pb.AlarmRequest_DEACTIVATE
	var calls []Call
	for _, member := range []uint64{0, 5, 1 << 63, math.MaxUint64} {
		for _, alarm := range []pb.AlarmType{pb.AlarmType_NONE, pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT, 3, -1, math.MaxInt32, math.MinInt32} {
			calls = append(calls, alarmCall(deactivate, member, alarm), alarmCall(activate, member, alarm), alarmCall(get, 0, alarm),
				alarmCall(get, 0, pb.AlarmType_NONE), alarmCall(activate, member, alarm), alarmCall(deactivate, member+1, alarm),
				alarmCall(deactivate, member, alarm), alarmCall(deactivate, member, alarm), alarmCall(get, 0, pb.AlarmType_NONE))
		}
	}
	// Those that stay until the restart, and restrain nothing that comes after them here.
	return append(calls, alarmCall(activate, 7, 9), alarmCall(activate, 7, -9), alarmCall(activate, 7, pb.AlarmType_NONE))
}

// memberCases are refused by both, so that the members stay what they are.
func memberCases() []Call {
	var calls []Call
	for _, urls := range [][]string{nil, {""}, {"nonsense"}, {"http://"}, {"http://127.0.0.1"}, {"ftp://127.0.0.1:1"}, {"http://127.0.0.1:1/path"},
		{"http://127.0.0.1:1", "x"}, {"http://127.0.0.1:0x"}, {"127.0.0.1:1"}} {
		for _, learner := range []bool{false, true} {
			calls = append(calls, Call{Method: "/etcdserverpb.Cluster/MemberAdd", Request: &pb.MemberAddRequest{PeerURLs: urls, IsLearner: learner},
				Answer: func() proto.Message { return &pb.MemberAddResponse{} }})
		}
		calls = append(calls, Call{Method: "/etcdserverpb.Cluster/MemberUpdate", Request: &pb.MemberUpdateRequest{ID: 3, PeerURLs: urls},
			Answer: func() proto.Message { return &pb.MemberUpdateResponse{} }})
	}
	for _, id := range []uint64{0, 1, 1 << 63, math.MaxUint64} {
		calls = append(calls,
			Call{Method: "/etcdserverpb.Cluster/MemberRemove", Request: &pb.MemberRemoveRequest{ID: id},
				Answer: func() proto.Message { return &pb.MemberRemoveResponse{} }},
			Call{Method: "/etcdserverpb.Cluster/MemberPromote", Request: &pb.MemberPromoteRequest{ID: id},
				Answer: func() proto.Message { return &pb.MemberPromoteResponse{} }},
			Call{Method: "/etcdserverpb.Maintenance/MoveLeader", Request: &pb.MoveLeaderRequest{TargetID: id},
				Answer: func() proto.Message { return &pb.MoveLeaderResponse{} }})
	}
	return calls
}

// leaseEndCases leave leases behind whose time does not end during the test.
func leaseEndCases() []Call {
	var calls []Call
	for i, id := range numbersBeyond {
		key := []byte{'l', byte('0' + i)}
		calls = append(calls, revokeCall(&pb.LeaseRevokeRequest{ID: id}), putCall(&pb.PutRequest{Key: key, Lease: id}),
			grantCall(&pb.LeaseGrantRequest{ID: id, TTL: 6000}), grantCall(&pb.LeaseGrantRequest{ID: id, TTL: 6000}),
			putCall(&pb.PutRequest{Key: key, Lease: id}), putCall(&pb.PutRequest{Key: key, Lease: id, IgnoreLease: true}),
			timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}))
		ttl := int64(30 + i)
		calls = append(calls, grantCall(&pb.LeaseGrantRequest{ID: ttl, TTL: id}), revokeCall(&pb.LeaseRevokeRequest{ID: ttl}))
	}
	for _, id := range append(numbersBeyond, 0, 12345) {
		calls = append(calls, Call{Method: "/etcdserverpb.Lease/LeaseKeepAlive", Request: &pb.LeaseKeepAliveRequest{ID: id}, Streams: true,
			Answer: func() proto.Message { return &pb.LeaseKeepAliveResponse{} }})
	}
	return append(calls, revokeCall(&pb.LeaseRevokeRequest{ID: -1}), revokeCall(&pb.LeaseRevokeRequest{}),
		timeToLiveCall(&pb.LeaseTimeToLiveRequest{}), timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: -1}))
}

// compareCases put one of two keys, so that the state tells which branch was taken.
func compareCases() []Call {
	var calls []Call
	branches := func(compare *pb.Compare) Call {
		return txnCall(&pb.TxnRequest{Compare: []*pb.Compare{compare},
			Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("yes")})}, Failure: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("no")})}})
	}
	calls = append(calls, putCall(&pb.PutRequest{Key: []byte("a"), Value: []byte("x")}))
	for _, target := range []int32{-1, 0, 1, 2, 3, 4, 5, math.MaxInt32} {
		for _, result := range []int32{-1, 0, 1, 2, 3, 4, math.MinInt32} {
			for _, key := range []string{"a", "none"} {
				compare := func() *pb.Compare {
					return &pb.Compare{Key: []byte(key), Target: pb.Compare_CompareTarget(target), Result: pb.Compare_CompareResult(result)}
				}
				bare, value, lease := compare(), compare(), compare()
				// What the union holds need not be what the target names.
				value.TargetUnion = &pb.Compare_Value{Value: []byte("x")}
				lease.TargetUnion = &pb.Compare_Lease{Lease: math.MinInt64}
				calls = append(calls, branches(bare), branches(value), branches(lease))
			}
		}
	}
	return calls
}

func sortCases() []Call {
	var calls []Call
	for _, target := range []int32{-1, 0, 4, 5, math.MaxInt32} {
		for _, order := range []int32{-1, 0, 2, 3, math.MinInt32} {
			request := func() *pb.RangeRequest {
				return &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z"),
					SortTarget: pb.RangeRequest_SortTarget(target), SortOrder: pb.RangeRequest_SortOrder(order)}
			}
			calls = append(calls, rangeCall(request()), rangeStreamCall(request()),
				txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(request())}}),
				txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(request()), putOp(&pb.PutRequest{Key: []byte("with")})}}))
		}
	}
	return calls
}

func revisionCases() []Call {
	var calls []Call
	for _, number := range numbersBeyond {
		everything := func() *pb.RangeRequest { return &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z")} }
		limit, revision, minMod, maxMod, minCreate, maxCreate := everything(), everything(), everything(), everything(), everything(), everything()
		limit.Limit, revision.Revision = number, number
		minMod.MinModRevision, maxMod.MaxModRevision = number, number
		minCreate.MinCreateRevision, maxCreate.MaxCreateRevision = number, number
		for _, request := range []*pb.RangeRequest{limit, revision, minMod, maxMod, minCreate, maxCreate} {
			calls = append(calls, rangeCall(request))
		}
		calls = append(calls, compactCall(&pb.CompactionRequest{Revision: number}), compactCall(&pb.CompactionRequest{Revision: number, Physical: true}),
			hashCall(number))
	}
	calls = append(calls, compactCall(&pb.CompactionRequest{Revision: 10, Physical: true}), compactCall(&pb.CompactionRequest{Revision: 20, Physical: true}))
	for _, at := range []int64{9, 10, 15, 19, 20, 21, 0, -1, math.MinInt64, math.MinInt64 + 1} {
		calls = append(calls, hashCall(at))
	}
	return calls
}
