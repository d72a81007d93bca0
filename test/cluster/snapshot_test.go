// A member that was away until the log it needs was compacted: it gets a leader's whole store, and keeps it.
package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// Rounds of writes until all members that run have compacted their log; one is enough unless flushes are slow.
	compactRoundsMax = 200
	putsPerRound     = 100
	// Larger than one chunk of a streamed store in sum.
	snapshotValueBytes = 4096
)

func TestSnapshotToMemberThatWasAway(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3,
		"--snapshot-count=50", "--snapshot-catchup-entries=20", "--log-level=debug")
	leader := running.Leader(t)
	away := otherThan(running.Members, leader)
	rest := []*member.Member{leader, otherThan(running.Members, leader, away)}
	putKeptAndDeleted(t, leader)
	for _, key := range []string{"kept", "deleted"} {
		if value, err := get(t, away, key, false); value != "before" {
			t.Fatalf("%s before it goes away: %q, %v", key, value, err)
		}
	}
	index := killed(t, away)
	remove(t, leader, "deleted")
	last := writePast(t, rest, index)

	if err := away.Launch(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"received and saved database snapshot", "applying snapshot", "applied snapshot"} {
		if err := away.AwaitLog(`"` + line + `"`); err != nil {
			t.Fatal(err)
		}
	}
	if err := away.AwaitServing(); err != nil {
		t.Fatal(err)
	}
	holdsAll(t, running, away, last)
	// What follows the snapshot comes through the log.
	if err := put(t, away, "after", "snapshot"); err != nil {
		t.Fatal(err)
	}
	if err := away.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	holdsAll(t, running, away, last)
	if value, err := get(t, away, "after", true); value != "snapshot" {
		t.Fatalf("after: %q, %v", value, err)
	}
}

// What a member misses stays in the leader's log for a while, however few entries others may need: no store is sent.
// That holds for a leader too that was elected meanwhile, and never heard from it.
func TestEntriesToMemberThatWasAway(t *testing.T) {
	t.Run("the leader stays", func(t *testing.T) { entriesToMemberThatWasAway(t, false) })
	t.Run("another leads meanwhile", func(t *testing.T) { entriesToMemberThatWasAway(t, true) })
}

func entriesToMemberThatWasAway(t *testing.T, elsewhere bool) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3,
		"--snapshot-count=200", "--snapshot-catchup-entries=20", "--log-level=debug")
	leader := running.Leader(t)
	away := otherThan(running.Members, leader)
	follower := otherThan(running.Members, leader, away)
	putKeptAndDeleted(t, leader)
	index := killed(t, away)
	remove(t, leader, "deleted")
	if elsewhere {
		moveTo(t.Context(), t, leader, follower)
		leader, follower = follower, leader
	}
	// The other follower, which keeps entries for nobody, has forgotten what is missed long since.
	last := writePast(t, []*member.Member{follower}, index)
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	holdsAll(t, running, away, last)
	if strings.Contains(logOf(t, leader), `"sending database snapshot"`) {
		t.Fatal("the leader sent its store")
	}
	if strings.Contains(logOf(t, away), `"received and saved database snapshot"`) {
		t.Fatal("a store was sent")
	}
	// Nobody misses anything: the leader's log is cut as before.
	writePast(t, []*member.Member{leader}, index+putsPerRound)
}

// putKeptAndDeleted puts the keys that holdsAll looks for; who calls it removes "deleted".
func putKeptAndDeleted(t *testing.T, through *member.Member) {
	t.Helper()
	for _, key := range []string{"kept", "deleted"} {
		if err := put(t, through, key, "before"); err != nil {
			t.Fatal(err)
		}
	}
}

// killed kills a member; it returns the last entry that the member had.
func killed(t *testing.T, one *member.Member) uint64 {
	t.Helper()
	status, err := one.Status()
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Kill(); err != nil {
		t.Fatal(err)
	}
	return status.RaftIndex
}

// writePast puts keys until the members have compacted their logs past an entry; it returns the last key.
func writePast(t *testing.T, members []*member.Member, index uint64) string {
	t.Helper()
	connection := members[0].Connect(t)
	ctx, err := members[0].Identified(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	kv := pb.NewKVClient(connection)
	value := bytes.Repeat([]byte("v"), snapshotValueBytes)
	for round := range compactRoundsMax {
		var last string
		for at := range putsPerRound {
			// One after the other: requests at the same time would share an entry.
			last = fmt.Sprintf("k-%d-%d", round, at)
			if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(last), Value: value}); err != nil {
				t.Fatal(err)
			}
		}
		all := true
		for _, one := range members {
			all = all && compactedTo(t, one) > index
		}
		if all {
			return last
		}
	}
	t.Fatalf("the logs were not compacted past %d", index)
	return ""
}

// compactedTo is the newest compaction of the raft log that the member has logged; 0: none.
func compactedTo(t *testing.T, one *member.Member) uint64 {
	t.Helper()
	var newest uint64
	for line := range strings.Lines(logOf(t, one)) {
		if !strings.Contains(line, `"compacted Raft logs"`) {
			continue
		}
		var fields struct {
			Index uint64 `json:"compact-index"`
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		newest = fields.Index
	}
	return newest
}

func remove(t *testing.T, through *member.Member, key string) {
	t.Helper()
	connection := through.Connect(t)
	answer, err := pb.NewKVClient(connection).DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte(key)})
	if err != nil || answer.Deleted != 1 {
		t.Fatalf("delete %s: %v, %v", key, answer, err)
	}
}

// holdsAll compares what the member itself holds with what was written, and its revision with that of the others.
func holdsAll(t *testing.T, running *member.Cluster, one *member.Member, last string) {
	t.Helper()
	if value, err := get(t, one, last, true); len(value) != snapshotValueBytes {
		t.Fatalf("%s: %d bytes, %v", last, len(value), err)
	}
	if value, err := get(t, one, "kept", true); value != "before" {
		t.Fatalf("kept: %q, %v", value, err)
	}
	if value, err := get(t, one, "deleted", true); value != "" || err == nil {
		t.Fatalf("deleted: %q, %v", value, err)
	}
	sameContent(t, running)
}

func TestSnapshotToNewMember(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3,
		"--snapshot-count=50", "--snapshot-catchup-entries=20", "--log-level=debug")
	leader := running.Leader(t)
	putKeptAndDeleted(t, leader)
	remove(t, leader, "deleted")
	last := writePast(t, running.Members, 1)

	joined := running.Join(t)
	_, members := dial(t, leader)
	if told := settled(t, "etcdserver: unhealthy cluster", func() error {
		_, err := members.MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: []string{joined.PeerURL}})
		return err
	}); told != "OK" {
		t.Fatal(told)
	}
	running.Start(t, joined)
	if err := joined.AwaitLog(`"received and saved database snapshot"`); err != nil {
		t.Fatal(err)
	}
	if err := joined.AwaitServing(); err != nil {
		t.Fatal(err)
	}
	holdsAll(t, running, joined, last)
	// The snapshot brought the members too: the new one counts for the quorum, and finds the others after a restart.
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := joined.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := joined.Start(); err != nil {
		t.Fatal(err)
	}
	if err := put(t, joined, "after", "joining"); err != nil {
		t.Fatal(err)
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	holdsAll(t, running, joined, last)
}
