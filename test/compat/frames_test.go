// gRPC calls over HTTP/2 frames that are legal and that no gRPC library sends so: each is answered as etcd answers it.
package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
)

const (
	largeKeys      = 300
	largeValue     = 4 << 10
	largeTxnPuts   = 100
	largeAnswerMin = largeKeys * largeValue
)

// framesTarget is a server and what its Ranges answer.
type framesTarget struct {
	server *member.Member
	kv     pb.KVClient
	small  *pb.RangeResponse
	large  *pb.RangeResponse
}

var smallRange = &pb.RangeRequest{Key: []byte("small")}

// largeRanges have the same answer: netcd reads the one at once and the other, which has no limit, in pieces.
var largeRanges = []*pb.RangeRequest{
	{Key: []byte("large/"), RangeEnd: []byte("large0"), Limit: largeKeys},
	{Key: []byte("large/"), RangeEnd: []byte("large0")},
}

type frameCase struct {
	name string
	run  func(t *testing.T, at *framesTarget)
	// notEtcd says why etcd does not answer the same.
	notEtcd string
}

func TestFrames(t *testing.T) {
	netcd, etcd := member.StartPair(t)
	targets := []*framesTarget{framesTargetOf(t, netcd), framesTargetOf(t, etcd)}
	var cases []frameCase
	cases = append(cases, requestFrames...)
	cases = append(cases, headerFrames...)
	cases = append(cases, flowFrames...)
	cases = append(cases, endFrames...)
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			for _, at := range targets {
				t.Run(at.server.Label, func(t *testing.T) {
					if at.server == etcd && one.notEtcd != "" {
						t.Logf("not asked of etcd: %s", one.notEtcd)
						return
					}
					one.run(t, at)
					at.serves(t)
				})
			}
		})
	}
}

// framesTargetOf puts what the cases read.
func framesTargetOf(t *testing.T, server *member.Member) *framesTarget {
	t.Helper()
	at := &framesTarget{server: server, kv: pb.NewKVClient(server.Connect(t))}
	ctx, cancel := context.WithTimeout(context.Background(), frameCaseMax)
	defer cancel()
	at.put(t, "small", []byte("value"))
	for from := 0; from < largeKeys; from += largeTxnPuts {
		txn := &pb.TxnRequest{}
		for one := from; one < from+largeTxnPuts; one++ {
			put := &pb.PutRequest{Key: fmt.Appendf(nil, "large/%03d", one), Value: largeValueOf(one)}
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
		}
		if _, err := at.kv.Txn(ctx, txn); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if at.small, err = at.kv.Range(ctx, smallRange); err != nil {
		t.Fatal(err)
	}
	if at.large, err = at.kv.Range(ctx, largeRanges[0]); err != nil {
		t.Fatal(err)
	}
	if len(at.small.Kvs) != 1 || string(at.small.Kvs[0].Value) != "value" || len(at.large.Kvs) != largeKeys {
		t.Fatalf("%d and %d keys", len(at.small.Kvs), len(at.large.Kvs))
	}
	for one, kv := range at.large.Kvs {
		if !bytes.Equal(kv.Value, largeValueOf(one)) {
			t.Fatalf("%q is not as it was put", kv.Key)
		}
	}
	return at
}

func largeValueOf(one int) []byte { return bytes.Repeat([]byte{byte('a' + one%26)}, largeValue) }

// put is one by the gRPC library.
func (at *framesTarget) put(t *testing.T, key string, value []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), frameCaseMax)
	defer cancel()
	if _, err := at.kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: value}); err != nil {
		t.Fatal(err)
	}
}

func (at *framesTarget) dial(t *testing.T, settings ...http2.Setting) *framed {
	t.Helper()
	return dialFrames(t, at.server.Endpoint(), settings...)
}

// serves checks that the server answers others.
func (at *framesTarget) serves(t *testing.T) {
	t.Helper()
	at.dial(t).call(rangePath, smallRange).holds(at.small)
}

