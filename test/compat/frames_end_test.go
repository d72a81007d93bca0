// Streams and connections that end early, and clients that mean harm: the server goes on serving others.
package compat

import (
	"net"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
)

// abandonedBytes is more than any of the servers lets a client send on a connection without giving room back.
const abandonedBytes = 12 << 20

// abandonedPiece is what one stream of them sends: within the limit of a message, and most of a stream's window.
const abandonedPiece = 1 << 20

var endFrames = []frameCase{
	{name: "a client that says GOAWAY finishes its streams", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		c.grant(2 * largeAnswerMin)
		waits := c.call(rangePath, largeRanges[0])
		half := c.open(rangePath)
		message := frame(0, encoded(smallRange))
		half.data(message[:4], false)
		waits.received(defaultWindow)
		c.must(c.framer.WriteGoAway(0, http2.ErrCodeNo, []byte("bye")))
		c.must(c.flush())
		half.data(message[4:], true)
		half.holds(at.small)
		waits.grant(2 * largeAnswerMin)
		waits.holds(at.large)
	}},
	{name: "an answer that is reset in its middle", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t, initialWindow(100_000))
		c.grant(64 << 20)
		for range 10 {
			stream := c.call(rangePath, request)
			stream.received(100_000)
			stream.cancel()
			c.call(rangePath, smallRange).holds(at.small)
		}
		whole := c.call(rangePath, request)
		whole.grant(2 * largeAnswerMin)
		whole.holds(at.large)
	})},
	{name: "room that abandoned requests took is given back", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		message := frame(0, make([]byte, abandonedPiece))
		for sent := 0; sent < abandonedBytes; sent += abandonedPiece {
			stream := c.open(putPath)
			stream.send(message[:abandonedPiece], false)
			stream.cancel()
		}
		c.await("room for a request", func() bool { return c.taken > 1000 })
		c.call(rangePath, smallRange).holds(at.small)
	}},
	{name: "room that requests after their answer took is given back", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for sent := 0; sent < abandonedBytes; {
			stream := c.open("/etcdserverpb.KV/Nope")
			// As when client and server speak at once: what is under way when the answer comes.
			room := stream.room("room for a request", 1)
			for left := room; left > 0; left -= min(left, defaultFrameMax) {
				stream.data(make([]byte, min(left, defaultFrameMax)), false)
			}
			sent += room
			stream.unimplemented()
			stream.cancel()
		}
		c.await("room for a request", func() bool { return c.taken > 1000 })
		c.call(rangePath, smallRange).holds(at.small)
	}},
	{name: "a connection that ends in the middle of things", run: forLarge(func(t *testing.T, at *framesTarget, request *pb.RangeRequest) {
		c := at.dial(t)
		c.call(rangePath, request).received(defaultWindow)
		stream := c.open(putPath)
		stream.data(frame(0, make([]byte, 1000))[:500], false)
		c.out.Write([]byte{0, 0})
		c.must(c.flush())
		c.must(c.socket.Close())
	})},
	{name: "two thousand streams opened and reset at once", run: flood(2000, func(c *framed) {
		c.call(rangePath, smallRange).cancel()
	})},
	{name: "two thousand streams with half a request, reset at once", run: flood(2000, func(c *framed) {
		c.open(rangePath).cancel()
	})},
	{name: "ten thousand SETTINGS", run: flood(10_000, func(c *framed) {
		c.settings(initialWindow(defaultWindow))
	})},
	{name: "ten thousand PRIORITY", run: flood(10_000, func(c *framed) {
		c.must(c.framer.WritePriority(1, http2.PriorityParam{Weight: 1}))
	})},
	{name: "ten thousand pings", run: flood(10_000, func(c *framed) {
		c.must(c.framer.WritePing(false, [8]byte{9}))
	})},
	{name: "ten thousand DATA of nothing", run: floodOfStream(10_000, func(c *framed, stream *framedStream) {
		stream.data(nil, false)
	})},
	{name: "ten thousand updates of a window", run: floodOfStream(10_000, func(c *framed, stream *framedStream) {
		stream.grant(1)
	})},
	{name: "headers without end", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		stream := c.newStream()
		c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: c.requestBlock(rangePath)}))
		block := c.headerBlock("x-endless", string(make([]byte, 8<<10)))
		for range 4 << 10 {
			c.must(c.framer.WriteContinuation(stream.id, false, block))
			if err := c.flush(); err != nil {
				break
			}
		}
		c.ended()
	}},
}

// flood does something to a connection so many times at once, after which either the connection or its end is in order.
func flood(times int, one func(c *framed)) func(t *testing.T, at *framesTarget) {
	return func(t *testing.T, at *framesTarget) {
		t.Helper()
		c := at.dial(t)
		c.barrier()
		for range times {
			one(c)
		}
		c.answersOrEnds(c.call(rangePath, smallRange), at.small)
	}
}

// floodOfStream is flood with frames of a stream whose request is under way.
func floodOfStream(times int, one func(c *framed, stream *framedStream)) func(t *testing.T, at *framesTarget) {
	return func(t *testing.T, at *framesTarget) {
		t.Helper()
		c := at.dial(t)
		stream := c.open(rangePath)
		for range times {
			one(c, stream)
		}
		stream.data(frame(0, encoded(smallRange)), true)
		c.answersOrEnds(stream, at.small)
	}
}

// answersOrEnds waits until the stream is answered rightly or the server has ended the connection.
func (c *framed) answersOrEnds(stream *framedStream, expected *pb.RangeResponse) {
	c.t.Helper()
	for !stream.ended && stream.reset == nil {
		if c.step() {
			continue
		}
		if timeout, ok := c.broken.(net.Error); ok && timeout.Timeout() {
			c.t.Fatalf("neither an answer nor an end: %v", c.state())
		}
		c.t.Logf("the server ended the connection: %v", c.state())
		return
	}
	stream.holds(expected)
}

// TestStreamLimit: --max-concurrent-streams is told to the client, and one more stream is refused and nothing else.
func TestStreamLimit(t *testing.T) {
	const streamsMax = 100
	netcd, etcd := member.StartPair(t, "--max-concurrent-streams=100")
	for _, server := range []*member.Member{netcd, etcd} {
		t.Run(server.Label, func(t *testing.T) {
			at := framesTargetOf(t, server)
			c := at.dial(t, initialWindow(0))
			c.barrier()
			if c.maxStreams != streamsMax {
				t.Fatalf("the limit is said to be %d", c.maxStreams)
			}
			var streams []*framedStream
			for range streamsMax {
				streams = append(streams, c.call(rangePath, smallRange))
			}
			over := c.call(rangePath, smallRange)
			if code := over.refused(); code != http2.ErrCodeRefusedStream {
				t.Fatalf("reset with %v", code)
			}
			streams[0].cancel()
			c.barrier()
			streams[0] = c.call(rangePath, smallRange)
			c.settings(initialWindow(defaultWindow))
			for _, stream := range streams {
				stream.holds(at.small)
			}
		})
	}
}
