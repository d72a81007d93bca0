// The leadership is handed from member to member under load, and nothing breaks: no request may be lost on its way to
// a leader that is none any more.
package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	transfers         = 30 // at full depth
	transferClients   = 8
	transferPause     = 50 * time.Millisecond
	transferCallMax   = 30 * time.Second
	transferTestMax   = 3 * time.Minute
	leaderChangedText = "Unavailable: etcdserver: leader changed"
)

// answers counts calls by member, what was called and outcome.
type answers struct {
	mutex   sync.Mutex
	counted map[string]int
	slowest map[string]time.Duration
}

func (a *answers) note(call string, took time.Duration, err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	told := call + ": " + member.Outcome(err)
	a.counted[told]++
	a.slowest[told] = max(a.slowest[told], took)
}

func TestNothingIsLostWhenTheLeaderIsMoved(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), transferTestMax)
	defer cancel()
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	running.Leader(t)
	got := &answers{counted: map[string]int{}, slowest: map[string]time.Duration{}}
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for at := range transferClients * len(running.Members) {
		connection, err := running.Members[at%len(running.Members)].Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		clients.Go(func() { putAndGet(loading, ctx, pb.NewKVClient(connection), fmt.Sprintf("k%d", at), got) })
	}
	for range member.Depth(transfers) {
		moveOn(ctx, t, running)
		time.Sleep(transferPause)
	}
	stop()
	clients.Wait()
	for _, told := range slices.Sorted(maps.Keys(got.counted)) {
		t.Logf("%6d times %s (slowest %v)", got.counted[told], told, got.slowest[told].Round(time.Millisecond))
		// Etcd's own answer to a read that waits while another member is elected: nothing was done, ask again.
		if told != "put: OK" && told != "get: OK" && told != "get: "+leaderChangedText {
			t.Errorf("%d calls ended with %s", got.counted[told], told)
		}
	}
	sameContent(t, running)
}

// putAndGet writes a key and reads it back until loading ends; every call is waited for.
func putAndGet(loading, ctx context.Context, kv pb.KVClient, key string, got *answers) {
	for at := 0; loading.Err() == nil; at++ {
		value := fmt.Sprint(at)
		err := timed(ctx, got, "put", func(ctx context.Context) error {
			_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
			return err
		})
		if err != nil {
			continue
		}
		// The key is this client's alone.
		_ = timed(ctx, got, "get", func(ctx context.Context) error {
			answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
			if err == nil && (len(answer.Kvs) != 1 || string(answer.Kvs[0].Value) != value) {
				err = fmt.Errorf("%s is %v after %s was put", key, answer.Kvs, value)
			}
			return err
		})
	}
}

func timed(ctx context.Context, got *answers, call string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, transferCallMax)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	got.note(call, time.Since(began), err)
	return err
}

// moveOn makes the next member lead.
func moveOn(ctx context.Context, t *testing.T, running *member.Cluster) {
	t.Helper()
	leader := running.Leader(t)
	moveTo(ctx, t, leader, running.Members[(slices.Index(running.Members, leader)+1)%len(running.Members)])
}

// moveTo makes `next` lead instead of `leader`.
func moveTo(ctx context.Context, t *testing.T, leader, next *member.Member) {
	t.Helper()
	status, err := next.Status()
	if err != nil {
		t.Fatal(err)
	}
	connection := leader.Connect(t)
	ctx, cancel := context.WithTimeout(ctx, transferCallMax)
	defer cancel()
	if ctx, err = leader.Identified(ctx, connection); err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewMaintenanceClient(connection).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: status.Header.MemberId}); err != nil {
		t.Fatalf("moving the leader to %s: %v", next.Label, err)
	}
}
