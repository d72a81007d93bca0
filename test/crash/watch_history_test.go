// The model check of watches: writers and watchers while the member is killed and restarted.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/history"
	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// lifeTimeMax is how long the member lives before it is killed, at most.
	lifeTimeMax = 500 * time.Millisecond
	// modelWaitMax bounds the whole check: whoever waits for an event that was lost waits so long.
	modelWaitMax = 10 * time.Minute
)

// TestWatchHistories kills the member WATCH_KILLS (10) times under WATCH_WRITERS (8) writers and WATCH_FOLLOWERS (12)
// watchers that disconnect and go back; WATCH_SEED chooses the moments. At the end every watcher has had exactly the
// store's history of its range.
func TestWatchHistories(t *testing.T) {
	seed := uint64(member.Number(t, "WATCH_SEED", 1))
	random := rand.New(rand.NewPCG(seed, 1))
	server := member.StartNetcd(t, "--watch-progress-notify-interval=100ms")
	ctx, cancel := context.WithTimeout(t.Context(), modelWaitMax)
	defer cancel()
	var last atomic.Int64
	followers, followed := startFollowers(t, ctx, server, seed, last.Load)
	for range member.Number(t, "WATCH_KILLS", member.Depth(10)) {
		load := startWriters(t, server, seed, random.Uint64())
		time.Sleep(time.Duration(random.Int64N(int64(lifeTimeMax))))
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		load.Wait()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	connection := dial(t, server)
	defer connection.Close()
	kv := pb.NewKVClient(connection)
	// One more write in every range: without it a watcher could not know that nothing is missing.
	revision := int64(0)
	for _, key := range []string{"a0", "b0", "c0", "d0", "e0", "f0", "g0", "h0"} {
		answer, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("last")})
		if err != nil {
			t.Fatal(err)
		}
		revision = answer.Header.Revision
	}
	last.Store(revision)
	for range followers {
		if err := <-followed; err != nil {
			t.Fatalf("with WATCH_SEED=%d: %v", seed, err)
		}
	}
	watched, err := history.Compare(ctx, kv, followers, revision)
	if err != nil {
		t.Fatalf("with WATCH_SEED=%d: %v", seed, err)
	}
	t.Logf("%d revisions; %d watchers on %d streams: %d events as in the store, %d of them received again",
		revision, watched.Watchers, watched.Streams, watched.Events, watched.Repeated)
}

func startFollowers(t *testing.T, ctx context.Context, server *member.Member, seed uint64, last func() int64) ([]*history.Watcher, chan error) {
	ranges := [][2]string{{"\x00", "\x00"}, {"a", "c"}, {"b0", "\x00"}, {"a1", ""}, {"", "e"}, {"c", "d"}}
	var followers []*history.Watcher
	followed := make(chan error)
	for i := range member.Number(t, "WATCH_FOLLOWERS", 12) {
		keys := ranges[i%len(ranges)]
		// The first is the reference: it only follows.
		f := history.NewWatcher(seed*1000+uint64(i), keys[0], keys[1], i > 0)
		followers = append(followers, f)
		go func() { followed <- f.Follow(ctx, []*member.Member{server}, last) }()
	}
	return followers, followed
}

// startWriters makes writers that put, delete and write in transactions until a write fails.
func startWriters(t *testing.T, server *member.Member, seed, round uint64) *sync.WaitGroup {
	var all sync.WaitGroup
	for id := range member.Number(t, "WATCH_WRITERS", 8) {
		connection := dial(t, server)
		all.Go(func() {
			defer connection.Close()
			random := rand.New(rand.NewPCG(seed+uint64(id), round))
			kv := pb.NewKVClient(connection)
			for n := 0; ; n++ {
				if err := writeSomething(kv, random, fmt.Sprintf("%d.%d.%d", round, id, n)); err != nil {
					return
				}
			}
		})
	}
	return &all
}

func writeSomething(kv pb.KVClient, random *rand.Rand, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWaitMax)
	defer cancel()
	key := func() []byte { return fmt.Appendf(nil, "%c%d", 'a'+random.IntN(8), random.IntN(4)) }
	put := func(key []byte) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte(value)}}}
	}
	var err error
	switch random.IntN(6) {
	case 0:
		_, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key()})
	case 1:
		from := key()
		_, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: from, RangeEnd: append(from, 'z')})
	case 2:
		one, other := key(), key()
		other[0] = 'a' + (one[0]-'a'+1)%8
		_, err = kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put(one), put(other)}})
	default:
		_, err = kv.Put(ctx, &pb.PutRequest{Key: key(), Value: []byte(value)})
	}
	return err
}
