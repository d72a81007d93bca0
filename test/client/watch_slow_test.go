package client

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	slowWatchers   = 50
	slowEventBytes = 1 << 20
	// slowGrowthMax is how much memory of its own the member may take on top: its tail and its log's cache, full, and
	// what 50 streams and their queues may hold; far less than the events.
	slowGrowthMax = 320 << 20
	slowWaitMax   = 10 * time.Minute
)

// TestWatchersThatDoNotRead has 50 watchers that read nothing while WATCH_SLOW_MB (192) events of 1 MiB are written.
// A watcher on the same connection gets each of them, the member holds no more memory than its limits say, and when
// one of the 50 reads at last, nothing is missing.
func TestWatchersThatDoNotRead(t *testing.T) {
	server := member.StartNetcd(t, "--quota-backend-bytes=8589934592")
	connection := server.Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), slowWaitMax)
	defer cancel()
	var slow []grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	for range slowWatchers {
		slow = append(slow, openWatch(t, ctx, connection))
	}
	neighbour := openWatch(t, ctx, connection)
	before := residentBytes(t, server)
	count := member.Number(t, "WATCH_SLOW_MB", 192)
	written := make(chan error, 1)
	go func() { written <- writeLarge(ctx, server, count) }()
	largest := before
	expectEvents(t, neighbour, count, func() { largest = max(largest, residentBytes(t, server)) })
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events of 1 MiB past %d watchers that do not read: the member's own memory grew from %d to at most %d MiB",
		count, slowWatchers, before>>20, largest>>20)
	if largest-before > slowGrowthMax {
		t.Errorf("the member's own memory grew by %d MiB", (largest-before)>>20)
	}
	expectEvents(t, slow[slowWatchers/2], count, func() {})
}

func openWatch(t *testing.T, ctx context.Context, connection *grpc.ClientConn) grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse] {
	t.Helper()
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("large/"), RangeEnd: []byte("large0")}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || !answer.Created {
		t.Fatalf("%v, %v", answer, err)
	}
	return stream
}

func writeLarge(ctx context.Context, server *member.Member, count int) error {
	connection, err := server.Dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	kv := pb.NewKVClient(connection)
	for i := range count {
		value := make([]byte, slowEventBytes)
		copy(value, strconv.Itoa(i))
		if _, err := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "large/%d", i%8), Value: value}); err != nil {
			return err
		}
	}
	return nil
}

// expectEvents receives every event in its order.
func expectEvents(t *testing.T, stream grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse], count int, after func()) {
	t.Helper()
	for next := 0; next < count; {
		answer, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %d events: %v", next, err)
		}
		for _, event := range answer.Events {
			if wanted := strconv.Itoa(next); len(event.Kv.Value) != slowEventBytes || strings.TrimRight(string(event.Kv.Value[:16]), "\x00") != wanted {
				t.Fatalf("event %s is %.16q of revision %d", wanted, event.Kv.Value, event.Kv.ModRevision)
			}
			next++
		}
		after()
	}
}

// residentBytes is the member's memory that is not a file's.
func residentBytes(t *testing.T, server *member.Member) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "RssAnon:"); found {
			kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kibibytes << 10
		}
	}
	t.Fatal("no RssAnon")
	return 0
}
