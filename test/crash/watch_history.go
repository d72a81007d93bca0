// A watcher of the model check: it follows a range over disconnects and restarts of the member, goes back at random,
// and remembers every event, so that its history can be compared with others.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// reconnectPause keeps a watcher of a dead member from spinning.
const reconnectPause = 5 * time.Millisecond

type follower struct {
	key, end string
	// restless followers disconnect, and resume at revisions that they had seen before.
	restless bool
	random   *rand.Rand
	// revisions are the events by revision; next is the first revision that is not known yet.
	revisions map[int64][]string
	next      int64
	// connects and repeated count streams and events that came again.
	connects, repeated int
	events             []*mvccpb.Event
}

func newFollower(seed uint64, key, end string, restless bool) *follower {
	return &follower{key: key, end: end, restless: restless, random: rand.New(rand.NewPCG(seed, 2)), revisions: map[int64][]string{}, next: 2}
}

// follow runs until all up to the revision that last names is known; last is 0 while writers go on.
func (f *follower) follow(ctx context.Context, server *member.Member, last func() int64) error {
	for ctx.Err() == nil && !f.knows(last()) {
		connection, err := server.Dial()
		if err != nil {
			return err
		}
		err = f.stream(ctx, connection, last)
		connection.Close()
		if err != nil {
			return err
		}
		time.Sleep(reconnectPause)
	}
	return ctx.Err()
}

func (f *follower) knows(last int64) bool { return last > 0 && f.next > last }

// stream watches until the stream breaks, which is no error, or until the follower drops it.
func (f *follower) stream(ctx context.Context, connection *grpc.ClientConn, last func() int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		return nil
	}
	start := f.next
	if f.restless && f.random.IntN(3) == 0 {
		start = 2 + f.random.Int64N(f.next-1)
	}
	create := &pb.WatchCreateRequest{Key: []byte(f.key), RangeEnd: []byte(f.end), StartRevision: start, ProgressNotify: true, Fragment: f.random.IntN(2) == 0}
	if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}) != nil {
		return nil
	}
	f.connects++
	limit := -1
	if f.restless {
		limit = f.random.IntN(200)
	}
	for received := 0; !f.knows(last()) && (limit < 0 || received < limit); received++ {
		answer, err := stream.Recv()
		if err != nil {
			return nil
		}
		if answer.Canceled {
			return fmt.Errorf("watch of %q from %d was canceled: %v", f.key, start, answer)
		}
		if start, err = f.take(start, answer); err != nil {
			return err
		}
	}
	return nil
}

// take checks a response that must begin at or after the revision, and returns where the next must begin.
func (f *follower) take(start int64, answer *pb.WatchResponse) (int64, error) {
	seen := map[int64][]string{}
	for _, event := range answer.Events {
		revision := event.Kv.ModRevision
		if revision < start {
			return 0, fmt.Errorf("watch of %q: revision %d after %d", f.key, revision, start)
		}
		if len(seen) > 0 && seen[revision] == nil && revision < f.highest(seen) {
			return 0, fmt.Errorf("watch of %q: revision %d out of order", f.key, revision)
		}
		seen[revision] = append(seen[revision], fmt.Sprintf("%s %q=%q v%d c%d", event.Type, event.Kv.Key, event.Kv.Value, event.Kv.Version, event.Kv.CreateRevision))
		if revision >= f.next {
			f.events = append(f.events, event)
		}
	}
	for revision, events := range seen {
		known, again := f.revisions[revision]
		if again && fmt.Sprint(known) != fmt.Sprint(events) {
			return 0, fmt.Errorf("watch of %q: revision %d was %v and is %v", f.key, revision, known, events)
		}
		if !again && revision < f.next {
			return 0, fmt.Errorf("watch of %q: revision %d was missing at first", f.key, revision)
		}
		if again {
			f.repeated += len(events)
		}
		f.revisions[revision] = events
	}
	if len(answer.Events) > 0 {
		start = f.highest(seen) + 1
	} else if !answer.Created {
		// A progress notification: all up to its revision has come.
		start = max(start, answer.Header.Revision+1)
	}
	f.next = max(f.next, start)
	return start, nil
}

func (f *follower) highest(seen map[int64][]string) int64 {
	highest := int64(0)
	for revision := range seen {
		highest = max(highest, revision)
	}
	return highest
}
