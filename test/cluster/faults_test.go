// Faults under load: clients and watchers record what they see while members are killed, stopped, cut off from each
// other and kept from their disks; what they saw must be linearizable, and the members must end up equal.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/history"
	"netcd.test/member"
	"netcd.test/netlab"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// goOnMax bounds the time in which members that can go on must answer a put, and all must after the mending.
	goOnMax = 45 * time.Second
	// faultTimeMax is how long a fault lasts at most beyond what it takes others to go on.
	faultTimeMax = time.Second
	// Members that go on do so for this many puts each: the first may still profit from what was on its way.
	putsUnderFault = 10
	// stalledPutWait is how long a write through a member without a disk is waited for.
	stalledPutWait = 500 * time.Millisecond
	// scenarioMax bounds one run: a hang is a failure.
	scenarioMax   = 15 * time.Minute
	faultWatchers = 8
)

// With odd seeds the log is so short that a member that missed some fifty entries needs the leader's store.
var shortLog = []string{"--snapshot-count=5", "--snapshot-catchup-entries=10"}

// TestFaults runs every kind of fault once, in a random order, against 3 and then 5 members; now and then two at a
// time. FAULT_SEED (1) is the first seed and FAULT_RUNS (1) how many follow; FAULT_MEMBERS=3 or 5 runs one size only;
// FAULT_KINDS is a pattern of the kinds to choose from, FAULT_ROUNDS (1) how often each comes in a run; FAULT_CLIENTS
// (10) and FAULT_PAUSE_MS (60 at most between two operations of a client) make the load. NETCD=path tests another
// server: real etcd must pass, too.
func TestFaults(t *testing.T) {
	first := member.Number(t, "FAULT_SEED", 1)
	for seed := first; seed < first+member.Number(t, "FAULT_RUNS", 1); seed++ {
		for _, size := range []int{3, 5} {
			// Five members only at full depth, or when they are asked for.
			if only := member.Number(t, "FAULT_MEMBERS", min(size, max(3, member.Depth(5)))); only == size {
				t.Run(fmt.Sprintf("%d members, seed %d", size, seed), func(t *testing.T) { underFaults(t, size, uint64(seed)) })
			}
		}
	}
}

// TestFaultsOverTLS runs every kind of fault once against 3 members with TLS between them and to clients.
func TestFaultsOverTLS(t *testing.T) {
	member.OverTLS(t, member.Secure{User: "root"})
	underFaults(t, 3, member.Number(t, "FAULT_SEED", uint64(1)))
}

func underFaults(t *testing.T, size int, seed uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), scenarioMax)
	defer cancel()
	s := newScene(t, size, seed)
	pauseMax := time.Duration(member.Number(t, "FAULT_PAUSE_MS", 60)) * time.Millisecond
	recorder := history.NewRecorder(s.running.Members, pauseMax)
	if err := recorder.Start(ctx, seed, member.Number(t, "FAULT_CLIENTS", 10)); err != nil {
		t.Fatal(err)
	}
	defer recorder.Stop()
	probe, err := recorder.Client(seed)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	s.probe = probe
	var last atomic.Int64
	watchers, watched := watchAll(ctx, s.running.Members, seed, last.Load)

	strikeAll(ctx, t, s)
	recorder.Stop()
	last.Store(lastRevision(ctx, t, s))
	for range watchers {
		if err := <-watched; err != nil {
			t.Fatal(err)
		}
	}
	hash := sameHash(ctx, t, s.running, last.Load())
	operations, unknown := recorder.Operations()
	checkAll(ctx, t, s, operations, watchers, last.Load())
	t.Logf("%v, %d processes killed, %d stores sent to members; %d operations, %d of them without an answer; hash %d at revision %d on all %d members: zero violations",
		s.done, s.killed, storesInstalled(t, s.running), len(operations), unknown, hash, last.Load(), size)
}

// newScene starts the members: in a network of their own if one can be made.
func newScene(t *testing.T, size int, seed uint64) *scene {
	t.Helper()
	s := &scene{random: rand.New(rand.NewPCG(seed, uint64(size))), disks: newStalls(t, member.Netcd(), size), dead: map[int]bool{}, done: map[string]int{}}
	places := make([]member.Place, size)
	if missing := netlab.Missing(); missing == "" {
		s.lab = netlab.New(t, size)
		for at, host := range s.lab.Hosts {
			places[at] = host.Place()
		}
	} else {
		leftOut(t, "partitions", missing)
	}
	for at := range places {
		places[at].Environment = s.disks.environment(at)
	}
	flags := []string{"--watch-progress-notify-interval=100ms"}
	if seed%2 == 1 {
		flags = append(flags, shortLog...)
	}
	s.running = member.StartClusterAt(t, "netcd", member.Netcd(), places, flags...)
	return s
}

// leftOut says aloud what cannot be tested here; with CI=true that is a failure.
func leftOut(t *testing.T, what, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s cannot be tested: %s", what, why)
	}
	t.Logf("SKIPPED: %s: %s", what, why)
}