var requestFrames = []frameCase{
	{name: "headers in many CONTINUATION frames", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for range 3 {
			block := c.requestBlock(rangePath, "x-more", "of a length that makes the block worth splitting, for it is indexed by now")
			stream := c.openSplit((len(block)+15)/16, block)
			stream.data(frame(0, encoded(smallRange)), true)
			stream.holds(at.small)
		}
	}},
	{name: "headers of 40 KiB", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		stream := c.openSplit(defaultFrameMax, c.requestBlock(rangePath, "x-large", string(bytes.Repeat([]byte("~"), 40<<10))))
		stream.data(frame(0, encoded(smallRange)), true)
		stream.holds(at.small)
		c.call(rangePath, smallRange).holds(at.small)
	}},
	{name: "headers that are split and whose frames are padded", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		block := c.requestBlock(rangePath)
		stream := c.newStream()
		c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: block[:1], PadLength: 255,
			Priority: http2.PriorityParam{StreamDep: 0, Weight: 7}}))
		c.must(c.framer.WriteContinuation(stream.id, false, nil))
		c.must(c.framer.WriteContinuation(stream.id, true, block[1:]))
		message := frame(0, encoded(smallRange))
		stream.padded(message[:3], make([]byte, 255), false)
		stream.padded(nil, make([]byte, 7), false)
		stream.padded(message[3:], nil, true)
		stream.holds(at.small)
	}},
	{name: "data in frames of one byte and of none", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		stream := c.open(rangePath)
		for _, one := range frame(0, encoded(smallRange)) {
			stream.data([]byte{one}, false)
			stream.data(nil, false)
		}
		stream.data(nil, true)
		stream.holds(at.small)
	}},
	{name: "a hundred requests in one segment", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for range 2 {
			var streams []*framedStream
			for range 100 {
				streams = append(streams, c.call(rangePath, smallRange))
			}
			for _, stream := range streams {
				stream.holds(at.small)
			}
		}
	}},
	{name: "a hundred puts in one segment", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		var streams []*framedStream
		for one := range 100 {
			streams = append(streams, c.call(putPath, &pb.PutRequest{Key: []byte("many"), Value: fmt.Append(nil, one)}))
		}
		revisions := map[int64]int{}
		last := int64(0)
		for one, stream := range streams {
			answer := &pb.PutResponse{}
			stream.answer(answer)
			revisions[answer.Header.Revision] = one
			last = max(last, answer.Header.Revision)
		}
		if len(revisions) != len(streams) {
			t.Fatalf("%d puts have %d revisions", len(streams), len(revisions))
		}
		at.has(t, "many", fmt.Append(nil, revisions[last]))
	}},
	{name: "stream ids with gaps, up to the last", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		for _, id := range []uint32{1, 3, 7, 1001, 1<<20 + 1, 1<<30 - 1, 1<<31 - 1} {
			c.nextID = id
			c.call(rangePath, smallRange).holds(at.small)
		}
	}},
	{name: "a connection in segments of one byte", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		first, second := c.call(rangePath, smallRange), c.call(rangePath, smallRange)
		c.trickle()
		first.holds(at.small)
		second.holds(at.small)
	}},
	{name: "twenty requests byte by byte in turns", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		var streams []*framedStream
		for range 20 {
			streams = append(streams, c.open(rangePath))
		}
		message := frame(0, encoded(smallRange))
		for at := range message {
			for _, stream := range streams {
				stream.data(message[at:at+1], at == len(message)-1)
			}
		}
		for _, stream := range streams {
			stream.holds(at.small)
		}
	}},
	{name: "frames and settings that nobody knows", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t, http2.Setting{ID: 0xbabe, Val: 1})
		stream := c.open(rangePath)
		c.must(c.framer.WriteRawFrame(0xbe, 0xff, stream.id, []byte("what")))
		c.must(c.framer.WriteRawFrame(0xbf, 0, 0, nil))
		c.must(c.framer.WritePriority(stream.id+100, http2.PriorityParam{StreamDep: stream.id, Weight: 3}))
		stream.data(frame(0, encoded(smallRange)), true)
		stream.holds(at.small)
	}},
	{name: "a message first, the end of the request later", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		stream := c.open(rangePath)
		stream.data(frame(0, encoded(smallRange)), false)
		c.barrier()
		stream.data(nil, true)
		stream.holds(at.small)
		c.call(rangePath, smallRange).holds(at.small)
	}},
	{name: "a request that ends with trailers", notEtcd: "gRPC of Go ends the connection", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		stream := c.open(rangePath, "trailer", "x-end")
		stream.data(frame(0, encoded(smallRange)), false)
		c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream.id, BlockFragment: c.headerBlock("x-end", "yes"),
			EndStream: true, EndHeaders: true}))
		stream.holds(at.small)
		c.call(rangePath, smallRange).holds(at.small)
	}},
	{name: "a request of 1.2 MiB as the windows open", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		value := bytes.Repeat([]byte("0123456789abcdef"), (1200<<10)/16)
		stream := c.open(putPath)
		stream.send(frame(0, encoded(&pb.PutRequest{Key: []byte("put"), Value: value})), true)
		stream.answer(&pb.PutResponse{})
		at.has(t, "put", value)
	}},
	{name: "more padding than the windows are large", run: func(t *testing.T, at *framesTarget) {
		c := at.dial(t)
		value := bytes.Repeat([]byte("0123456789"), 2000)
		stream := c.open(putPath)
		message := frame(0, encoded(&pb.PutRequest{Key: []byte("padded"), Value: value}))
		padding := make([]byte, 255)
		for at, one := range message {
			stream.room("room for padding", 1+1+len(padding))
			stream.padded([]byte{one}, padding, at == len(message)-1)
		}
		stream.answer(&pb.PutResponse{})
		at.has(t, "padded", value)
	}},
	{name: "what is no preface", run: func(t *testing.T, at *framesTarget) {
		for _, said := range []string{"INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\x16\x03\x01\x00\x05hello\r\n\r\n"} {
			socket, err := net.Dial("tcp", at.server.Endpoint())
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if err := socket.SetDeadline(time.Now().Add(frameCaseMax)); err != nil {
				t.Fatal(err)
			}
			if _, err := socket.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
			// It may say something in HTTP/1.1 first. A reset ends the connection too.
			_, err = io.Copy(io.Discard, socket)
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Errorf("the connection stays after %q", said)
			}
		}
	}},
}

// has checks a key through the gRPC library.
func (at *framesTarget) has(t *testing.T, key string, value []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), frameCaseMax)
	defer cancel()
	got, err := at.kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || !bytes.Equal(got.Kvs[0].Value, value) {
		t.Fatalf("%q is not as it was put", key)
	}
}
