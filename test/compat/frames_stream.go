// A stream of the raw client: requests in any pieces, and the answer of a gRPC call.
package compat

import (
	"encoding/binary"
	"fmt"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

const (
	putPath   = "/etcdserverpb.KV/Put"
	watchPath = "/etcdserverpb.Watch/Watch"
)

type framedStream struct {
	c  *framed
	id uint32
	// given is what the server may send, taken what we may.
	given, taken int64

	headers, trailers []hpack.HeaderField
	body              []byte
	// ended is set when the server ended its side, reset when it reset the stream.
	ended bool
	reset *http2.ErrCode
}

// newStream takes the next id; its headers are for the caller to write.
func (c *framed) newStream() *framedStream {
	stream := &framedStream{c: c, id: c.nextID, given: c.ours.initialWindow, taken: c.takenInitial}
	c.streams[stream.id] = stream
	c.nextID += 2
	return stream
}

// requestBlock is the header block of a gRPC call with more headers, name by value.
func (c *framed) requestBlock(path string, more ...string) []byte {
	fields := []string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "frames",
		"content-type", "application/grpc", "te", "trailers"}
	return c.headerBlock(append(fields, more...)...)
}

func (c *framed) headerBlock(fields ...string) []byte {
	c.t.Helper()
	c.encoded.Reset()
	for at := 0; at < len(fields); at += 2 {
		c.must(c.encoder.WriteField(hpack.HeaderField{Name: fields[at], Value: fields[at+1]}))
	}
	return append([]byte{}, c.encoded.Bytes()...)
}

// open begins a call.
func (c *framed) open(path string, more ...string) *framedStream {
	c.t.Helper()
	stream := c.newStream()
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: c.requestBlock(path, more...),
		EndHeaders: true}))
	return stream
}

// openSplit is open with the headers in pieces of so many bytes.
func (c *framed) openSplit(piece int, block []byte) *framedStream {
	c.t.Helper()
	stream := c.newStream()
	for at := 0; at < len(block); at += piece {
		end := min(at+piece, len(block))
		if at == 0 {
			c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: block[:end], EndHeaders: end == len(block)}))
			continue
		}
		c.must(c.framer.WriteContinuation(stream.id, end == len(block), block[at:end]))
	}
	return stream
}

// call begins a call and sends its only message.
func (c *framed) call(path string, request proto.Message) *framedStream {
	c.t.Helper()
	stream := c.open(path)
	stream.data(frame(0, encoded(request)), true)
	return stream
}

// data writes one DATA frame, without a look at the window: for what is small.
func (s *framedStream) data(bytes []byte, end bool) {
	s.c.t.Helper()
	s.c.must(s.c.framer.WriteData(s.id, end, bytes))
	s.took(len(bytes))
}

// padded is data with padding, whose length byte counts too.
func (s *framedStream) padded(bytes, padding []byte, end bool) {
	s.c.t.Helper()
	s.c.must(s.c.framer.WriteDataPadded(s.id, end, bytes, padding))
	s.took(len(bytes) + len(padding) + 1)
}

func (s *framedStream) took(length int) {
	s.taken -= int64(length)
	s.c.taken -= int64(length)
}

// send writes bytes as the server's windows open.
func (s *framedStream) send(bytes []byte, end bool) {
	s.c.t.Helper()
	for len(bytes) > 0 {
		room := s.room("room for a request", 1)
		length := min(len(bytes), room, s.c.takenFrame)
		s.data(bytes[:length], end && length == len(bytes))
		bytes = bytes[length:]
	}
}

// room waits until the server takes so many bytes, and returns how many it takes.
func (s *framedStream) room(what string, atLeast int) int {
	s.c.t.Helper()
	room := func() int { return int(min(s.taken, s.c.taken)) }
	s.c.await(what, func() bool { return s.c.greeted && room() >= atLeast })
	return room()
}

