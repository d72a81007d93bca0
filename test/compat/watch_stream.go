// One watch stream to one server: everything received is kept by watcher, and the caller can wait for what
// it asked for.
package compat

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	// watchWaitMax bounds every wait for a response.
	watchWaitMax = 10 * time.Second
	// progressPause lies between two requests for progress, which a server that is not done leaves unanswered.
	progressPause = 20 * time.Millisecond
	noWatch       = -1
)

type watchStream struct {
	connection *grpc.ClientConn
	stream     grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	cancel     context.CancelFunc

	lock  sync.Mutex
	grown *sync.Cond
	// said is what came for each watcher, rendered; watcher noWatch has refused creations.
	said map[int64][]string
	// created and canceled count responses; progress is the highest revision of an answer to progress.
	created, canceled int
	// reason is that of the last end.
	reason      string
	progress    int64
	lastCreated *pb.WatchResponse
	// fragments of a response that is not complete yet, by watcher.
	fragments map[int64]*pb.WatchResponse
	lastEvent map[int64]int64
	// over are the watchers that have ended, so that a second word about that is left out.
	over   map[int64]bool
	events int
	ended  error
}

func openWatch(connection *grpc.ClientConn, with ...string) (*watchStream, error) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), with...))
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	w := &watchStream{connection: connection, stream: stream, cancel: cancel, said: map[int64][]string{}, lastEvent: map[int64]int64{},
		fragments: map[int64]*pb.WatchResponse{}, over: map[int64]bool{}}
	w.grown = sync.NewCond(&w.lock)
	go w.receive()
	return w, nil
}

func (w *watchStream) receive() {
	for {
		response, err := w.stream.Recv()
		w.lock.Lock()
		if err != nil {
			w.ended = err
		} else {
			w.take(response)
		}
		w.grown.Broadcast()
		w.lock.Unlock()
		if err != nil {
			return
		}
	}
}

// take keeps one response; the lock is held.
func (w *watchStream) take(response *pb.WatchResponse) {
	id := response.WatchId
	if part := w.fragments[id]; part != nil {
		response.Events = append(part.Events, response.Events...)
		delete(w.fragments, id)
	}
	if response.Fragment {
		w.fragments[id] = response
		return
	}
	if response.Created {
		w.created++
		w.lastCreated = response
		delete(w.over, id)
		w.say(id, "created canceled=%v reason=%q compacted=%d at %d", response.Canceled, response.CancelReason, response.CompactRevision, response.GetHeader().GetRevision())
		return
	}
	if response.Canceled && w.over[id] {
		return
	}
	if response.Canceled {
		w.canceled++
		w.over[id] = true
		w.reason = response.CancelReason
		w.say(id, "canceled reason=%q compacted=%d header=%d", response.CancelReason, response.CompactRevision, response.GetHeader().GetRevision())
		return
	}
	if len(response.Events) == 0 {
		w.progress = max(w.progress, response.GetHeader().GetRevision())
		if id != noWatch {
			w.say(id, "progress")
		}
		return
	}
	w.takeEvents(id, response)
}

// takeEvents also checks what holds for every response: revisions rise, none is split over two responses,
// and the header is not behind the events.
func (w *watchStream) takeEvents(id int64, response *pb.WatchResponse) {
	w.events += len(response.Events)
	if first := response.Events[0].Kv.ModRevision; first <= w.lastEvent[id] {
		w.say(id, "BROKEN: revision %d comes after %d", first, w.lastEvent[id])
	}
	for _, event := range response.Events {
		if event.Kv.ModRevision < w.lastEvent[id] {
			w.say(id, "BROKEN: revision %d comes after %d", event.Kv.ModRevision, w.lastEvent[id])
		}
		w.lastEvent[id] = event.Kv.ModRevision
		w.say(id, "%s", abridged(event))
	}
	if response.GetHeader().GetRevision() < w.lastEvent[id] {
		w.say(id, "BROKEN: header at %d", response.GetHeader().GetRevision())
	}
}

func (w *watchStream) say(id int64, format string, arguments ...any) {
	w.said[id] = append(w.said[id], fmt.Sprintf(format, arguments...))
}

// await waits until the condition holds of what was received.
func (w *watchStream) await(what string, condition func() bool) error {
	expired := false
	timer := time.AfterFunc(watchWaitMax, func() {
		w.lock.Lock()
		expired = true
		w.lock.Unlock()
		w.grown.Broadcast()
	})
	defer timer.Stop()
	w.lock.Lock()
	defer w.lock.Unlock()
	for !condition() {
		if w.ended != nil {
			return fmt.Errorf("waiting for %s: the stream ended: %w", what, w.ended)
		}
		if expired {
			return fmt.Errorf("waited %s for %s", watchWaitMax, what)
		}
		w.grown.Wait()
	}
	return nil
}

// create sends the request and returns the response to it.
func (w *watchStream) create(request *pb.WatchCreateRequest) (*pb.WatchResponse, error) {
	before := w.created
	if err := w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}}); err != nil {
		return nil, err
	}
	err := w.await("a watcher's creation", func() bool { return w.created > before })
	return w.lastCreated, err
}

// remove cancels a watcher that is there.
func (w *watchStream) remove(id int64) error {
	before := w.canceled
	if err := w.sendCancel(id); err != nil {
		return err
	}
	return w.await("a watcher's end", func() bool { return w.canceled > before })
}

func (w *watchStream) sendCancel(id int64) error {
	return w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

// settle asks for progress until everything up to the revision has been received.
func (w *watchStream) settle(revision int64) error {
	deadline := time.Now().Add(watchWaitMax)
	for {
		w.lock.Lock()
		done, ended := w.progress >= revision, w.ended
		w.lock.Unlock()
		if done {
			return nil
		}
		if ended != nil || time.Now().After(deadline) {
			return fmt.Errorf("no progress to revision %d (at %d): %v", revision, w.progress, ended)
		}
		if err := w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}); err != nil {
			return err
		}
		time.Sleep(progressPause)
	}
}
