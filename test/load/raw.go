// gRPC streams without a gRPC client. A thousand small messages cost grpc-go more than they cost any server, and two
// servers that are compared would both be measured by it. So these decode only what is needed: HTTP/2 frames, the
// length of a message, and the fields that a work asks for.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// What a server may send before it is told that it was read.
	rawWindow = 1 << 30
	// What a client may send before the server says more.
	firstWindow    = 65_535
	frameBytes     = 16 << 10
	prefixBytes    = 5
	rawBufferBytes = 64 << 10
	// Client streams have odd numbers.
	streamStep = 2
)

// rawConnection is for one goroutine.
type rawConnection struct {
	endpoint string
	framer   *http2.Framer
	reader   *bufio.Reader
	writer   *bufio.Writer
	streams  map[uint32]*rawStream
	flow     rawFlow
	// window is the room that a new stream has.
	window int
}

type rawStream struct {
	id   uint32
	flow rawFlow
	// unread is the beginning of a message whose rest has not come.
	unread []byte
}

// rawFlow is the flow control of a stream or of the whole connection.
type rawFlow struct {
	// room is what may be sent.
	room int
	// consumed since the server was last given room.
	consumed uint32
}

// openRaw connects; the connection ends with the context.
func openRaw(ctx context.Context, endpoint string) (*rawConnection, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = connection.Close() })
	c := &rawConnection{
		endpoint: endpoint,
		reader:   bufio.NewReaderSize(connection, rawBufferBytes),
		writer:   bufio.NewWriterSize(connection, rawBufferBytes),
		streams:  map[uint32]*rawStream{},
		flow:     rawFlow{room: firstWindow},
		window:   firstWindow,
	}
	c.framer = http2.NewFramer(c.writer, c.reader)
	c.framer.SetReuseFrames()
	_, err = c.writer.WriteString(http2.ClientPreface)
	return c, errors.Join(err,
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: rawWindow}),
		c.framer.WriteWindowUpdate(0, rawWindow))
}

// open begins a call.
func (c *rawConnection) open(method string) (*rawStream, error) {
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	// Each call has an encoder of its own, so none may refer to a field of the call before.
	encoder.SetMaxDynamicTableSize(0)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", c.endpoint},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return nil, err
		}
	}
	stream := &rawStream{id: uint32(len(c.streams))*streamStep + 1, flow: rawFlow{room: c.window}}
	c.streams[stream.id] = stream
	return stream, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: head.Bytes(), EndHeaders: true})
}

// framed is a message as it stands on the wire.
func framed(message proto.Message) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(encoded))), encoded...), err
}

// send writes framed messages; they leave with the next look for frames.
func (c *rawConnection) send(stream *rawStream, framed []byte) error {
	if len(framed) > min(c.flow.room, stream.flow.room) {
		return fmt.Errorf("the server has given no room for %d bytes", len(framed))
	}
	c.flow.room -= len(framed)
	stream.flow.room -= len(framed)
	for len(framed) > 0 {
		part := framed[:min(frameBytes, len(framed))]
		if err := c.framer.WriteData(stream.id, false, part); err != nil {
			return err
		}
		framed = framed[len(part):]
	}
	return nil
}

// frame reads one frame, answers what has to be answered, and calls each with the messages that are complete.
func (c *rawConnection) frame(each func(stream *rawStream, message []byte) error) error {
	if c.reader.Buffered() == 0 {
		if err := c.writer.Flush(); err != nil {
			return err
		}
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch frame := frame.(type) {
	case *http2.DataFrame:
		stream := c.streams[frame.StreamID]
		if err := stream.data(frame.Data(), each); err != nil {
			return err
		}
		return errors.Join(c.makeRoom(0, &c.flow, frame.Length), c.makeRoom(stream.id, &stream.flow, frame.Length))
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.flow.room += int(frame.Increment)
		} else {
			c.streams[frame.StreamID].flow.room += int(frame.Increment)
		}
	case *http2.SettingsFrame:
		return c.settings(frame)
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.HeadersFrame:
		if frame.StreamEnded() {
			return errors.New("the server ended a stream")
		}
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		return fmt.Errorf("the server ended the stream: %v", frame)
	}
	return nil
}

func (c *rawConnection) settings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	if window, given := frame.Value(http2.SettingInitialWindowSize); given {
		for _, stream := range c.streams {
			stream.flow.room += int(window) - c.window
		}
		c.window = int(window)
	}
	return c.framer.WriteSettingsAck()
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

func (s *rawStream) data(data []byte, each func(stream *rawStream, message []byte) error) error {
	if len(s.unread) > 0 {
		s.unread = append(s.unread, data...)
		data = s.unread
	}
	for len(data) >= prefixBytes {
		end := prefixBytes + int(binary.BigEndian.Uint32(data[1:]))
		if len(data) < end {
			break
		}
		if err := each(s, data[prefixBytes:end]); err != nil {
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
