// Flow control: answers that wait for the client's windows, and what goes on meanwhile.
package compat

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
)

const windowMax = 1<<31 - 1

func initialWindow(bytes uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: bytes}
}

// forLarge runs a case for each way to read a large answer.
func forLarge(run func(t *testing.T, at *framesTarget, request *pb.RangeRequest)) func(t *testing.T, at *framesTarget) {
	return func(t *testing.T, at *framesTarget) {
		t.Helper()
		for _, request := range largeRanges {
			run(t, at, request)
		}
	}
}

var flowFrames = []frameCase{
	{name: "a window of nothing, opened byte by byte", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, initialWindow(0))
		stream := c.call(rangePath, smallRange)
		c.await("headers", func() bool { return stream.headers != nil })
		for bytes := 1; !stream.ended && bytes < 1000; bytes++ {
			c.barrier()
			if len(stream.body) != bytes-1 {
				t.Fatalf("%d bytes of answer, %d were allowed", len(stream.body), bytes-1)
			}
			stream.grant(1)
			c.await("another byte or the end", func() bool { return stream.ended || len(stream.body) >= bytes })
		}
		stream.holds(at.small)
	}},
	{name: "an initial window that moves in the middle of an answer", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(10_000))
		c.grant(2 * largeAnswerMin)
		stream := c.call(rangePath, request)
		stream.received(10_000)
		c.settings(initialWindow(25_000))
		stream.received(25_000)
		// The window is now 20,000 below nothing, and an update of as much opens nothing.
		c.settings(initialWindow(5_000))
		c.acked()
		stream.grant(20_000)
		c.barrier()
		stream.grant(7)
		stream.received(25_007)
		if len(stream.body) != 25_007 {
			t.Fatalf("%d bytes", len(stream.body))
		}
		c.settings(initialWindow(0), initialWindow(5_001))
		stream.received(25_008)
		c.settings(initialWindow(2 * largeAnswerMin))
		stream.holds(at.large)
	})},
	{name: "a connection window that one answer fills", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(1<<30))
		large := c.call(rangePath, request)
		large.received(defaultWindow)
		small := c.call(rangePath, smallRange)
		c.barrier()
		if large.ended || len(small.body) > 0 {
			t.Fatalf("sent over the window: %v", small.state())
		}
		c.grant(1)
		c.await("one byte more", func() bool { return len(large.body)+len(small.body) == defaultWindow+1 })
		c.grant(2 * largeAnswerMin)
		small.holds(at.small)
		large.holds(at.large)
	})},
	{name: "a connection window that a stream filled which is reset", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(1<<30))
		large := c.call(rangePath, request)
		large.received(defaultWindow)
		small := c.call(rangePath, smallRange)
		c.barrier()
		large.cancel()
		c.barrier()
		c.grant(4096)
		small.holds(at.small)
		if len(large.body) != defaultWindow {
			t.Fatalf("%d bytes for a stream that was reset", len(large.body))
		}
	})},
	{name: "an answer that waits holds up no other", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(1000))
		c.grant(2 * largeAnswerMin)
		large := c.call(rangePath, request)
		large.received(1000)
		watch := c.open(watchPath)
		watch.data(frame(0, encoded(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{Key: []byte("watched")}}})), false)
		created := &pb.WatchResponse{}
		if watch.message(created); !created.Created {
			t.Fatalf("not a watch: %v", created)
		}
		for one := range 3 {
			value := fmt.Sprint(one)
			at.put(t, "watched", []byte(value))
			event := &pb.WatchResponse{}
			if watch.message(event); len(event.Events) != 1 || string(event.Events[0].Kv.Value) != value {
				t.Fatalf("not the event of %s: %v", value, event)
			}
			c.call(rangePath, smallRange).holds(at.small)
		}
		c.must(c.framer.WritePing(false, [8]byte{1}))
		c.await("answer to a ping", func() bool { return c.pongs[[8]byte{1}] == 1 })
		if len(large.body) != 1000 {
			t.Fatalf("%d bytes of the answer that waits", len(large.body))
		}
		large.grant(2 * largeAnswerMin)
		large.holds(at.large)
	})},
	{name: "PRIORITY and updates of nothing special while an answer waits", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, initialWindow(0))
		stream := c.call(rangePath, smallRange)
		c.barrier()
		c.must(c.framer.WritePriority(stream.id, http2.PriorityParam{StreamDep: 0, Weight: 255, Exclusive: true}))
		stream.grant(5)
		stream.received(5)
		stream.grant(5000)
		stream.holds(at.small)
	}},
	{name: "a setting that comes twice in one frame", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		c.settings(initialWindow(100), initialWindow(1))
		c.acked()
		stream := c.call(rangePath, smallRange)
		stream.received(1)
		c.barrier()
		if len(stream.body) != 1 {
			t.Fatalf("%d bytes", len(stream.body))
		}
		c.settings(initialWindow(defaultWindow))
		stream.holds(at.small)
	}},
	{name: "a thousand answers that wait and may all go at once", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, initialWindow(0))
		c.grant(1 << 20)
		var streams []*framedStream
		for range 1000 {
			streams = append(streams, c.call(rangePath, smallRange))
		}
		c.await("headers of all", func() bool { return streams[len(streams)-1].headers != nil })
		c.settings(initialWindow(defaultWindow))
		for _, stream := range streams {
			stream.holds(at.small)
		}
	}},
	{name: "the largest windows", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(windowMax))
		c.grant(windowMax - defaultWindow)
		first, second := c.call(rangePath, request), c.call(rangePath, request)
		first.holds(at.large)
		second.holds(at.large)
	})},
	{name: "an update of nothing while an answer waits", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, initialWindow(0))
		stream, other := c.call(rangePath, smallRange), c.call(rangePath, smallRange)
		c.barrier()
		stream.grant(0)
		for stream.reset == nil && c.step() {
		}
		if stream.reset == nil {
			// A server may treat any error of a stream as one of the connection.
			if c.goAway == nil || *c.goAway != http2.ErrCodeProtocol {
				t.Fatalf("neither reset nor ended with PROTOCOL_ERROR: %v", c.state())
			}
			return
		}
		if *stream.reset != http2.ErrCodeProtocol {
			t.Fatalf("reset with %v", *stream.reset)
		}
		other.grant(defaultWindow)
		other.holds(at.small)
	}},
	{name: "windows that get too large", notEtcd: "gRPC of Go does not look", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, initialWindow(0))
		stream := c.call(rangePath, smallRange)
		stream.grant(windowMax)
		stream.grant(windowMax)
		if code := stream.refused(); code != http2.ErrCodeFlowControl {
			t.Fatalf("reset with %v", code)
		}
		stream = c.call(rangePath, smallRange)
		c.barrier()
		stream.grant(windowMax)
		c.settings(initialWindow(1000))
		c.ended()
		if c.goAway == nil || *c.goAway != http2.ErrCodeFlowControl {
			t.Fatalf("not ended with FLOW_CONTROL_ERROR: %v", c.state())
		}
	}},
	{name: "frames as large as the client takes", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(1<<30), http2.Setting{ID: http2.SettingMaxFrameSize, Val: ourFrameMax})
		c.grant(4 * largeAnswerMin)
		c.call(rangePath, request).holds(at.large)
		c.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: defaultFrameMax})
		c.acked()
		c.call(rangePath, request).holds(at.large)
	})},
}