func watchAll(ctx context.Context, members []*member.Member, seed uint64, last func() int64) ([]*history.Watcher, chan error) {
	ranges := [][2]string{{"\x00", "\x00"}, {"a", "c"}, {"b", "\x00"}, {"a", ""}, {"", "e"}, {"c", "d"}}
	var watchers []*history.Watcher
	watched := make(chan error, faultWatchers)
	for at := range faultWatchers {
		keys := ranges[at%len(ranges)]
		// The first is the reference: it goes from member to member, but never back.
		one := history.NewWatcher(seed*1000+uint64(at), keys[0], keys[1], at > 0)
		watchers = append(watchers, one)
		go func() { watched <- one.Follow(ctx, members, last) }()
	}
	return watchers, watched
}

// strikeAll does every kind of fault FAULT_ROUNDS times in a random order, one in four together with the next.
func strikeAll(ctx context.Context, t *testing.T, s *scene) {
	t.Helper()
	pattern, err := regexp.Compile(os.Getenv("FAULT_KINDS"))
	if err != nil {
		t.Fatal(err)
	}
	var order []kind
	for range member.Number(t, "FAULT_ROUNDS", 1) {
		order = append(order, s.possible(pattern)...)
	}
	if len(order) == 0 {
		t.Fatalf("FAULT_KINDS=%v matches nothing that can be done here", pattern)
	}
	s.random.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
	for at := 0; at < len(order); at++ {
		now := order[at : at+1]
		if at+1 < len(order) && s.random.IntN(4) == 0 {
			now = order[at : at+2]
			at++
		}
		strikeTogether(ctx, t, s, now)
	}
}

// strikeTogether does one or two faults, insists that who can goes on, mends, and insists that all go on.
func strikeTogether(ctx context.Context, t *testing.T, s *scene, faults []kind) {
	t.Helper()
	began := time.Now()
	var names []string
	var able []int
	for at, one := range faults {
		if at > 0 {
			time.Sleep(s.moment())
		}
		names = append(names, one.name)
		var err error
		if able, err = one.strike(t, s); err != nil {
			t.Fatalf("%v: %v", names, err)
		}
		s.done[one.counts]++
	}
	if len(faults) > 1 {
		// Nobody has reckoned who can still go on.
		able = nil
	}
	told := strings.Join(names, " and ")
	for range putsUnderFault {
		goOn(ctx, t, s, able, told)
	}
	wentOn := time.Since(began)
	time.Sleep(s.moment())
	if err := s.mend(); err != nil {
		t.Fatalf("mending after %s: %v", told, err)
	}
	goOn(ctx, t, s, s.rest(), "mending after "+told)
	t.Logf("%s: others went on after %v, all after %v", told, wentOn.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}

// storesInstalled counts the stores of leaders that took the place of members' own.
func storesInstalled(t *testing.T, running *member.Cluster) int {
	t.Helper()
	count := 0
	for _, one := range running.Members {
		count += strings.Count(logOf(t, one), `"applied snapshot"`)
	}
	return count
}

func (s *scene) moment() time.Duration { return time.Duration(s.random.Int64N(int64(faultTimeMax))) }

// goOn insists that a put is answered through every one of the members that can go on.
func goOn(ctx context.Context, t *testing.T, s *scene, able []int, after string) {
	t.Helper()
	deadline := time.Now().Add(goOnMax)
	for _, at := range able {
		for {
			err := s.probe.Put(ctx, at, history.Key(at), 2*time.Second)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s still takes no writes %v after %s: %v", s.running.Members[at].Label, goOnMax, after, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// lastRevision writes once more in every range, so that every watcher knows when nothing is missing.
func lastRevision(ctx context.Context, t *testing.T, s *scene) int64 {
	t.Helper()
	for at := range 6 {
		if err := s.probe.Put(ctx, at%s.size(), history.Key(at), callTimeout); err != nil {
			t.Fatal(err)
		}
	}
	revision, err := currentRevision(ctx, s.running.Members[0])
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// sameHash asks every member for the hash of its store at the revision.
func sameHash(ctx context.Context, t *testing.T, running *member.Cluster, revision int64) uint32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, goOnMax)
	defer cancel()
	hashes := map[uint32][]string{}
	var hash uint32
	for _, one := range running.Members {
		// A linearizable read is answered when the member has applied all that was written.
		if _, err := currentRevision(ctx, one); err != nil {
			t.Fatal(err)
		}
		maintenance, _ := dial(t, one)
		answer, err := maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: revision})
		if err != nil {
			t.Fatalf("hash of %s: %v", one.Label, err)
		}
		hash = answer.Hash
		told := fmt.Sprintf("%s (compacted at %d)", one.Label, answer.CompactRevision)
		hashes[hash] = append(hashes[hash], told)
	}
	if len(hashes) != 1 {
		t.Fatalf("members differ at revision %d: %v", revision, hashes)
	}
	return hash
}

func checkAll(ctx context.Context, t *testing.T, s *scene, operations []*history.Operation, watchers []*history.Watcher, revision int64) {
	t.Helper()
	connection := s.running.Members[0].Connect(t)
	watched, err := history.Compare(ctx, pb.NewKVClient(connection), watchers, revision)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	checked, err := history.Check(operations, watchers[0].Events())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations in order (%d of them without an answer and found in the store, %d not done), %d serializable reads, in %v; %d events of %d watchers on %d streams, %d of them again",
		checked.Operations, checked.Learnt, checked.Dropped, checked.Serializable, time.Since(began).Round(time.Millisecond),
		watched.Events, watched.Watchers, watched.Streams, watched.Repeated)
}
