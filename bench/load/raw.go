// gRPC without a gRPC client. A thousand small messages, or a hundred puts in a transaction, cost grpc-go more than they
// cost some servers, and servers that are compared would all be measured by it. So this decodes only what is needed:
// HTTP/2 frames, the length of a message, how a call ended, and the fields that a work asks for.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// What a server may send before it is told that it was read.
	rawWindow = 1 << 30
	// What a client may send before the server says more.
	firstWindow = 65_535
	// Bytes of header fields that either side remembers.
	headerTableBytes = 4096
	frameBytes       = 16 << 10
	prefixBytes      = 5
	// Client streams have odd numbers.
	firstStream, streamStep = 1, 2
)

// rawConnection is one of a loop's.
type rawConnection struct {
	endpoint, scheme string
	// token, where there is one, goes with every call.
	token   string
	socket  *socket
	framer  *http2.Framer
	encoder *hpack.Encoder
	decoder *hpack.Decoder
	// head is the header block that is being written.
	head bytes.Buffer
	// trailers are those of the header block that was read last.
	trailers rawTrailers
	streams  map[uint32]*rawStream
	next     uint32
	flow     rawFlow
	// window is the room that a new stream has; the server says it when it greets.
	window  int
	greeted bool
	// blocked are streams that have something to send and no room, in the order in which they asked.
	blocked []*rawStream
}

type rawStream struct {
	id   uint32
	flow rawFlow
	// unsent waits for room; last says that nothing comes after it.
	unsent []byte
	last   bool
	// unread is the beginning of a message whose rest has not come.
	unread []byte
	// raw, where there is one, gets the bytes as they come in place of each.
	raw func(data []byte)
	// each is called with every message that is complete, which is gone afterwards.
	each func(message []byte) error
	// answer is a unary call's, done what is called with it when the server has ended the call; nil for a stream of
	// messages, which must not end.
	answer []byte
	done   func(answer []byte) error
	// refused, where there is one, is called with what a server says that refuses a unary call, and may let it pass.
	refused func(message string) error
}

// rawFlow is the flow control of a stream or of the whole connection.
type rawFlow struct {
	// room is what may be sent.
	room int
	// consumed since the server was last given room.
	consumed uint32
}

// rawTrailers say how a call ended.
type rawTrailers struct{ status, message string }

// open makes a connection that ends with the loop.
func (l *rawLoop) open(endpoint string) (*rawConnection, error) {
	socket, err := l.connect(endpoint)
	if err != nil {
		return nil, err
	}
	c := &rawConnection{
		endpoint: endpoint,
		scheme:   "http",
		socket:   socket,
		streams:  map[uint32]*rawStream{},
		next:     firstStream,
		flow:     rawFlow{room: firstWindow},
		window:   firstWindow,
	}
	if socket.secure != nil {
		c.scheme = "https"
	}
	l.connections[int32(socket.fd)] = c
	c.encoder = hpack.NewEncoder(&c.head)
	c.decoder = hpack.NewDecoder(headerTableBytes, c.header)
	c.framer = http2.NewFramer(socket, socket)
	c.framer.SetReuseFrames()
	_, err = socket.Write([]byte(http2.ClientPreface))
	return c, errors.Join(err,
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: rawWindow}),
		c.framer.WriteWindowUpdate(0, rawWindow))
}

// open begins a call that is a stream of messages; the caller says what is done with each.
func (c *rawConnection) open(method string) (*rawStream, error) {
	c.head.Reset()
	fields := [][2]string{
		{":method", "POST"}, {":scheme", c.scheme}, {":path", method}, {":authority", c.endpoint},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	}
	if c.token != "" {
		fields = append(fields, [2]string{tokenHeader, c.token})
	}
	for _, field := range fields {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	stream := &rawStream{id: c.next, flow: rawFlow{room: c.window}}
	c.next += streamStep
	c.streams[stream.id] = stream
	return stream, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: c.head.Bytes(), EndHeaders: true})
}

// call makes a unary call; done gets the answer, which is gone afterwards, when the server has ended the call well.
// What is asked must not change until then. Refused, if there is one, gets what a server says that refuses the call.
func (c *rawConnection) call(method string, framed []byte, done func(answer []byte) error, refused func(message string) error) error {
	stream, err := c.open(method)
	if err != nil {
		return err
	}
	stream.each, stream.done, stream.refused, stream.last = stream.keep, done, refused, true
	return c.send(stream, framed)
}

// framed is a message as it stands on the wire.
func framed(message proto.Message) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(encoded))), encoded...), err
}

// send writes framed messages, as far as the server gives room; they leave with the loop's next turn.
func (c *rawConnection) send(stream *rawStream, framed []byte) error {
	if len(stream.unsent) > 0 {
		return errors.New("the stream has not sent yet what it was given before")
	}
	stream.unsent = framed
	c.blocked = append(c.blocked, stream)
	return c.unblock()
}

