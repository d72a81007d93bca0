// The differential run over watch streams: seeded mixes of writes, compactions and watchers with every
// option; each watcher's stream is compared event by event.
package compat

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"netcd.test/member"
)

const (
	watchStreamsMax  = 4
	watchersPerMax   = 12
	watchGivenIDsMax = 6
)

// watchPair is one stream to each server, with the same requests on both.
type watchPair struct {
	netcd, etcd *watchStream
	live        []int64
	// future is the highest start: until the store is there, etcd answers no request for progress.
	future int64
}

func (w *watchPair) both(do func(stream *watchStream) error) error {
	return errors.Join(do(w.netcd), do(w.etcd))
}

type watchRun struct {
	*pair
	g       *generator
	streams []*watchPair
	events  int
}

// TestWatch makes COMPAT_WATCH_COUNT (600) steps for each of COMPAT_RUNS (2) seeds.
func TestWatch(t *testing.T) {
	need(t, watches)
	forSeeds(t, "COMPAT_RUNS", 2, func(t *testing.T, seed uint64) {
		run := &watchRun{pair: newPair(t, fmt.Sprintf("watch with COMPAT_SEED=%d", seed)), g: newGenerator(seed)}
		for range member.Number(t, "COMPAT_WATCH_COUNT", member.Depth(600)) {
			run.step()
		}
		run.end(t)
	})
}

// end closes what is open and says what was compared.
func (r *watchRun) end(t *testing.T) {
	for len(r.streams) > 0 {
		r.closeStream(0)
	}
	r.report()
	if r.events == 0 {
		t.Error("no event was compared")
	}
	t.Logf("%d events compared", r.events)
	requireAlive(r.pair)
}

func (r *watchRun) step() {
	switch n := r.g.random.IntN(100); {
	case n < 70:
		call := r.g.next()
		if _, compaction := call.Request.(*pb.CompactionRequest); compaction {
			// A watcher that still catches up may or may not be overtaken by the compaction.
			r.settleAll()
		}
		r.g.follow(call, r.compare(call))
	case n < 74:
		if len(r.streams) < watchStreamsMax {
			r.openStream()
		}
	case n < 76:
		if len(r.streams) > 0 {
			r.closeStream(r.g.random.IntN(len(r.streams)))
		}
	case n < 93:
		r.createWatch()
	default:
		r.cancelWatch()
	}
}

func (r *watchRun) openStream() {
	r.turn()
	netcd, err := openWatch(r.netcd)
	r.must(err)
	etcd, err := openWatch(r.etcd)
	r.must(err)
	r.streams = append(r.streams, &watchPair{netcd: netcd, etcd: etcd})
}

func (r *watchRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s, call %d: %v", r.what, r.compared, err)
	}
}

func (r *watchRun) createWatch() {
	if len(r.streams) == 0 {
		return
	}
	w := pick(r.g, r.streams...)
	if len(w.live) >= watchersPerMax {
		return
	}
	if r.crowd != nil {
		// What is past and what is future is the same on both sides.
		r.crowd.catchUp(w.netcd.connection)
	}
	request := r.createRequest()
	ended := w.etcd.canceled
	ours, err := w.netcd.create(request)
	r.must(err)
	theirs, err := w.etcd.create(request)
	r.must(err)
	if ours.WatchId != theirs.WatchId {
		r.differ(fmt.Sprintf("create {%s}", abridged(request)), abridged(ours), abridged(theirs))
	}
	if theirs.Canceled {
		return
	}
	if request.StartRevision > 0 && request.StartRevision < r.g.compacted {
		// It ends at once, by compaction.
		r.must(w.both(func(stream *watchStream) error {
			if err := stream.await("a compacted watcher's end", func() bool { return stream.canceled > ended }); err != nil {
				return err
			}
			// etcd keeps it in the stream all the same, and answers no request for progress until it is canceled.
			return stream.sendCancel(theirs.WatchId)
		}))
		return
	}
	w.live = append(w.live, theirs.WatchId)
	w.future = max(w.future, request.StartRevision)
}

