// Members of real processes that are killed: what was acknowledged stays, the rest goes on, and errors are etcd's.
package cluster

import (
	"fmt"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestEveryMemberTakesWritesAndReads(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	for at, one := range running.Members {
		if err := put(t, one, fmt.Sprintf("k%d", at), "v"); err != nil {
			t.Fatalf("put through %s: %v", one.Label, err)
		}
		for _, other := range running.Members {
			if value, err := get(t, other, fmt.Sprintf("k%d", at), false); value != "v" {
				t.Fatalf("get from %s: %q, %v", other.Label, value, err)
			}
		}
	}
}

func TestLeaderKilled(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	for round := range 3 {
		before := fmt.Sprintf("before-%d", round)
		leader := running.Leader(t)
		if err := put(t, leader, before, "v"); err != nil {
			t.Fatal(err)
		}
		if err := leader.Kill(); err != nil {
			t.Fatal(err)
		}
		rest := []*member.Member{otherThan(running.Members, leader)}
		rest = append(rest, otherThan(running.Members, leader, rest[0]))
		next := running.Leader(t, rest...)
		if next == leader {
			t.Fatal("a killed member leads")
		}
		during := fmt.Sprintf("during-%d", round)
		for _, one := range rest {
			if value, err := get(t, one, before, false); value != "v" {
				t.Fatalf("%s lost what was acknowledged: %q, %v", one.Label, value, err)
			}
			if err := put(t, one, during, one.Label); err != nil {
				t.Fatalf("put through %s: %v", one.Label, err)
			}
		}
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if value, err := get(t, leader, during, false); value != rest[1].Label {
			t.Fatalf("the restarted member has %q, %v", value, err)
		}
	}
	sameContent(t, running)
}

func TestAllKilled(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	for at, one := range running.Members {
		if err := put(t, one, fmt.Sprintf("k%d", at), "v"); err != nil {
			t.Fatal(err)
		}
	}
	running.KillAllBut(t)
	for _, one := range running.Members {
		if err := one.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	for at, one := range running.Members {
		if err := one.AwaitServing(); err != nil {
			t.Fatal(err)
		}
		if value, err := get(t, one, fmt.Sprintf("k%d", at), false); value != "v" {
			t.Fatalf("%s has %q, %v", one.Label, value, err)
		}
	}
}

func TestMajorityLostAsEtcd(t *testing.T) {
	t.Parallel()
	member.Need(t, member.Etcd())
	expected := lostStory(t, "etcd", member.Etcd())
	actual := lostStory(t, "netcd", member.Netcd())
	for at := range expected {
		if actual[at] != expected[at] {
			t.Errorf("netcd: %s\n etcd: %s", actual[at], expected[at])
		}
	}
}

// lostStory is what the last of three members answers.
func lostStory(t *testing.T, label, binary string) story {
	var told story
	running := member.StartCluster(t, label, binary, 3)
	leader := running.Leader(t)
	if err := put(t, leader, "a", "v"); err != nil {
		t.Fatal(err)
	}
	last := otherThan(running.Members, leader)
	if _, err := get(t, last, "a", false); err != nil {
		t.Fatal(err)
	}
	running.KillAllBut(t, last)
	settled(t, "", func() error {
		answer, err := last.Status()
		if err == nil && answer.Leader != 0 {
			return nil
		}
		return fmt.Errorf("no leader")
	})
	value, err := get(t, last, "a", true)
	told.tell("serializable get: %s %q", member.Outcome(err), value)
	_, err = get(t, last, "a", false)
	told.tell("linearizable get: %s", member.Outcome(err))
	told.tell("put: %s", member.Outcome(put(t, last, "b", "v")))
	_, members := dial(t, last)
	_, err = members.MemberList(t.Context(), &pb.MemberListRequest{Linearizable: true})
	told.tell("linearizable member list: %s", member.Outcome(err))
	listed, err := members.MemberList(t.Context(), &pb.MemberListRequest{})
	told.tell("member list: %s, %d members", member.Outcome(err), len(listed.GetMembers()))
	answer, err := last.Status()
	told.tell("status: %s, leader %d, errors %v", member.Outcome(err), answer.GetLeader(), answer.GetErrors())
	return told
}

// sameContent compares what all members hold: keys, values, revisions and versions.
func sameContent(t *testing.T, running *member.Cluster) {
	t.Helper()
	contents := map[string]bool{}
	for _, one := range running.Members {
		connection := one.Connect(t)
		everything := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
		answer, err := pb.NewKVClient(connection).Range(t.Context(), everything)
		if err != nil {
			t.Fatalf("range of %s: %v", one.Label, err)
		}
		contents[fmt.Sprint(answer.Header.Revision, answer.Kvs)] = true
	}
	if len(contents) != 1 {
		t.Fatalf("members differ: %v", contents)
	}
}
