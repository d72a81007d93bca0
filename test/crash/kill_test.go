// kill -9 in the middle of load, again and again on the same data.
package crash

import (
	"math/rand/v2"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	connectionCount = 8
	// A kill falls at a random moment of this long a load.
	loadTimeMax = 300 * time.Millisecond
)

// TestKill kills the member CRASH_KILLS (30) times under CRASH_WORKERS (64) clients; CRASH_SEED chooses the
// moments. After every restart all that was acknowledged must be there exactly once.
func TestKill(t *testing.T) {
	kills := member.Number(t, "CRASH_KILLS", member.Depth(30))
	seed := member.Number(t, "CRASH_SEED", 1)
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	server := member.StartNetcd(t)
	var workers []*worker
	for id := range member.Number(t, "CRASH_WORKERS", 64) {
		workers = append(workers, newWorker(id))
	}
	known := newReadBack()
	for kill := range kills {
		loadAndKill(t, server, workers, time.Duration(random.Int64N(int64(loadTimeMax))))
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		connection := dial(t, server)
		if err := known.verify(pb.NewKVClient(connection), workers); err != nil {
			t.Fatalf("after kill %d with CRASH_SEED=%d: %v", kill+1, seed, err)
		}
		connection.Close()
	}
	// Once more from the beginning, so that what earlier checks saw is still as they saw it.
	connection := dial(t, server)
	defer connection.Close()
	if err := newReadBack().verify(pb.NewKVClient(connection), workers); err != nil {
		t.Fatalf("at the end, with CRASH_SEED=%d: %v", seed, err)
	}
	acknowledged, unknown := counted(workers)
	if acknowledged == 0 {
		t.Fatal("no write was acknowledged: nothing was tested")
	}
	t.Logf("%d kills: %d acknowledged writes all there exactly once, %d of unknown fate at most once, revision %d",
		kills, acknowledged, unknown, known.revision)
}

// TestKillOverTLS is TestKill with TLS on both URLs and authentication, where clients are who their certificates name.
func TestKillOverTLS(t *testing.T) {
	member.OverTLS(t, member.Secure{User: "root", Auth: true})
	TestKill(t)
}

func loadAndKill(t *testing.T, server *member.Member, workers []*worker, after time.Duration) {
	t.Helper()
	var connections []*grpc.ClientConn
	for range connectionCount {
		connection := dial(t, server)
		defer connection.Close()
		connections = append(connections, connection)
	}
	killed := make(chan error, 1)
	time.AfterFunc(after, func() { killed <- server.Kill() })
	load(workers, connections, nil)
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, server *member.Member) *grpc.ClientConn {
	t.Helper()
	connection, err := server.Dial()
	if err != nil {
		t.Fatal(err)
	}
	return connection
}

// counted returns the numbers of acknowledged writes and of writes of unknown fate.
func counted(workers []*worker) (acknowledged, unknown int) {
	for _, worker := range workers {
		for key, attempts := range worker.attempts {
			if key == worker.right() {
				continue
			}
			for _, made := range attempts {
				if made.acknowledged {
					acknowledged++
				} else {
					unknown++
				}
			}
		}
	}
	return acknowledged, unknown
}
