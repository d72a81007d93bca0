// Members are stopped as an operator does it, by SIGTERM, one after the other and under load: clients that know all
// members notice nothing that they could not deal with.
package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const (
	// Times that every member is restarted.
	restartRounds  = 2
	restartClients = 24
	// A call that a stop holds up took 5 s or the request timeout of 7 s; without it some milliseconds on a machine that
	// has nothing else to do.
	restartCallMax = 3 * time.Second
	restartTestMax = 5 * time.Minute
	// An idle member has nothing to wait for. It waited for 5 s.
	idleStopMax = 3 * time.Second
	// Expires if nobody renews it while the members are restarted.
	restartLeaseSeconds = 4
)

// anyOf connects to whichever of the members serves, in turns, as etcd's own clients do.
func anyOf(t *testing.T, running *member.Cluster) *grpc.ClientConn {
	t.Helper()
	members := manual.NewBuilderWithScheme("members")
	var state resolver.State
	for _, one := range running.Members {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: one.Endpoint()})
	}
	members.InitialState(state)
	connection, err := running.Members[0].DialTarget("members:///",
		grpc.WithResolvers(members), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func TestARollingRestartUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), restartTestMax)
	defer cancel()
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	running.Leader(t)
	got := &answers{counted: map[string]int{}, slowest: map[string]time.Duration{}}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for at := range restartClients {
		key := fmt.Sprintf("k%d", at)
		if at%2 == 0 {
			client := etcdClient(ctx, t, running)
			clients.Go(func() { putAndGetRetried(loading, ctx, client, key, got) })
			continue
		}
		kv := pb.NewKVClient(anyOf(t, running))
		clients.Go(func() { putAndGet(loading, ctx, kv, key, got) })
	}
	members, leases := pb.NewClusterClient(anyOf(t, running)), pb.NewLeaseClient(anyOf(t, running))
	clients.Go(func() { othersThanKV(loading, ctx, members, leases, got) })
	kept := keepAndWatch(ctx, t, running)
	for round := range member.Number(t, "NETCD_TEST_RESTARTS", restartRounds) {
		for _, one := range running.Members {
			restart(t, one, round)
		}
	}
	stop()
	clients.Wait()
	for _, told := range slices.Sorted(maps.Keys(got.counted)) {
		t.Logf("%6d times %s (slowest %v)", got.counted[told], told, got.slowest[told].Round(time.Millisecond))
		if !strings.HasSuffix(told, ": OK") && !mayBeAskedAgain(told) {
			t.Errorf("%d calls ended with %s", got.counted[told], told)
		}
		if got.slowest[told] > restartCallMax {
			t.Errorf("a call took %v: %s", got.slowest[told], told)
		}
	}
	kept(got.counted["put: OK"] + got.counted["client's put: OK"])
	sameContent(t, running)
}

// putAndGetRetried is putAndGet with etcd's own client, which asks again where it may: its user sees no error at all.
func putAndGetRetried(loading, ctx context.Context, client *clientv3.Client, key string, got *answers) {
	for at := 0; loading.Err() == nil; at++ {
		value := fmt.Sprint(at)
		err := timed(ctx, got, "client's put", func(ctx context.Context) error {
			_, err := client.Put(ctx, key, value)
			return err
		})
		if err != nil {
			continue
		}
		_ = timed(ctx, got, "client's get", func(ctx context.Context) error {
			answer, err := client.Get(ctx, key)
			if err == nil && (len(answer.Kvs) != 1 || string(answer.Kvs[0].Value) != value) {
				err = fmt.Errorf("%s is %v after %s was put", key, answer.Kvs, value)
			}
			return err
		})
	}
}

func etcdClient(ctx context.Context, t *testing.T, running *member.Cluster) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(running.Endpoints(), ","), Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// mayBeAskedAgain: a read that waits while another member is elected, as in etcd. Clients ask again by themselves, since
// nothing was done. No write is among them: nobody could tell whether it was done.
func mayBeAskedAgain(told string) bool {
	return told == "get: "+leaderChangedText || told == "member list: "+leaderChangedText
}

// restart stops a member and starts it again.
func restart(t *testing.T, one *member.Member, round int) {
	t.Helper()
	began := time.Now()
	if err := one.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Since(began).Round(time.Millisecond)
	if err := one.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("round %d: %s stopped in %v, served again %v after the signal",
		round, one.Label, stopped, time.Since(began).Round(time.Millisecond))
}

// othersThanKV makes calls that the control plane serves, and those that make leases.
func othersThanKV(loading, ctx context.Context, members pb.ClusterClient, leases pb.LeaseClient, got *answers) {
	for loading.Err() == nil {
		_ = timed(ctx, got, "member list", func(ctx context.Context) error {
			_, err := members.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
			return err
		})
		var id int64
		_ = timed(ctx, got, "lease grant", func(ctx context.Context) error {
			granted, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
			id = granted.GetID()
			return err
		})
		if id == 0 {
			continue
		}
		_ = timed(ctx, got, "lease revoke", func(ctx context.Context) error {
			_, err := leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
			return err
		})
	}
}

// keepAndWatch has etcd's client keep a lease alive and watch all puts. What is returned is called when the load has
// ended: the watch must have missed none, and the lease must live.
func keepAndWatch(ctx context.Context, t *testing.T, running *member.Cluster) (check func(puts int)) {
	t.Helper()
	client := etcdClient(ctx, t, running)
	lease, err := client.Grant(ctx, restartLeaseSeconds)
	if err != nil {
		t.Fatal(err)
	}
	alive, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range alive {
		}
	}()
	events := client.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(1))
	return func(puts int) {
		t.Helper()
		for seen := 0; seen < puts; {
			response, open := <-events
			if !open || response.Err() != nil {
				t.Fatalf("the watch ended after %d of %d events: %v", seen, puts, response.Err())
			}
			seen += len(response.Events)
		}
		left, err := client.TimeToLive(ctx, lease.ID)
		if err != nil || left.TTL <= 0 {
			t.Errorf("the lease that was kept alive has %v s left: %v", left, err)
		}
	}
}

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
		got     = &answers{counted: map[string]int{}, slowest: map[string]time.Duration{}}
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
	for told, count := range got.counted {
		t.Logf("%6d times %s (slowest %v)", count, told, got.slowest[told].Round(time.Millisecond))
		// Nobody listens any more; that a call was made and broken off would read otherwise.
		if told != "put: OK" && !strings.Contains(told, "connect: connection refused") {
			t.Errorf("%d calls ended with %s", count, told)
		}
	}
	if status.Code(func() error { _, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")}); return err }()) != codes.Unavailable {
		t.Error("it still serves")
	}
}
