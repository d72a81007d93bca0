// The leadership is handed from member to member under load, and nothing breaks: no request may be lost on its way to
// a leader that is none any more.
package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	transfers       = 30 // at full depth
	transferClients = 8
	transferPause   = 50 * time.Millisecond
	transferTestMax = 3 * time.Minute
)

func TestNothingIsLostWhenTheLeaderIsMoved(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), transferTestMax)
	defer cancel()
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	running.Leader(t)
	got := newAnswers()
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for at := range transferClients * len(running.Members) {
		connection, err := running.Members[at%len(running.Members)].Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		clients.Go(func() { putAndGet(loading, ctx, plain(pb.NewKVClient(connection)), fmt.Sprintf("k%d", at), got) })
	}
	for range member.Depth(transfers) {
		moveOn(ctx, t, running)
		time.Sleep(transferPause)
	}
	stop()
	clients.Wait()
	got.check(t, func(told string) bool {
		// Etcd's own answer to a read that waits while another member is elected: nothing was done, ask again.
		return told == "put: OK" || told == "get: OK" || told == "get: "+leaderChangedText
	})
	sameContent(t, running)
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
	ctx, cancel := context.WithTimeout(ctx, loadCallMax)
	defer cancel()
	if ctx, err = leader.Identified(ctx, connection); err != nil {
		t.Fatal(err)
	}
	if _, err := pb.NewMaintenanceClient(connection).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: status.Header.MemberId}); err != nil {
		t.Fatalf("moving the leader to %s: %v", next.Label, err)
	}
}