func (r *watchRun) createRequest() *pb.WatchCreateRequest {
	g := r.g
	key := g.key()
	request := &pb.WatchCreateRequest{Key: key, RangeEnd: g.rangeEnd(key), PrevKv: g.oneIn(3), Fragment: g.oneIn(2), ProgressNotify: g.oneIn(3)}
	switch n := g.random.IntN(20); {
	case n < 7:
	case n < 14:
		request.StartRevision = g.compacted + 1 + g.random.Int64N(max(1, g.revision-g.compacted))
	case n < 16:
		request.StartRevision = g.revision + 1 + g.random.Int64N(10)
	case n < 18 && g.compacted > 1:
		request.StartRevision = 1 + g.random.Int64N(g.compacted-1)
	case n == 18:
		request.StartRevision = -1
	}
	if g.oneIn(4) {
		request.Filters = append(request.Filters, pick(g, pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE, 7))
	}
	if g.oneIn(5) {
		request.WatchId = 100 + g.random.Int64N(watchGivenIDsMax)
	}
	return request
}

func (r *watchRun) cancelWatch() {
	if len(r.streams) == 0 {
		return
	}
	w := pick(r.g, r.streams...)
	if r.g.oneIn(5) {
		r.must(w.both(func(stream *watchStream) error { return stream.sendCancel(4242) }))
		return
	}
	if len(w.live) == 0 {
		return
	}
	// Events that are still on their way may or may not come before the end.
	r.settle(w)
	id := pick(r.g, w.live...)
	r.must(w.both(func(stream *watchStream) error { return stream.remove(id) }))
	w.live = slices.DeleteFunc(w.live, func(live int64) bool { return live == id })
}

// settle waits until a stream has all there is. A write first makes the answer to the request for progress a
// new one: an older may still be on its way from before a watcher was made.
func (r *watchRun) settle(w *watchPair) {
	if len(w.live) == 0 {
		return
	}
	for written := false; !written || r.g.revision < w.future; written = true {
		call := putCall(&pb.PutRequest{Key: []byte("k")})
		r.g.follow(call, r.compare(call))
	}
	r.must(w.both(func(stream *watchStream) error { return stream.settle(r.g.revision) }))
}

func (r *watchRun) settleAll() {
	for _, w := range r.streams {
		r.settle(w)
	}
}

func (r *watchRun) closeStreamsOf(connection *grpc.ClientConn) {
	for i := len(r.streams) - 1; i >= 0; i-- {
		if r.streams[i].netcd.connection == connection {
			r.closeStream(i)
		}
	}
}

// closeStream compares all that both streams have said, watcher by watcher.
func (r *watchRun) closeStream(i int) {
	w := r.streams[i]
	r.settle(w)
	r.streams = slices.Delete(r.streams, i, i+1)
	w.netcd.cancel()
	w.etcd.cancel()
	w.netcd.lock.Lock()
	defer w.netcd.lock.Unlock()
	w.etcd.lock.Lock()
	defer w.etcd.lock.Unlock()
	r.events += w.etcd.events
	r.compared += w.etcd.events + w.etcd.created + w.etcd.canceled
	for id := range w.netcd.said {
		if _, there := w.etcd.said[id]; !there {
			r.differ(fmt.Sprintf("watcher %d", id), fmt.Sprint(w.netcd.said[id]), "nothing")
		}
	}
	for id, theirs := range w.etcd.said {
		r.compareSaid(id, w.netcd.said[id], theirs)
	}
}

// compareSaid reports the first line that differs.
func (r *watchRun) compareSaid(id int64, ours, theirs []string) {
	for i := range max(len(ours), len(theirs)) {
		left, right := "nothing", "nothing"
		if i < len(ours) {
			left = ours[i]
		}
		if i < len(theirs) {
			right = theirs[i]
		}
		if left != right {
			r.differ(fmt.Sprintf("watcher %d, line %d after %q", id, i, theirs[:min(i, len(theirs))][max(0, min(i, len(theirs))-2):]), left, right)
			return
		}
	}
}

// TestWatchSplit is about how take sees a revision that is split over two responses.
func TestWatchSplit(t *testing.T) {
	w := &watchStream{said: map[int64][]string{}, lastEvent: map[int64]int64{}, fragments: map[int64]*pb.WatchResponse{}, over: map[int64]bool{}}
	event := func(revision int64) *pb.WatchResponse {
		return &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}, Events: []*mvccpb.Event{{Kv: &mvccpb.KeyValue{ModRevision: revision}}}}
	}
	w.take(event(5))
	w.take(event(5))
	if said := w.said[0]; len(said) != 3 || said[1] != "BROKEN: revision 5 comes after 5" {
		t.Errorf("a split revision is not seen: %q", said)
	}
}
