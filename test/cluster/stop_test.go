// Members that have nothing to do are stopped by SIGTERM: they wait for nothing, and calls that would wait for ever are
// ended so that clients go elsewhere.
package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// An idle member has nothing to wait for. It waited for 5 s.
const idleStopMax = 3 * time.Second

// standing opens one of every call that waits for as long as its client likes, on one member; each resolves with how it
// ended.
func standing(ctx context.Context, t *testing.T, one *member.Member) map[string]chan string {
	t.Helper()
	connection := one.Connect(t)
	kv := pb.NewKVClient(connection)
	// Somebody has the lock and leads, so that others wait.
	if _, err := v3lockpb.NewLockClient(connection).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("lock" + one.Label)}); err != nil {
		t.Fatal(err)
	}
	campaign := &v3electionpb.CampaignRequest{Name: []byte("election" + one.Label)}
	if _, err := v3electionpb.NewElectionClient(connection).Campaign(ctx, campaign); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"lock": func() error {
			_, err := v3lockpb.NewLockClient(connection).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("lock" + one.Label)})
			return err
		},
		"campaign": func() error {
			_, err := v3electionpb.NewElectionClient(connection).Campaign(ctx, campaign)
			return err
		},
		"observe": func() error {
			stream, err := v3electionpb.NewElectionClient(connection).Observe(ctx, &v3electionpb.LeaderRequest{Name: campaign.Name})
			return untilItEnds(err, func() error { _, err := stream.Recv(); return err })
		},
		"watch": func() error {
			stream, err := pb.NewWatchClient(connection).Watch(ctx)
			return untilItEnds(err, func() error { _, err := stream.Recv(); return err })
		},
		"keep alive": func() error {
			stream, err := pb.NewLeaseClient(connection).LeaseKeepAlive(ctx)
			return untilItEnds(err, func() error { _, err := stream.Recv(); return err })
		},
		"health": func() error {
			stream, err := grpc_health_v1.NewHealthClient(connection).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			return untilItEnds(err, func() error { _, err := stream.Recv(); return err })
		},
		"health of nothing": func() error {
			asked := &grpc_health_v1.HealthCheckRequest{Service: "nothing"}
			stream, err := grpc_health_v1.NewHealthClient(connection).Watch(ctx, asked)
			return untilItEnds(err, func() error { _, err := stream.Recv(); return err })
		},
	}
	outcomes := map[string]chan string{}
	for name, call := range calls {
		outcomes[name] = make(chan string, 1)
		go func() { outcomes[name] <- member.Outcome(call()) }()
	}
	return outcomes
}

func untilItEnds(err error, receive func() error) error {
	for err == nil {
		err = receive()
	}
	return err
}

func TestAStopWaitsForNothingThatIsIdle(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), restartTestMax)
	defer cancel()
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	leader := running.Leader(t)
	follower := otherThan(running.Members, leader)
	alone := member.StartNetcd(t)
	const stopped = "Unavailable: etcdserver: server stopped"
	for _, one := range []*member.Member{follower, leader, alone} {
		outcomes := standing(ctx, t, one)
		// The calls are there: the member has had time for a beat of its own.
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		if err := one.Stop(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		t.Logf("%s stopped in %v", one.Label, took.Round(time.Millisecond))
		if took > idleStopMax {
			t.Errorf("%s took %v to stop", one.Label, took)
		}
		for name, outcome := range outcomes {
			if how := <-outcome; how != stopped {
				t.Errorf("%s on %s ended with %s", name, one.Label, how)
			}
		}
	}
}

func TestAllMembersStopAtOnce(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	running.Leader(t)
	began := time.Now()
	var stopping sync.WaitGroup
	for _, one := range running.Members {
		stopping.Go(func() {
			if err := one.Stop(); err != nil {
				t.Error(err)
			}
			t.Logf("%s stopped in %v", one.Label, time.Since(began).Round(time.Millisecond))
		})
	}
	stopping.Wait()
	// A leader must not wait for one that stops as well to take over: that would be the request timeout.
	if took := time.Since(began); took > idleStopMax {
		t.Errorf("it took %v", took)
	}
}

func TestAMemberAloneAnswersBeforeItStops(t *testing.T) {
	alone := member.StartNetcd(t)
	connection := alone.Connect(t)
	kv := pb.NewKVClient(connection)
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	var (
		clients sync.WaitGroup
		got     = newAnswers()
		going   = make(chan struct{}, restartClients)
	)
	for range restartClients {
		clients.Go(func() {
			for {
				err := timed(ctx, got, "put", func(ctx context.Context) error {
					_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
					return err
				})
				select {
				case going <- struct{}{}:
				default:
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range restartClients {
		<-going
	}
	if err := alone.Stop(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	got.check(t, func(told string) bool {
		// Nobody listens any more; that a call was made and broken off would read otherwise.
		return told == "put: OK" || strings.Contains(told, "connect: connection refused")
	})
	if status.Code(func() error { _, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); return err }()) != codes.Unavailable {
		t.Error("it still serves")
	}
}
