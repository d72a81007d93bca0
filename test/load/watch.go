// Works on watches: fan-out, delay from put to event, idle watchers, a watcher that resumes far back.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const watchedPrefix, watchedPrefixEnd = "bench/watched/", "bench/watched0"

type watchStream = grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]

// openWatches makes o.streams streams with o.watchers watchers each and waits until all are created.
func openWatches(ctx context.Context, o options, create func(stream, watcher int) *pb.WatchCreateRequest) ([]watchStream, func(), error) {
	connections, err := dial(o, o.streams)
	if err != nil {
		return nil, nil, err
	}
	var streams []watchStream
	for s, connection := range connections {
		stream, err := pb.NewWatchClient(connection).Watch(ctx)
		if err != nil {
			return nil, nil, err
		}
		sent := make(chan error, 1)
		go func() {
			for w := range o.watchers {
				if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create(s, w)}}); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for range o.watchers {
			answer, err := stream.Recv()
			if err != nil {
				return nil, nil, err
			}
			if !answer.Created || answer.Canceled {
				return nil, nil, fmt.Errorf("watch was not created: %v", answer)
			}
		}
		if err := <-sent; err != nil {
			return nil, nil, err
		}
		streams = append(streams, stream)
	}
	return streams, func() { closeAll(connections) }, nil
}

func watchPrefix(int, int) *pb.WatchCreateRequest {
	return &pb.WatchCreateRequest{Key: []byte(watchedPrefix), RangeEnd: []byte(watchedPrefixEnd)}
}

// openRawWatches is openWatches for the works that measure how events arrive.
func openRawWatches(ctx context.Context, o options) ([]*rawWatch, error) {
	var all []*rawWatch
	for range o.streams {
		watch, err := openRawWatch(ctx, o, watchPrefix(0, 0))
		if err != nil {
			return nil, err
		}
		all = append(all, watch)
	}
	return all, nil
}

// receive reads every stream until each has had as many events as expected; each is called with what is read of the
// stream's events and when, from one goroutine for each stream.
func receive(watches []*rawWatch, expected int, each func(stream int, event rawEvent, at time.Time)) error {
	var all sync.WaitGroup
	problems := make([]error, len(watches))
	for s, watch := range watches {
		all.Add(1)
		go func() {
			defer all.Done()
			got := 0
			for got < expected && problems[s] == nil {
				problems[s] = watch.read(func(event rawEvent, at time.Time) {
					got++
					if each != nil {
						each(s, event, at)
					}
				})
			}
		}()
	}
	all.Wait()
	return errors.Join(problems...)
}

// watchFan puts o.requests values under a prefix that all watchers watch; operations are events.
func watchFan(ctx context.Context, o options) (result, error) {
	watches, err := openRawWatches(ctx, o)
	if err != nil {
		return result{}, err
	}
	value := make([]byte, o.valueBytes)
	began := time.Now()
	putsDone := make(chan error, 1)
	go func() {
		_, _, err := closedLoop(ctx, o, o.requests, calls{method: pb.KV_Put_FullMethodName, request: func(_, i int) ([]byte, error) {
			return framed(&pb.PutRequest{Key: fmt.Appendf(nil, "%s%d", watchedPrefix, i), Value: value})
		}})
		putsDone <- err
	}()
	err = errors.Join(receive(watches, o.requests*o.watchers, nil), <-putsDone)
	return measured(o.requests*o.watchers*o.streams, time.Since(began), nil), err
}

// put writes a key and waits until that is answered.
func (c *rawConnection) put(key, value []byte) error {
	request, err := framed(&pb.PutRequest{Key: key, Value: value})
	if err != nil {
		return err
	}
	if err := c.call(pb.KV_Put_FullMethodName, request, func([]byte) error { return nil }); err != nil {
		return err
	}
	for len(c.streams) > 0 {
		if err := c.frame(nil); err != nil {
			return err
		}
	}
	return nil
}

// watchDelay puts at o.rate for o.seconds; latencies are from just before a put until its event is read.
func watchDelay(ctx context.Context, o options) (result, error) {
	watches, err := openRawWatches(ctx, o)
	if err != nil {
		return result{}, err
	}
	putter, err := openRaw(ctx, o.endpoint)
	if err != nil {
		return result{}, err
	}
	count := int(float64(o.rate) * o.seconds)
	putsDone := make(chan error, 1)
	began := time.Now()
	go func() {
		var failed error
		for i := range count {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(o.rate))))
			failed = errors.Join(failed, putter.put(fmt.Appendf(nil, "%s%d", watchedPrefix, i%100), strconv.AppendInt(nil, time.Now().UnixNano(), 10)))
		}
		putsDone <- failed
	}()
	latencies := make([][]time.Duration, o.streams)
	err = receive(watches, count*o.watchers, func(stream int, event rawEvent, at time.Time) {
		sent, err := strconv.ParseInt(string(event.value), 10, 64)
		if err != nil {
			panic(err)
		}
		latencies[stream] = append(latencies[stream], at.Sub(time.Unix(0, sent)))
	})
	return measured(count*o.watchers*o.streams, time.Since(began), slices.Concat(latencies...)), errors.Join(err, <-putsDone)
}

// watchIdle keeps watchers on keys of their own while it puts elsewhere for o.requests puts.
func watchIdle(ctx context.Context, o options) (result, error) {
	_, closeStreams, err := openWatches(ctx, o, func(stream, watcher int) *pb.WatchCreateRequest {
		return &pb.WatchCreateRequest{Key: fmt.Appendf(nil, "bench/idle/%d/%d", stream, watcher)}
	})
	if err != nil {
		return result{}, err
	}
	defer closeStreams()
	return puts(ctx, o)
}

// watchBack resumes from the first revision while clients put, until the watcher has all that was there, or for
// o.seconds. Latencies are of the puts, operations the events of the past.
func watchBack(ctx context.Context, o options) (result, error) {
	now, err := currentRevision(ctx, o)
	if err != nil {
		return result{}, err
	}
	o.watchers = 1
	began := time.Now()
	resuming, stop := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer stop()
	watch, err := openRawWatch(resuming, o, &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 2})
	if err != nil {
		return result{}, err
	}
	events := 0
	watched := make(chan error, 1)
	go func() {
		defer stop()
		var err error
		for seen := int64(0); seen < now && err == nil; {
			err = watch.read(func(event rawEvent, _ time.Time) {
				events++
				seen = event.modRevision
			})
		}
		if resuming.Err() != nil {
			// The connection ended with the time.
			err = nil
		}
		watched <- err
	}()
	latencies, err := untilDone(ctx, resuming, o, putCalls(o))
	err = errors.Join(err, <-watched)
	summary := measured(events, time.Since(began), latencies)
	summary.Extra = map[string]float64{"puts": float64(len(latencies))}
	return summary, err
}
