// Members are stopped as an operator does it, by SIGTERM, one after the other and under load: clients that know all
// members notice nothing that they could not deal with.
package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const (
	// Times that every member is restarted.
	restartRounds  = 2
	restartClients = 24
	// A call that a stop holds up took 5 s or the request timeout of 7 s; without it some milliseconds on a machine that
	// has nothing else to do.
	restartCallMax = 3 * time.Second
	restartTestMax = 5 * time.Minute
	// Expires if nobody renews it while the members are restarted.
	restartLeaseSeconds = 4
)

// anyOf connects to whichever of the members serves, in turns, as etcd's own clients do.
func anyOf(t *testing.T, running *member.Cluster) *grpc.ClientConn {
	t.Helper()
	connection, err := dialAny(running.Members[0], strings.Split(running.Endpoints(), ","))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// dialAny connects to whichever of the endpoints serves, as one dials this member.
func dialAny(as *member.Member, endpoints []string) (*grpc.ClientConn, error) {
	members := manual.NewBuilderWithScheme("members")
	var state resolver.State
	for _, one := range endpoints {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: one})
	}
	members.InitialState(state)
	return as.DialTarget("members:///",
		grpc.WithResolvers(members), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
}

func TestARollingRestartUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), restartTestMax)
	defer cancel()
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	running.Leader(t)
	got := newAnswers()
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for at := range restartClients {
		key := fmt.Sprintf("k%d", at)
		through := plain(pb.NewKVClient(anyOf(t, running)))
		if at%2 == 0 {
			through = retried(etcdClient(ctx, t, running))
		}
		clients.Go(func() { putAndGet(loading, ctx, through, key, got) })
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
	got.check(t, func(told string) bool { return strings.HasSuffix(told, ": OK") || mayBeAskedAgain(told) })
	for told, took := range got.slowest {
		if took > restartCallMax {
			t.Errorf("a call took %v: %s", took, told)
		}
	}
	kept(got.counted["put: OK"] + got.counted["client's put: OK"])
	sameContent(t, running)
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
