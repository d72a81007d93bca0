// A watcher follows a range over disconnects and restarts of members, goes from one to another, goes back at random,
// and remembers every event, so that its history can be compared with the store's.
package history

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

const (
	// reconnectPause keeps a watcher of a dead member from spinning.
	reconnectPause = 5 * time.Millisecond
	// streamTimeMax bounds a stream: a member that is stopped or cut off never ends it.
	streamTimeMax = 5 * time.Second
)

// Watcher is one follower of [key, end).
type Watcher struct {
	key, end string
	// restless watchers disconnect, and resume at revisions that they had seen before.
	restless bool
	random   *rand.Rand
	// revisions are the events by revision; next is the first revision that is not known yet.
	revisions map[int64][]string
	next      int64
	// connects and repeated count streams and events that came again.
	connects, repeated int
	events             []*mvccpb.Event
}

// NewWatcher makes a watcher of what is written from revision 2 on. A restless one disconnects and goes back.
func NewWatcher(seed uint64, key, end string, restless bool) *Watcher {
	return &Watcher{key: key, end: end, restless: restless, random: rand.New(rand.NewPCG(seed, 2)), revisions: map[int64][]string{}, next: 2}
}

// Follow runs until all up to the revision that last names is known; last is 0 while writers go on. Every stream is one
// of any of the members.
func (w *Watcher) Follow(ctx context.Context, members []*member.Member, last func() int64) error {
	for ctx.Err() == nil && !w.knows(last()) {
		connection, err := members[w.random.IntN(len(members))].Dial()
		if err != nil {
			return err
		}
		err = w.stream(ctx, connection, last)
		connection.Close()
		if err != nil {
			return err
		}
		time.Sleep(reconnectPause)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("watch of [%q, %q): %w at revision %d of %d", w.key, w.end, ctx.Err(), w.next, last())
	}
	return nil
}

func (w *Watcher) knows(last int64) bool { return last > 0 && w.next > last }

// stream watches until the stream breaks, which is no error, or until the watcher drops it.
func (w *Watcher) stream(ctx context.Context, connection *grpc.ClientConn, last func() int64) error {
	lasts := streamTimeMax
	if w.restless {
		lasts = time.Duration(w.random.Int64N(int64(streamTimeMax / 2)))
	}
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		return nil
	}
	start := w.next
	if w.restless && w.random.IntN(3) == 0 {
		start = 2 + w.random.Int64N(w.next-1)
	}
	create := &pb.WatchCreateRequest{Key: []byte(w.key), RangeEnd: []byte(w.end), StartRevision: start, ProgressNotify: true, Fragment: w.random.IntN(2) == 0}
	if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}) != nil {
		return nil
	}
	w.connects++
	limit := -1
	if w.restless {
		limit = w.random.IntN(200)
	}
	for received := 0; !w.knows(last()) && (limit < 0 || received < limit); received++ {
		answer, err := stream.Recv()
		if err != nil {
			return nil
		}
		if answer.Canceled {
			return fmt.Errorf("watch of %q from %d was canceled: %v", w.key, start, answer)
		}
		if start, err = w.take(start, answer); err != nil {
			return err
		}
	}
	return nil
}

// take checks a response that must begin at or after the revision, and returns where the next must begin.
func (w *Watcher) take(start int64, answer *pb.WatchResponse) (int64, error) {
	seen := map[int64][]string{}
	for _, event := range answer.Events {
		revision := event.Kv.ModRevision
		if revision < start {
			return 0, fmt.Errorf("watch of %q: revision %d after %d", w.key, revision, start)
		}
		if len(seen) > 0 && seen[revision] == nil && revision < w.highest(seen) {
			return 0, fmt.Errorf("watch of %q: revision %d out of order", w.key, revision)
		}
		seen[revision] = append(seen[revision], fmt.Sprintf("%s %q=%q v%d c%d", event.Type, event.Kv.Key, event.Kv.Value, event.Kv.Version, event.Kv.CreateRevision))
		if revision >= w.next {
			w.events = append(w.events, event)
		}
	}
	for revision, events := range seen {
		known, again := w.revisions[revision]
		if again && fmt.Sprint(known) != fmt.Sprint(events) {
			return 0, fmt.Errorf("watch of %q: revision %d was %v and is %v", w.key, revision, known, events)
		}
		if !again && revision < w.next {
			return 0, fmt.Errorf("watch of %q: revision %d was missing at first", w.key, revision)
		}
		if again {
			w.repeated += len(events)
		}
		w.revisions[revision] = events
	}
	if len(answer.Events) > 0 {
		start = w.highest(seen) + 1
	} else if !answer.Created {
		// A progress notification: all up to its revision has come.
		start = max(start, answer.Header.Revision+1)
	}
	w.next = max(w.next, start)
	return start, nil
}

func (w *Watcher) highest(seen map[int64][]string) int64 {
	highest := int64(0)
	for revision := range seen {
		highest = max(highest, revision)
	}
	return highest
}
