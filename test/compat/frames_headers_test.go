// Header compression: every form that a client may use, and tables that change their size on both sides.
package compat

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func headerTable(bytes uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingHeaderTableSize, Val: bytes}
}

// A literal in a header block is its form, then name and value (RFC 7541, 6.2).
const (
	withoutIndexing = 0x00
	neverIndexed    = 0x10
	withIndexing    = 0x40
)

// literal is a header whose name and value are spelled out, both without Huffman's code.
func literal(form byte, name, value string) []byte {
	return append(append([]byte{form}, spelled(name)...), spelled(value)...)
}

func spelled(text string) []byte {
	if len(text) < 0x7f {
		return append([]byte{byte(len(text))}, text...)
	}
	return append([]byte{0x7f, byte((len(text)-0x7f)&0x7f | 0x80), byte((len(text) - 0x7f) >> 7)}, text...)
}

// literals are the headers of a call, all in one form.
func literals(form byte, path string, more ...string) []byte {
	fields := []string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "frames",
		"te", "trailers", "content-type", "application/grpc"}
	var block []byte
	for fields = append(fields, more...); len(fields) > 0; fields = fields[2:] {
		block = append(block, literal(form, fields[0], fields[1])...)
	}
	return block
}

var headerFrames = []frameCase{
	{name: "headers in every literal form", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for _, form := range []byte{withoutIndexing, neverIndexed, withIndexing} {
			for _, length := range []int{0, 1, 126, 127, 128, 5000} {
				stream := c.openSplit(defaultFrameMax, literals(form, rangePath, "x-long", strings.Repeat("v", length)))
				stream.data(frame(0, encoded(smallRange)), true)
				stream.holds(at.small)
			}
		}
	}},
	{name: "headers that drive each other out of the client's table", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		var streams []*framedStream
		for one := range 500 {
			more := []string{fmt.Sprintf("x-%d", one%7), strings.Repeat("v", one), "x-again", fmt.Sprint(one % 3)}
			stream := c.open(rangePath, more...)
			stream.data(frame(0, encoded(smallRange)), true)
			streams = append(streams, stream)
			if one%50 == 49 {
				for _, stream := range streams {
					stream.holds(at.small)
				}
				streams = nil
			}
		}
	}},
	{name: "a client's table that shrinks and grows", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for _, size := range []uint32{4096, 0, 200, 33, 4096, 0, 4096} {
			c.encoder.SetMaxDynamicTableSize(size)
			for range 5 {
				stream := c.open(rangePath, "x-some", "value", "x-other", strings.Repeat("v", 60))
				stream.data(frame(0, encoded(smallRange)), true)
				stream.holds(at.small)
			}
		}
		// Two changes between two blocks: both are told.
		c.encoder.SetMaxDynamicTableSize(0)
		c.encoder.SetMaxDynamicTableSize(4096)
		for range 3 {
			c.call(rangePath, smallRange).holds(at.small)
		}
	}},
	{name: "header tables of all sizes", run: func(t *testing.T, at *framesTarget) {
		for _, size := range []uint32{0, 1, 64, 4095, 4096, 65536} {
			c := at.dial(t, headerTable(size))
			for range 5 {
				c.call(rangePath, smallRange).holds(at.small)
			}
		}
	}},
	{name: "a header table that shrinks and grows", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for _, sizes := range [][]uint32{{4096}, {0}, {4096}, {100, 0, 4096}, {65536}, {0, 50}, {4096}} {
			for _, size := range sizes {
				c.settings(headerTable(size))
			}
			// Answers under way when the size changes, and some after it.
			for range 3 {
				early := c.call(rangePath, smallRange)
				c.acked()
				early.holds(at.small)
				c.call("/etcdserverpb.KV/Nope", smallRange).unimplemented()
			}
		}
	}},
}
