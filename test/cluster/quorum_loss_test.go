// A leader that loses its quorum steps down without a successor. What waits on it then, and what is asked later, ends
// with etcd's code and text, for every kind of call that needs the other members.
package cluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
)

const (
	// Twice the request timeout of 6 s, which etcd needs for the second of two reads.
	quorumCallMax = 20 * time.Second
	// A process that was told to stop does so, and what it sent before has arrived.
	stoppedAfter = 100 * time.Millisecond
	// More than two election timeouts, after which a leader without a quorum has stepped down.
	steppedDownAfter = 1500 * time.Millisecond
)

// quorumLease is a lease that there is. Of one that there is not a leader without a quorum says nothing here, as the
// others may have granted it since; etcd's says that there is none.
const quorumLease = 7

// quorumCalls are one of each kind of call that is for the leader or needs a quorum, but for changes of the membership:
// those wait in etcd for as long as their clients do.
var quorumCalls = map[string]func(context.Context, *grpc.ClientConn) error{
	"range": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewKVClient(to).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		return err
	},
	"put": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewKVClient(to).Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
		return err
	},
	"delete": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewKVClient(to).DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("k")})
		return err
	},
	"txn that writes": func(ctx context.Context, to *grpc.ClientConn) error {
		put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}
		_, err := pb.NewKVClient(to).Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put}})
		return err
	},
	"txn that reads": func(ctx context.Context, to *grpc.ClientConn) error {
		get := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("k")}}}
		_, err := pb.NewKVClient(to).Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{get}})
		return err
	},
	"compact": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewKVClient(to).Compact(ctx, &pb.CompactionRequest{Revision: 1})
		return err
	},
	"lease grant": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewLeaseClient(to).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
		return err
	},
	"lease revoke": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewLeaseClient(to).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 1})
		return err
	},
	"lease time to live": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewLeaseClient(to).LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: quorumLease})
		return err
	},
	"leases": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewLeaseClient(to).LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
		return err
	},
	"keep alive": func(ctx context.Context, to *grpc.ClientConn) error {
		stream, err := pb.NewLeaseClient(to).LeaseKeepAlive(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: quorumLease}); err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	},
	"member list": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := pb.NewClusterClient(to).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		return err
	},
	"alarm": func(ctx context.Context, to *grpc.ClientConn) error {
		disarm := &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_NOSPACE}
		_, err := pb.NewMaintenanceClient(to).Alarm(ctx, disarm)
		return err
	},
	"lock": func(ctx context.Context, to *grpc.ClientConn) error {
		_, err := v3lockpb.NewLockClient(to).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l")})
		return err
	},
}

// ended is how a call ended, and after how long.
type ended struct {
	how  string
	took time.Duration
}

func TestCallsOfALeaderThatLosesItsQuorum(t *testing.T) {
	ours := make(chan map[string]ended, 1)
	theirs := make(chan map[string]ended, 1)
	timing := []string{"--heartbeat-interval=50", "--election-timeout=500"}
	netcd := member.StartCluster(t, "netcd", member.Netcd(), 3, timing...)
	etcd := member.StartCluster(t, "etcd", member.Etcd(), 3, timing...)
	// Deferred, since a test that gives up there must not be waited for here.
	play := func(running *member.Cluster, told chan<- map[string]ended) {
		var all map[string]ended
		defer func() { told <- all }()
		all = withoutQuorum(t, running)
	}
	go play(netcd, ours)
	go play(etcd, theirs)
	got, want := <-ours, <-theirs
	for _, call := range slices.Sorted(maps.Keys(want)) {
		t.Logf("%-40s etcd %s after %v, netcd %s after %v", call, want[call].how, want[call].took, got[call].how, got[call].took)
		if got[call].how != want[call].how {
			t.Errorf("%s: netcd %s after %v, etcd %s after %v",
				call, got[call].how, got[call].took, want[call].how, want[call].took)
		}
	}
}

// withoutQuorum stops the followers of a cluster and makes every call on the leader: at once, and when it has stepped down.
func withoutQuorum(t *testing.T, running *member.Cluster) map[string]ended {
	leader := running.Leader(t)
	connection := leader.Connect(t)
	if _, err := pb.NewLeaseClient(connection).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: quorumLease, TTL: 600}); err != nil {
		t.Error(err)
	}
	for _, one := range running.Members {
		if one == leader {
			continue
		}
		if err := one.Pause(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(stoppedAfter)
	var (
		mutex sync.Mutex
		calls sync.WaitGroup
		all   = map[string]ended{}
	)
	for _, when := range []string{"while it leads", "when it leads no more"} {
		for name, call := range quorumCalls {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), quorumCallMax)
				defer cancel()
				began := time.Now()
				how := member.Outcome(call(ctx, connection))
				mutex.Lock()
				defer mutex.Unlock()
				all[name+" "+when] = ended{how, time.Since(began).Round(100 * time.Millisecond)}
			})
		}
		time.Sleep(steppedDownAfter)
	}
	calls.Wait()
	return all
}
