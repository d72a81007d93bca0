// What the raw client of frames.go does with each frame that the server sends: it keeps the books, and fails the test
// where the server oversteps a window, a frame size, a header table or the states of a stream.
package compat

import (
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func (c *framed) take(frame http2.Frame) {
	c.t.Helper()
	head := frame.Header()
	if head.Length > c.ours.frameMax {
		c.t.Fatalf("%v is larger than the %d bytes allowed", head, c.ours.frameMax)
	}
	_, continues := frame.(*http2.ContinuationFrame)
	if (c.blockOf != nil) != continues {
		c.t.Fatalf("%v in the wrong place: stream %v", head, c.blockOf)
	}
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		c.takeSettings(frame)
	case *http2.WindowUpdateFrame:
		if head.StreamID == 0 {
			c.taken += int64(frame.Increment)
		} else {
			c.stream(frame).taken += int64(frame.Increment)
		}
	case *http2.PingFrame:
		if frame.IsAck() {
			c.pongs[frame.Data]++
			return
		}
		c.must(c.framer.WritePing(true, frame.Data))
	case *http2.GoAwayFrame:
		c.goAway = &frame.ErrCode
	case *http2.RSTStreamFrame:
		c.stream(frame).reset = &frame.ErrCode
	case *http2.DataFrame:
		c.stream(frame).takeData(frame)
	case *http2.HeadersFrame:
		c.blockOf, c.blockEnded = c.stream(frame), frame.StreamEnded()
		c.takeBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.ContinuationFrame:
		if c.stream(frame) != c.blockOf {
			c.t.Fatalf("%v continues stream %d", head, c.blockOf.id)
		}
		c.takeBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	default:
		c.t.Fatalf("a server sends no %v", head)
	}
}

// stream is the one that the frame is of.
func (c *framed) stream(frame http2.Frame) *framedStream {
	c.t.Helper()
	stream := c.streams[frame.Header().StreamID]
	if stream == nil {
		c.t.Fatalf("%v on a stream that is not open", frame.Header())
	}
	return stream
}

func (c *framed) takeSettings(frame *http2.SettingsFrame) {
	c.t.Helper()
	if frame.IsAck() {
		if len(c.unacked) == 0 {
			c.t.Fatal("an acknowledgement of settings too much")
		}
		c.unacked[0]()
		c.unacked = c.unacked[1:]
		return
	}
	c.greeted = true
	c.must(frame.ForeachSetting(func(one http2.Setting) error {
		switch one.ID {
		case http2.SettingInitialWindowSize:
			for _, stream := range c.streams {
				stream.taken += int64(one.Val) - c.takenInitial
			}
			c.takenInitial = int64(one.Val)
		case http2.SettingMaxFrameSize:
			c.takenFrame = int(one.Val)
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = one.Val
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(one.Val)
		}
		return one.Valid()
	}))
	c.must(c.framer.WriteSettingsAck())
}

// takeBlock collects a piece of a header block and takes in the whole one.
func (c *framed) takeBlock(piece []byte, whole bool) {
	c.t.Helper()
	c.block = append(c.block, piece...)
	if !whole {
		return
	}
	c.takeTableSizes()
	fields, err := c.decoder.DecodeFull(c.block)
	if err != nil {
		c.t.Fatalf("headers that cannot be decoded: %v", err)
	}
	stream, ended := c.blockOf, c.blockEnded
	c.block, c.blockOf = nil, nil
	stream.takeHeaders(fields, ended)
}

// takeTableSizes reads the sizes of the header table that a block begins with (RFC 7541, 6.3). Go's decoder does not
// mind when the server keeps a larger table than the client still has, but others do.
func (c *framed) takeTableSizes() {
	c.t.Helper()
	for rest := c.block; len(rest) > 0 && rest[0]&0xe0 == 0x20; {
		size, used := uint32(rest[0]&0x1f), 1
		if size == 0x1f {
			for shift := 0; ; shift += 7 {
				if used == len(rest) || shift > 21 {
					c.t.Fatalf("bad size of the header table: %x", rest[:used])
				}
				used++
				size += uint32(rest[used-1]&0x7f) << shift
				if rest[used-1]&0x80 == 0 {
					break
				}
			}
		}
		c.tableSize, rest = size, rest[used:]
		if c.owed != nil && size <= *c.owed {
			c.owed = nil
		}
	}
	if c.owed != nil {
		c.t.Fatalf("the server does not say that its header table shrank to %d bytes", *c.owed)
	}
	if c.tableSize > c.ours.headerTable {
		c.t.Fatalf("the server has a header table of %d bytes, %d are allowed", c.tableSize, c.ours.headerTable)
	}
}

func (s *framedStream) takeHeaders(fields []hpack.HeaderField, ended bool) {
	s.c.t.Helper()
	switch {
	case s.ended:
		s.c.t.Fatalf("headers after the end: %v", s.state())
	case s.headers == nil:
		s.headers = fields
		if ended {
			s.trailers = fields
		}
	case !ended:
		s.c.t.Fatalf("trailers that do not end the stream: %v", s.state())
	default:
		s.trailers = fields
	}
	s.ended = ended
}

func (s *framedStream) takeData(frame *http2.DataFrame) {
	s.c.t.Helper()
	// Padding counts too, and the length is of all.
	length := int64(frame.Header().Length)
	s.given -= length
	s.c.given -= length
	if length > 0 && (s.given < 0 || s.c.given < 0) {
		s.c.t.Fatalf("%d bytes sent over the window (stream %d, connection %d)", length, s.given, s.c.given)
	}
	if s.headers == nil || s.ended {
		s.c.t.Fatalf("data before headers or after the end: %v", s.state())
	}
	s.body = append(s.body, frame.Data()...)
	s.ended = frame.StreamEnded()
}
