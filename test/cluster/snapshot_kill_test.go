// A member that is killed again and again while a leader's store comes to it: what it has afterwards is its old store
// or the new one, never something of both.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// Kills of one catch-up, at most, before the member is left to finish it.
	killsPerCatchUpMax = 3
	// A kill falls so long after the step of the catch-up that it waits for.
	killDelayMax = 60 * time.Millisecond
	// A step that does not come in this time is over already: an earlier life of the process went through it.
	stepWaitMax = 5 * time.Second
	// What the store holds besides, so that it is on its way for a while.
	ballastKeys, ballastBytes = 300, 128 << 10
)

// steps of a catch-up as they are logged; "": the start of the process.
var steps = []string{"", `"received and saved database snapshot"`, `"applying snapshot"`}

// TestKilledWhileSnapshotArrives makes SNAPSHOT_ROUNDS (3) catch-ups, each with up to three kills; SNAPSHOT_SEED (1)
// chooses the moments.
func TestKilledWhileSnapshotArrives(t *testing.T) {
	seed := member.Number(t, "SNAPSHOT_SEED", 1)
	random := rand.New(rand.NewPCG(uint64(seed), 7))
	running := member.StartCluster(t, "netcd", member.Netcd(), 3, "--snapshot-count=50", "--snapshot-catchup-entries=20", "--log-level=debug")
	for at := range ballastKeys {
		if err := put(t, running.Members[0], fmt.Sprintf("ballast-%d", at), strings.Repeat("b", ballastBytes)); err != nil {
			t.Fatal(err)
		}
	}
	away := otherThan(running.Members, running.Leader(t))
	kills := map[string]int{}
	for range member.Number(t, "SNAPSHOT_ROUNDS", member.Depth(3)) {
		catchUp(t, running, away, func() {
			for range 1 + random.IntN(killsPerCatchUpMax) {
				kills[killDuring(t, random, away)]++
			}
		})
	}
	t.Logf("kills of a member that catches up, by the last step it had logged: %v; every store was the leader's (SNAPSHOT_SEED=%d)", kills, seed)
}

// killDuring kills the member a random time after a random step, starts it again, and returns the last step it took.
func killDuring(t *testing.T, random *rand.Rand, away *member.Member) string {
	t.Helper()
	seen := len(logOf(t, away))
	step := steps[random.IntN(len(steps))]
	for deadline := time.Now().Add(stepWaitMax); !strings.Contains(logOf(t, away)[seen:], step) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(random.Int64N(int64(killDelayMax))))
	if err := away.Kill(); err != nil {
		t.Fatal(err)
	}
	last := "started"
	for _, step := range append(steps[1:], `"applied snapshot"`) {
		if strings.Contains(logOf(t, away)[seen:], step) {
			last = step
		}
	}
	if err := away.Launch(); err != nil {
		t.Fatal(err)
	}
	return last
}

// catchUp takes the member away until it needs the store, starts it, disturbs it, and compares what it then has.
func catchUp(t *testing.T, running *member.Cluster, away *member.Member, disturb func()) {
	t.Helper()
	index := killed(t, away)
	first := otherThan(running.Members, away)
	rest := []*member.Member{first, otherThan(running.Members, away, first)}
	leader := running.Leader(t, rest...)
	writePast(t, []*member.Member{leader, otherThan(rest, leader)}, index)
	if err := away.Launch(); err != nil {
		t.Fatal(err)
	}
	disturb()
	if err := away.AwaitServing(); err != nil {
		t.Fatal(err)
	}
	sameStore(t, away, leader)
	if err := put(t, away, "after", "catch-up"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	revision, err := currentRevision(ctx, away)
	if err != nil {
		t.Fatal(err)
	}
	sameHash(ctx, t, running, revision)
}

// sameStore compares what a member has at its own revision with what the other had at that revision.
func sameStore(t *testing.T, one, other *member.Member) {
	t.Helper()
	hash := func(of *member.Member, revision int64) *pb.HashKVResponse {
		maintenance, _ := dial(t, of)
		ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
		defer cancel()
		answer, err := maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: revision})
		if err != nil {
			t.Fatalf("hash of %s at %d: %v", of.Label, revision, err)
		}
		return answer
	}
	own := hash(one, 0)
	if its := hash(other, own.HashRevision); its.Hash != own.Hash {
		t.Fatalf("%s has hash %d at revision %d, %s has %d", one.Label, own.Hash, own.HashRevision, other.Label, its.Hash)
	}
}

func logOf(t *testing.T, one *member.Member) string {
	t.Helper()
	text, err := one.Log()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func currentRevision(ctx context.Context, of *member.Member) (int64, error) {
	connection, err := of.Dial()
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	answer, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("none")})
	if err != nil {
		return 0, fmt.Errorf("revision of %s: %w", of.Label, err)
	}
	return answer.Header.Revision, nil
}
