// The load under which certificates are replaced: writers that connect anew again and again, each time with what is good
// now, and watchers; in the end every acknowledged write must be there exactly once, and have been seen once.
package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

const (
	tlsWriters = 6
	// A writer makes so many puts over a connection, and rests between two, so that handshakes go on all the time.
	putsPerConnection = 20
	writerRest        = 5 * time.Millisecond
	// A write that waits for a handshake takes milliseconds on a machine that has nothing else to do.
	replacedCallMax = 3 * time.Second
	turnoverTestMax = 5 * time.Minute
)

// turnover is a load on a cluster whose certificates change.
type turnover struct {
	t *testing.T
	// connect makes a new connection for a writer: with the certificates that are good now.
	connect func(writer int) (*grpc.ClientConn, error)
	got     *answers
	ended   sync.WaitGroup
	stop    context.CancelFunc

	mutex sync.Mutex
	// revisions of all puts that were acknowledged, by key; no key is written twice. tried counts all.
	revisions   map[string]int64
	tried       map[string]bool
	connections int
	watched     []*watched
}

// watched is what one watcher has seen: how often each revision, and up to which.
type watched struct {
	name string
	seen map[int64][]*mvccpb.KeyValue
	last int64
	// leave ends it; what comes later is no longer its business.
	leave context.CancelFunc
	left  bool
}

func newTurnover(t *testing.T, connect func(writer int) (*grpc.ClientConn, error)) *turnover {
	return &turnover{t: t, connect: connect, got: newAnswers(), revisions: map[string]int64{}, tried: map[string]bool{}}
}

// begin starts the writers, which go on until finish.
func (l *turnover) begin(ctx context.Context) {
	loading, stop := context.WithCancel(ctx)
	l.stop = stop
	l.t.Cleanup(stop)
	for writer := range tlsWriters {
		l.ended.Go(func() {
			for at := 0; loading.Err() == nil; at += putsPerConnection {
				l.write(loading, ctx, writer, at)
			}
		})
	}
}

// write makes a connection and so many puts over it, each to a key of its own.
func (l *turnover) write(loading, ctx context.Context, writer, from int) {
	connection, err := l.connect(writer)
	if err != nil {
		l.got.note("connect", 0, err)
		return
	}
	defer connection.Close()
	l.mutex.Lock()
	l.connections++
	l.mutex.Unlock()
	kv := pb.NewKVClient(connection)
	for at := from; at < from+putsPerConnection && loading.Err() == nil; at++ {
		key := fmt.Sprintf("w%02d/%06d", writer, at)
		var revision int64
		err := timed(ctx, l.got, "put", func(ctx context.Context) error {
			answer, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(key)})
			revision = answer.GetHeader().GetRevision()
			return err
		})
		l.mutex.Lock()
		l.tried[key] = true
		if err == nil {
			l.revisions[key] = revision
		}
		l.mutex.Unlock()
		time.Sleep(writerRest)
	}
}

// watchPlainly watches all keys on one stream of one connection, which nothing may end.
func (l *turnover) watchPlainly(ctx context.Context, name string, connection *grpc.ClientConn) {
	l.t.Helper()
	ctx, leave := context.WithCancel(ctx)
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err == nil {
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
			Key: []byte("w"), RangeEnd: []byte("x"), StartRevision: 1}}})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.watch(ctx, &watched{name: name, leave: leave}, func() ([]*clientv3.Event, error) {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return eventsOf(answer), nil
	})
}

// watchAsUsers watches all keys with etcd's client, which goes to another member when a stream ends.
func (l *turnover) watchAsUsers(ctx context.Context, name string, client *clientv3.Client) *watched {
	ctx, leave := context.WithCancel(ctx)
	one := &watched{name: name, leave: leave}
	events := client.Watch(ctx, "w", clientv3.WithPrefix(), clientv3.WithRev(1))
	l.watch(ctx, one, func() ([]*clientv3.Event, error) {
		answer, open := <-events
		if !open {
			return nil, fmt.Errorf("the watch of %s was closed", name)
		}
		return answer.Events, answer.Err()
	})
	return one
}

