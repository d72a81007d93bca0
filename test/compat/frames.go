// A client of HTTP/2 that writes every frame by itself and checks each that comes, so that tests can split, pad, delay
// and hold back as no library does.
package compat

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// frameCaseMax bounds a connection, and so the case that it is for.
	frameCaseMax = 60 * time.Second
	// What holds until settings say something else (RFC 9113, 6.5.2; RFC 7541, 4.2).
	defaultWindow      = 65535
	defaultFrameMax    = 16384
	defaultHeaderTable = 4096
	// ourFrameMax is the largest frame that any case lets the server send.
	ourFrameMax = 1 << 20
)

// framed is one connection. Only the goroutine of the test uses it: frames are read while something is awaited.
type framed struct {
	t      *testing.T
	socket net.Conn
	framer *http2.Framer
	// out is what was written and not yet sent: it leaves as one write.
	out     bytes.Buffer
	encoder *hpack.Encoder
	encoded bytes.Buffer
	decoder *hpack.Decoder
	streams map[uint32]*framedStream
	nextID  uint32

	// given is what the server may send on the connection, ours what it may do otherwise.
	given int64
	ours  ourSettings
	// unacked are the settings that the server did not acknowledge yet, in order.
	unacked []func()
	// tableSize is the header table that the server announced; owed is the size to which it must announce to have
	// shrunk before the next headers.
	tableSize uint32
	owed      *uint32
	pongs     map[[8]byte]int

	// What the server lets us send.
	taken        int64
	takenInitial int64
	takenFrame   int
	greeted      bool
	// maxStreams is the server's limit of streams at once, 0 without one.
	maxStreams uint32

	// goAway and broken are how the server ended the connection.
	goAway *http2.ErrCode
	broken error

	// block collects the headers of a stream over CONTINUATION frames.
	block      []byte
	blockOf    *framedStream
	blockEnded bool
}

// ourSettings are what the server must hold to: a larger value from when it is sent, a smaller one from when it is
// acknowledged.
type ourSettings struct {
	initialWindow int64
	frameMax      uint32
	headerTable   uint32
}

// dialFrames connects and says hello, which leaves with the first frames of the test.
func dialFrames(t *testing.T, address string, settings ...http2.Setting) *framed {
	t.Helper()
	socket, err := net.DialTimeout("tcp", address, frameCaseMax)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	if err := socket.SetDeadline(time.Now().Add(frameCaseMax)); err != nil {
		t.Fatal(err)
	}
	c := &framed{
		t: t, socket: socket,
		streams: map[uint32]*framedStream{}, pongs: map[[8]byte]int{}, nextID: 1,
		given: defaultWindow, taken: defaultWindow, takenInitial: defaultWindow, takenFrame: defaultFrameMax,
		ours:      ourSettings{defaultWindow, defaultFrameMax, defaultHeaderTable},
		tableSize: defaultHeaderTable,
	}
	c.framer = http2.NewFramer(&c.out, socket)
	c.framer.SetMaxReadFrameSize(ourFrameMax)
	c.framer.AllowIllegalWrites = true
	c.encoder = hpack.NewEncoder(&c.encoded)
	c.decoder = hpack.NewDecoder(defaultHeaderTable, nil)
	c.out.WriteString(http2.ClientPreface)
	c.settings(settings...)
	return c
}

// must stops the test at an error of our own side.
func (c *framed) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// settings tells the server what holds from now on.
func (c *framed) settings(settings ...http2.Setting) {
	c.t.Helper()
	c.must(c.framer.WriteSettings(settings...))
	var later []func()
	for _, one := range settings {
		switch one.ID {
		case http2.SettingInitialWindowSize:
			delta := int64(one.Val) - c.ours.initialWindow
			c.ours.initialWindow = int64(one.Val)
			// Streams that open from here on begin with the new value on both sides.
			if delta > 0 {
				c.moveWindows(delta)
				continue
			}
			for _, stream := range c.streams {
				later = append(later, func() { stream.given += delta })
			}
		case http2.SettingMaxFrameSize:
			if one.Val > c.ours.frameMax {
				c.ours.frameMax = one.Val
			}
			later = append(later, func() { c.ours.frameMax = one.Val })
		case http2.SettingHeaderTableSize:
			if one.Val > c.ours.headerTable {
				c.ours.headerTable = one.Val
			}
			c.decoder.SetAllowedMaxDynamicTableSize(c.ours.headerTable)
			later = append(later, func() {
				c.ours.headerTable = one.Val
				c.decoder.SetAllowedMaxDynamicTableSize(one.Val)
				if one.Val < c.tableSize && (c.owed == nil || one.Val < *c.owed) {
					c.owed = &one.Val
				}
			})
		}
	}
	c.unacked = append(c.unacked, func() {
		for _, apply := range later {
			apply()
		}
	})
}

func (c *framed) moveWindows(delta int64) {
	for _, stream := range c.streams {
		stream.given += delta
	}
}

// flush sends all that was written, as one write.
func (c *framed) flush() error {
	_, err := c.socket.Write(c.out.Bytes())
	c.out.Reset()
	return err
}

// trickle sends all that was written byte by byte, each as a segment of its own.
func (c *framed) trickle() {
	c.t.Helper()
	for _, one := range c.out.Bytes() {
		_, err := c.socket.Write([]byte{one})
		c.must(err)
	}
	c.out.Reset()
}

// grant opens the window of the connection.
func (c *framed) grant(bytes uint32) {
	c.t.Helper()
	c.must(c.framer.WriteWindowUpdate(0, bytes))
	c.given += int64(bytes)
}

// await sends what was written and reads frames until it is done.
func (c *framed) await(what string, done func() bool) {
	c.t.Helper()
	for !done() {
		if !c.step() {
			c.t.Fatalf("no %s: %v", what, c.state())
		}
	}
}

// step sends what was written and reads one frame; false when the connection has ended.
func (c *framed) step() bool {
	c.t.Helper()
	if c.broken != nil {
		return false
	}
	// A server that ends the connection does not read on; what it said before is still there to be read.
	_ = c.flush()
	frame, err := c.framer.ReadFrame()
	if err != nil {
		c.broken = err
		return false
	}
	c.take(frame)
	return true
}

// acked waits until the server acknowledged all settings: whatever was sent before was taken in by then.
func (c *framed) acked() {
	c.t.Helper()
	c.await("acknowledgement of settings", func() bool { return len(c.unacked) == 0 })
}

// barrier waits until the server has taken in all that was sent. Settings, since pings in a row are refused.
func (c *framed) barrier() {
	c.t.Helper()
	c.settings()
	c.acked()
}

// ended reads on until the server closes the connection.
func (c *framed) ended() {
	c.t.Helper()
	for c.step() {
	}
	if timeout, ok := c.broken.(net.Error); ok && timeout.Timeout() {
		c.t.Fatalf("the server did not end the connection: %v", c.state())
	}
}

func (c *framed) state() string {
	said := fmt.Sprintf("connection window %d, %d settings unacknowledged, error %v", c.given, len(c.unacked), c.broken)
	if c.goAway != nil {
		said += fmt.Sprintf(", GOAWAY %v", *c.goAway)
	}
	shown := 0
	for _, stream := range c.streams {
		if shown++; shown > 5 {
			return said + fmt.Sprintf("; %d streams", len(c.streams))
		}
		said += "; " + stream.state()
	}
	return said
}