// unblock writes for all streams that wait, until there is no more room.
func (c *rawConnection) unblock() error {
	for _, stream := range c.blocked {
		for room := min(c.flow.room, stream.flow.room); room > 0 && len(stream.unsent) > 0; room = min(c.flow.room, stream.flow.room) {
			part := stream.unsent[:min(frameBytes, len(stream.unsent), room)]
			stream.unsent = stream.unsent[len(part):]
			c.flow.room -= len(part)
			stream.flow.room -= len(part)
			if err := c.framer.WriteData(stream.id, stream.last && len(stream.unsent) == 0, part); err != nil {
				return err
			}
		}
	}
	c.blocked = slices.DeleteFunc(c.blocked, func(stream *rawStream) bool { return len(stream.unsent) == 0 })
	return nil
}

// frame reads one frame and answers what has to be answered.
func (c *rawConnection) frame() error {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	// Late news of a call that has ended find no stream.
	stream := c.streams[frame.Header().StreamID]
	switch frame := frame.(type) {
	case *http2.DataFrame:
		return c.data(stream, frame)
	case *http2.HeadersFrame:
		return c.headers(stream, frame)
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.flow.room += int(frame.Increment)
		} else if stream != nil {
			stream.flow.room += int(frame.Increment)
		}
		return c.unblock()
	case *http2.SettingsFrame:
		return c.settings(frame)
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame:
		if stream != nil {
			return fmt.Errorf("the server ended a stream: %v", frame.ErrCode)
		}
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server ended the connection: %v", frame.ErrCode)
	}
	return nil
}

func (c *rawConnection) settings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	c.greeted = true
	if bytes, given := frame.Value(http2.SettingHeaderTableSize); given {
		c.encoder.SetMaxDynamicTableSizeLimit(bytes)
	}
	if window, given := frame.Value(http2.SettingInitialWindowSize); given {
		for _, stream := range c.streams {
			stream.flow.room += int(window) - c.window
		}
		c.window = int(window)
	}
	return errors.Join(c.framer.WriteSettingsAck(), c.unblock())
}

func (c *rawConnection) makeRoom(id uint32, flow *rawFlow, read uint32) error {
	flow.consumed += read
	if flow.consumed < rawWindow/2 {
		return nil
	}
	room := flow.consumed
	flow.consumed = 0
	return c.framer.WriteWindowUpdate(id, room)
}

func (c *rawConnection) data(stream *rawStream, frame *http2.DataFrame) error {
	if stream == nil {
		return errors.New("the server sent data on a stream that had ended")
	}
	if err := stream.data(frame.Data()); err != nil {
		return err
	}
	return errors.Join(c.makeRoom(0, &c.flow, frame.Length), c.makeRoom(stream.id, &stream.flow, frame.Length))
}

// keep holds a unary call's answer until the call has ended.
func (s *rawStream) keep(message []byte) error {
	if s.answer != nil {
		return errors.New("the server answered a unary call twice")
	}
	s.answer = append(make([]byte, 0, len(message)), message...)
	return nil
}

// header is called with each field of a block of headers.
func (c *rawConnection) header(field hpack.HeaderField) {
	switch field.Name {
	case "grpc-status":
		c.trailers.status = field.Value
	case "grpc-message":
		c.trailers.message = field.Value
	}
}

// headers reads a block, even where nothing in it matters: what comes later may refer to it.
func (c *rawConnection) headers(stream *rawStream, frame *http2.HeadersFrame) error {
	if !frame.HeadersEnded() {
		return errors.New("the server sent headers that do not fit in a frame")
	}
	c.trailers = rawTrailers{}
	if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil {
		return err
	}
	if err := c.decoder.Close(); err != nil || !frame.StreamEnded() {
		return err
	}
	if stream != nil && stream.refused != nil && c.trailers.status != "0" {
		delete(c.streams, stream.id)
		return stream.refused(c.trailers.message)
	}
	if stream == nil || stream.done == nil || c.trailers.status != "0" || stream.answer == nil {
		return fmt.Errorf("the server ended a call with grpc-status %q %s", c.trailers.status, c.trailers.message)
	}
	delete(c.streams, stream.id)
	return stream.done(stream.answer)
}

func (s *rawStream) data(data []byte) error {
	if s.raw != nil {
		s.raw(data)
		return nil
	}
	if len(s.unread) > 0 {
		s.unread = append(s.unread, data...)
		data = s.unread
	}
	for len(data) >= prefixBytes {
		end := prefixBytes + int(binary.BigEndian.Uint32(data[1:]))
		if len(data) < end {
			break
		}
		if err := s.each(data[prefixBytes:end]); err != nil {
			return err
		}
		data = data[end:]
	}
	s.unread = append(s.unread[:0], data...)
	return nil
}

// fields calls each with the fields of a message: its number for those that are one, its bytes for the others.
func fields(message []byte, each func(field protowire.Number, number uint64, bytes []byte) error) error {
	for len(message) > 0 {
		field, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return protowire.ParseError(length)
		}
		message = message[length:]
		var value uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			value, length = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			inner, length = protowire.ConsumeBytes(message)
		default:
			length = protowire.ConsumeFieldValue(field, kind, message)
		}
		if length < 0 {
			return protowire.ParseError(length)
		}
		message = message[length:]
		if err := each(field, value, inner); err != nil {
			return err
		}
	}
	return nil
}