// dismiss ends a watcher: it must have seen what there was, and sees no more.
func (l *turnover) dismiss(one *watched) {
	l.mutex.Lock()
	one.left = true
	l.mutex.Unlock()
	one.leave()
}

func eventsOf(answer *pb.WatchResponse) []*clientv3.Event {
	var events []*clientv3.Event
	for _, one := range answer.Events {
		events = append(events, (*clientv3.Event)(one))
	}
	return events
}

func (l *turnover) watch(ctx context.Context, one *watched, receive func() ([]*clientv3.Event, error)) {
	one.seen = map[int64][]*mvccpb.KeyValue{}
	l.t.Cleanup(one.leave)
	l.watched = append(l.watched, one)
	go func() {
		for {
			events, err := receive()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				l.got.note(one.name, 0, err)
				return
			}
			l.mutex.Lock()
			if one.left {
				l.mutex.Unlock()
				return
			}
			for _, event := range events {
				one.seen[event.Kv.ModRevision] = append(one.seen[event.Kv.ModRevision], event.Kv)
				one.last = max(one.last, event.Kv.ModRevision)
			}
			l.mutex.Unlock()
		}
	}()
}

// finish ends the writers and compares what they were told with the store and with what watchers saw.
func (l *turnover) finish(ctx context.Context, store pb.KVClient) {
	l.t.Helper()
	l.stop()
	l.ended.Wait()
	answer, err := store.Range(ctx, &pb.RangeRequest{Key: []byte("w"), RangeEnd: []byte("x")})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, one := range l.watched {
		l.awaitSeen(one, answer.Kvs)
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	found := map[string]bool{}
	for _, pair := range answer.Kvs {
		key := string(pair.Key)
		found[key] = true
		acknowledged, known := l.revisions[key]
		if !l.tried[key] || pair.Version != 1 || string(pair.Value) != key || known && acknowledged != pair.ModRevision {
			l.t.Errorf("the store has %v; acknowledged at %d", pair, acknowledged)
		}
	}
	for key, revision := range l.revisions {
		if !found[key] {
			l.t.Errorf("%s was acknowledged at revision %d and is lost", key, revision)
		}
	}
	l.t.Logf("%d writes over %d connections, %d of them acknowledged, all there exactly once; %d watchers saw each once",
		len(l.tried), l.connections, len(l.revisions), len(l.watched))
	if len(l.revisions) == 0 {
		l.t.Error("no write was acknowledged: nothing was tested")
	}
}

// awaitSeen waits until a watcher knows of the last write, and compares all that it saw with the store.
func (l *turnover) awaitSeen(one *watched, stored []*mvccpb.KeyValue) {
	l.t.Helper()
	last := int64(0)
	for _, pair := range stored {
		last = max(last, pair.ModRevision)
	}
	for deadline := time.Now().Add(settleMax); !l.knows(one, last); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Errorf("%s saw revision %d and never %d", one.name, one.last, last)
			return
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	due := 0
	for _, pair := range stored {
		if one.left && pair.ModRevision > one.last {
			continue
		}
		due++
		if events := one.seen[pair.ModRevision]; len(events) != 1 || string(events[0].Key) != string(pair.Key) {
			l.t.Errorf("%s saw %v of %v", one.name, events, pair)
		}
	}
	if len(one.seen) != due || due == 0 {
		l.t.Errorf("%s saw %d revisions of %d", one.name, len(one.seen), due)
	}
}

func (l *turnover) knows(one *watched, last int64) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return one.left || one.last >= last
}

// quick is an error for every call that took longer than one may that waits for no leader.
func (l *turnover) quick() {
	l.t.Helper()
	for told, took := range l.got.slowest {
		if took > replacedCallMax {
			l.t.Errorf("a call took %v: %s", took, told)
		}
	}
}

// endpointOf spreads writers over the members.
func endpointOf(running *member.Cluster, writer int) *member.Member {
	return running.Members[writer%len(running.Members)]
}
