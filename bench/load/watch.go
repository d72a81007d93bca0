// Works on watches: fan-out, delay from put to event, idle watchers, a watcher that resumes far back.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const watchedPrefix, watchedPrefixEnd = "bench/watched/", "bench/watched0"

type watchStream = grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]

// openIdle makes o.streams streams with o.watchers watchers each, on keys of their own, and waits until all are created.
func openIdle(ctx context.Context, o options, connections []*grpc.ClientConn) ([]watchStream, error) {
	var streams []watchStream
	for s, connection := range connections {
		stream, err := pb.NewWatchClient(connection).Watch(ctx)
		if err != nil {
			return nil, err
		}
		sent := make(chan error, 1)
		go func() {
			for w := range o.watchers {
				if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
					CreateRequest: &pb.WatchCreateRequest{Key: idleKey(s, w)}}}); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for range o.watchers {
			answer, err := stream.Recv()
			if err != nil {
				return nil, err
			}
			if !answer.Created || answer.Canceled {
				return nil, fmt.Errorf("watch was not created: %v", answer)
			}
		}
		if err := <-sent; err != nil {
			return nil, err
		}
		streams = append(streams, stream)
	}
	return streams, nil
}

func idleKey(stream, watcher int) []byte {
	return fmt.Appendf(nil, "bench/idle/%d/%d", stream, watcher)
}

func watchPrefix(int, int) *pb.WatchCreateRequest {
	return &pb.WatchCreateRequest{Key: []byte(watchedPrefix), RangeEnd: []byte(watchedPrefixEnd)}
}

// openRawWatches makes o.streams streams with o.watchers watchers each on the whole prefix.
func (l *rawLoop) openRawWatches(o options, each func(event rawEvent) error) error {
	for range o.streams {
		if err := l.openWatch(o, watchPrefix(0, 0), each); err != nil {
			return err
		}
	}
	return nil
}

// watchFan puts o.requests values under a prefix that all watchers watch; operations are events.
func watchFan(_ context.Context, o options) (result, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	expected, got := o.requests*o.watchers*o.streams, 0
	if err := loop.openRawWatches(o, func(rawEvent) error { got++; return nil }); err != nil {
		return result{}, err
	}
	connections, err := loop.openAll(o)
	if err != nil {
		return result{}, err
	}
	value := make([]byte, o.valueBytes)
	began := time.Now()
	puts, err := start(connections, o, calls{method: pb.KV_Put_FullMethodName, request: func(_, i int) ([]byte, error) {
		return framed(&pb.PutRequest{Key: fmt.Appendf(nil, "%s%d", watchedPrefix, i), Value: value})
	}}, func(i int) bool { return i < o.requests })
	if err == nil {
		err = loop.turnWhile(func() bool { return got < expected || puts.inFlight > 0 })
	}
	return measured(expected, time.Since(began), nil), err
}

// watchDelay puts at o.rate for o.seconds; latencies are from just before a put until its event has come.
func watchDelay(_ context.Context, o options) (result, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	count := int(float64(o.rate) * o.seconds)
	expected := count * o.watchers * o.streams
	latencies := make([]time.Duration, 0, expected)
	if err := loop.openRawWatches(o, func(event rawEvent) error {
		sent, err := strconv.ParseInt(string(event.value), 10, 64)
		latencies = append(latencies, event.at.Sub(time.Unix(0, sent)))
		return err
	}); err != nil {
		return result{}, err
	}
	connections, err := loop.openAll(o)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	sent, answered := 0, 0
	for len(latencies) < expected || answered < count {
		due := began.Add(time.Duration(sent) * time.Second / time.Duration(o.rate))
		if sent == count {
			due = time.Time{}
		} else if !time.Now().Before(due) {
			request, err := framed(&pb.PutRequest{Key: fmt.Appendf(nil, "%s%d", watchedPrefix, sent%100), Value: strconv.AppendInt(nil, time.Now().UnixNano(), 10)})
			if err != nil {
				return result{}, err
			}
			if err := connections[0].call(pb.KV_Put_FullMethodName, request, func([]byte) error { answered++; return nil }, nil); err != nil {
				return result{}, err
			}
			sent++
			continue
		}
		if err := loop.turn(due); err != nil {
			return result{}, err
		}
	}
	return measured(expected, time.Since(began), latencies), nil
}

// watchIdle only holds watchers, for work of another process.
func watchIdle(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, o.streams)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	streams, err := openIdle(ctx, o, connections)
	if err != nil {
		return result{}, err
	}
	if err := holdOpen(); err != nil {
		return result{}, err
	}
	return result{Operations: o.streams * o.watchers}, stillWatched(ctx, o, connections[0], streams)
}

// holdOpen says that all is open and returns when the input ends.
func holdOpen() error {
	if _, err := fmt.Println("open"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// stillWatched is an error unless each stream's last watcher hears, first of all, of its key: watchers that a server
// has lost cost it nothing, and would make what was measured beside them worthless.
func stillWatched(ctx context.Context, o options, connection *grpc.ClientConn, streams []watchStream) error {
	ctx, cancel := context.WithTimeout(ctx, silenceMax)
	defer cancel()
	for s, stream := range streams {
		key := idleKey(s, o.watchers-1)
		if _, err := pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: key}); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if len(answer.Events) != 1 || !bytes.Equal(answer.Events[0].Kv.Key, key) {
			return fmt.Errorf("an idle watcher of %s heard %v", key, answer)
		}
	}
	return nil
}

// watchBack resumes from the first revision while clients put, until the watcher has all that was there, or for
// o.seconds. Latencies are of the puts, operations the events of the past.
func watchBack(ctx context.Context, o options) (result, error) {
	now, err := currentRevision(ctx, o)
	if err != nil {
		return result{}, err
	}
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	connections, err := loop.openAll(o)
	if err != nil {
		return result{}, err
	}
	o.watchers = 1
	began := time.Now()
	ends := began.Add(time.Duration(o.seconds * float64(time.Second)))
	events, seen := 0, int64(0)
	resuming := func() bool { return seen < now && time.Now().Before(ends) }
	if err := loop.openWatch(o, &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 2}, func(event rawEvent) error {
		events++
		seen = event.modRevision
		return nil
	}); err != nil {
		return result{}, err
	}
	puts, err := start(connections, o, putCalls(o), func(int) bool { return resuming() })
	for err == nil && (resuming() || puts.inFlight > 0) {
		until := ends
		if !resuming() {
			until = time.Time{}
		}
		err = loop.turn(until)
	}
	return measured(events, time.Since(began), puts.latencies), err
}