// cancel resets the stream.
func (s *framedStream) cancel() {
	s.c.t.Helper()
	s.c.must(s.c.framer.WriteRSTStream(s.id, http2.ErrCodeCancel))
}

// grant opens the window of the stream.
func (s *framedStream) grant(bytes uint32) {
	s.c.t.Helper()
	s.c.must(s.c.framer.WriteWindowUpdate(s.id, bytes))
	s.given += int64(bytes)
}

// received waits until this many bytes of the answer are there.
func (s *framedStream) received(bytes int) {
	s.c.t.Helper()
	what := fmt.Sprintf("%d bytes of answer", bytes)
	s.c.await(what, func() bool { return len(s.body) >= bytes || s.ended || s.reset != nil })
	if len(s.body) < bytes {
		s.c.t.Fatalf("not %s: %v", what, s.state())
	}
}

// finished waits for the end of the answer and checks that it is one of a call that went well.
func (s *framedStream) finished() {
	s.c.t.Helper()
	s.c.await("end of the answer", func() bool { return s.ended || s.reset != nil })
	if !s.ended || field(s.headers, ":status") != "200" || field(s.trailers, "grpc-status") != "0" {
		s.c.t.Fatalf("not a good answer: %v", s.state())
	}
}

// refused waits until the server resets the stream.
func (s *framedStream) refused() http2.ErrCode {
	s.c.t.Helper()
	s.c.await("RST_STREAM", func() bool { return s.reset != nil })
	return *s.reset
}

// answer waits for the end of a unary answer and decodes its message.
func (s *framedStream) answer(into proto.Message) {
	s.c.t.Helper()
	s.finished()
	if len(s.body) < 5 || s.body[0] != 0 || int(binary.BigEndian.Uint32(s.body[1:])) != len(s.body)-5 {
		s.c.t.Fatalf("not one message: %v", s.state())
	}
	s.c.must(proto.Unmarshal(s.body[5:], into))
}

// message waits for the next message of a stream, takes it away and decodes it.
func (s *framedStream) message(into proto.Message) {
	s.c.t.Helper()
	s.received(5)
	length := 5 + int(binary.BigEndian.Uint32(s.body[1:]))
	s.received(length)
	s.c.must(proto.Unmarshal(s.body[5:length], into))
	s.body = s.body[length:]
}

// holds waits for the answer of a Range and checks that it has just the keys expected.
func (s *framedStream) holds(expected *pb.RangeResponse) {
	s.c.t.Helper()
	got := &pb.RangeResponse{}
	s.answer(got)
	if len(got.Kvs) != len(expected.Kvs) || got.Count != expected.Count {
		s.c.t.Fatalf("%d keys of %d, expected %d of %d", len(got.Kvs), got.Count, len(expected.Kvs), expected.Count)
	}
	for at, kv := range got.Kvs {
		if !proto.Equal(kv, expected.Kvs[at]) {
			s.c.t.Fatalf("key %d is %q of revision %d, expected %q of %d", at, kv.Key, kv.ModRevision, expected.Kvs[at].Key, expected.Kvs[at].ModRevision)
		}
	}
}

func (s *framedStream) state() string {
	said := fmt.Sprintf("stream %d: headers %v, %d bytes, trailers %v, ended %v, window %d", s.id, s.headers, len(s.body), s.trailers, s.ended, s.given)
	if s.reset != nil {
		said += ", reset " + s.reset.String()
	}
	return said
}

func field(fields []hpack.HeaderField, name string) string {
	for _, one := range fields {
		if one.Name == name {
			return one.Value
		}
	}
	return "no " + strconv.Quote(name)
}

// unimplemented waits for the answer to a call of a method that there is not.
func (s *framedStream) unimplemented() {
	s.c.t.Helper()
	s.c.await("end of the answer", func() bool { return s.ended || s.reset != nil })
	if !s.ended || field(s.trailers, "grpc-status") != "12" {
		s.c.t.Fatalf("not UNIMPLEMENTED: %v", s.state())
	}
}
