// --experimental-auto-promote with real processes: a learner becomes a voter by itself, and not before it runs.
package cluster

import (
	"context"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestLearnerIsPromotedByItself(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 1, "--experimental-auto-promote")
	if err := put(t, running.Members[0], "k", "v"); err != nil {
		t.Fatal(err)
	}
	_, members := dial(t, running.Members[0])
	joining := running.Join(t)
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	if _, err := members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{joining.PeerURL}, IsLearner: true}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if learners(t, members) != 1 {
		t.Fatal("a learner that does not run was promoted")
	}
	running.Start(t, joining)
	deadline := time.Now().Add(settleMax)
	for learners(t, members) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the learner was not promoted")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := joining.AwaitServing(); err != nil {
		t.Fatal(err)
	}
	if value, err := get(t, joining, "k", false); value != "v" {
		t.Fatalf("the new voter has %q, %v", value, err)
	}
}

// learners counts them in the list of one member.
func learners(t *testing.T, members pb.ClusterClient) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	listed, err := members.MemberList(ctx, &pb.MemberListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, one := range listed.Members {
		if one.IsLearner {
			count++
		}
	}
	return count
}
