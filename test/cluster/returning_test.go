// Members that were away while the cluster became another: what they know of the others may be arbitrarily old.
package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// replaced is a cluster whose members come and go.
type replaced struct {
	*member.Cluster
	t *testing.T
	// in are the members that run and belong to it.
	in []*member.Member
}

func (r *replaced) change(call func(ctx context.Context, members pb.ClusterClient) error) {
	r.t.Helper()
	_, members := dial(r.t, r.in[len(r.in)-1])
	ctx, cancel := context.WithTimeout(r.t.Context(), callTimeout)
	defer cancel()
	if err := call(ctx, members); err != nil {
		r.t.Fatal(err)
	}
}

// ids are those of the members by their peer URLs.
func (r *replaced) ids() map[string]uint64 {
	r.t.Helper()
	ids := map[string]uint64{}
	r.change(func(ctx context.Context, members pb.ClusterClient) error {
		listed, err := members.MemberList(ctx, &pb.MemberListRequest{})
		for _, one := range listed.GetMembers() {
			ids[one.PeerURLs[0]] = one.ID
		}
		return err
	})
	return ids
}

// initial is the value of --initial-cluster for one that joins now.
func (r *replaced) initial() string {
	r.t.Helper()
	var parts []string
	ids := r.ids()
	for at, one := range r.Members {
		if _, there := ids[one.PeerURL]; there {
			parts = append(parts, fmt.Sprintf("m%d=%s", at+1, one.PeerURL))
		}
	}
	return strings.Join(parts, ",")
}

// join adds a member and waits until it serves.
func (r *replaced) join() *member.Member {
	r.t.Helper()
	joining := r.Join(r.t)
	r.change(func(ctx context.Context, members pb.ClusterClient) error {
		_, err := members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{joining.PeerURL}})
		return err
	})
	joining.AddFlags("--initial-cluster=" + r.initial())
	r.Start(r.t, joining)
	if err := joining.AwaitServing(); err != nil {
		r.t.Fatal(err)
	}
	r.in = append(r.in, joining)
	return joining
}

func (r *replaced) remove(leaving *member.Member) {
	r.t.Helper()
	r.without(leaving)
	id := r.ids()[leaving.PeerURL]
	r.change(func(ctx context.Context, members pb.ClusterClient) error {
		_, err := members.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
		return err
	})
	if err := leaving.Kill(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replaced) without(gone *member.Member) {
	r.in = slices.DeleteFunc(slices.Clone(r.in), func(one *member.Member) bool { return one == gone })
}

func (r *replaced) away(one *member.Member) {
	r.t.Helper()
	r.without(one)
	if err := one.Kill(); err != nil {
		r.t.Fatal(err)
	}
	r.Leader(r.t, r.in...)
}

func (r *replaced) lead(next *member.Member) {
	r.t.Helper()
	if leader := r.Leader(r.t, r.in...); leader != next {
		moveTo(r.t.Context(), r.t, leader, next)
	}
}

// returns starts a member again, which must then have what was written while it was away.
func (r *replaced) returns(one *member.Member, key string) {
	r.t.Helper()
	if err := one.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.in = append(r.in, one)
	if value, err := get(r.t, one, key, false); value != key {
		r.t.Fatalf("%s is back with %q, %v", one.Label, value, err)
	}
}

func (r *replaced) put(key string) {
	r.t.Helper()
	if err := put(r.t, r.in[len(r.in)-1], key, key); err != nil {
		r.t.Fatal(err)
	}
}

func TestWhoWasAwayFindsTheClusterWhateverBecameOfIt(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3, "--strict-reconfig-check=false")
	cluster := &replaced{Cluster: running, t: t, in: running.Members}
	a, b, c := running.Members[0], running.Members[1], running.Members[2]

	cluster.away(a)
	d := cluster.join()
	cluster.lead(d)
	cluster.put("led by one that joined")
	cluster.returns(a, "led by one that joined")

	cluster.away(a)
	cluster.remove(b)
	cluster.join()
	cluster.remove(c)
	f := cluster.join()
	cluster.lead(f)
	cluster.remove(d)
	cluster.put("all others are new")
	cluster.returns(a, "all others are new")

	// Only with the vote of the one that comes back can a leader be found, and it knows the other where nobody is now.
	cluster.away(a)
	e := cluster.in[0]
	id := cluster.ids()[e.PeerURL]
	moved, err := member.New(member.Options{Label: "moved", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cluster.change(func(ctx context.Context, members pb.ClusterClient) error {
		_, err := members.MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: id, PeerURLs: []string{moved.PeerURL}})
		return err
	})
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	e.PeerURL = moved.PeerURL
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	cluster.put("moved")
	if err := f.Kill(); err != nil {
		t.Fatal(err)
	}
	cluster.returns(a, "moved")
}

// A follower that lost its disk promises nothing any more: it must not go on, and must say why.
func TestFollowerThatLostItsDataSaysSo(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	leader := running.Leader(t)
	emptied := otherThan(running.Members, leader)
	if err := put(t, leader, "k", "v"); err != nil {
		t.Fatal(err)
	}
	for state, text := range map[string]string{
		"new": "has already been bootstrapped",
		// Etcd panics with the same text.
		"existing": "is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?",
	} {
		if err := emptied.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(emptied.DataDir); err != nil {
			t.Fatal(err)
		}
		emptied.AddFlags("--initial-cluster-state=" + state)
		if err := emptied.Launch(); err != nil {
			t.Fatal(err)
		}
		if err := emptied.AwaitLog(text); err != nil {
			t.Fatal(err)
		}
		select {
		case <-emptied.Exited():
		case <-time.After(member.StopWaitMax):
			t.Fatalf("%s: it goes on", state)
		}
		if code := emptied.ExitCode(); code == 0 {
			t.Fatalf("%s: it ends as if all were well", state)
		}
	}
}
