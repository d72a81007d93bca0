// Requests that no gRPC library would send: HTTP/2 by hand, so that path, headers and body can be wrong.
package compat

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"google.golang.org/protobuf/proto"
)

const rangePath = "/etcdserverpb.KV/Range"

type edgeCase struct {
	name    string
	method  string
	path    string
	headers map[string]string
	body    []byte
}

// frame is one gRPC message: a flag for compression, the length, the bytes.
func frame(compressed byte, message []byte) []byte {
	head := make([]byte, 5, 5+len(message))
	head[0] = compressed
	binary.BigEndian.PutUint32(head[1:], uint32(len(message)))
	return append(head, message...)
}

func encoded(message proto.Message) []byte {
	data, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	return data
}

func gzipped(data []byte) []byte {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	if _, err := writer.Write(data); err != nil {
		panic(err)
	}
	if err := writer.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func edgeCases() []edgeCase {
	valid := frame(0, encoded(&pb.RangeRequest{Key: []byte("k")}))
	cases := []edgeCase{
		{name: "valid", path: rangePath, body: valid},
		{name: "no te header", path: rangePath, body: valid, headers: map[string]string{"te": ""}},
		{name: "GET", method: "GET", path: rangePath},
		{name: "PUT", method: "PUT", path: rangePath, body: valid},
		{name: "two messages", path: rangePath, body: append(append([]byte{}, valid...), valid...)},
		// No message at all is left out: etcd never answers it.
		{name: "half a frame head", path: rangePath, body: valid[:3]},
		{name: "half a message", path: rangePath, body: valid[:len(valid)-1]},
		{name: "empty message", path: rangePath, body: frame(0, nil)},
		{name: "length over the limit", path: rangePath, body: []byte{0, 0x7f, 0xff, 0xff, 0xff, 1}},
		{name: "length just over the limit", path: rangePath, body: frame(0, make([]byte, messageBytesMax+1))},
		{name: "compressed without encoding", path: rangePath, body: frame(1, encoded(&pb.RangeRequest{Key: []byte("k")}))},
		{name: "gzip", path: rangePath, headers: map[string]string{"grpc-encoding": "gzip"},
			body: frame(1, gzipped(encoded(&pb.RangeRequest{Key: []byte("k")})))},
		{name: "gzip named but not used", path: rangePath, headers: map[string]string{"grpc-encoding": "gzip"}, body: valid},
		{name: "gzip of garbage", path: rangePath, headers: map[string]string{"grpc-encoding": "gzip"}, body: frame(1, []byte("garbage"))},
		{name: "gzip bomb", path: rangePath, headers: map[string]string{"grpc-encoding": "gzip"},
			body: frame(1, gzipped(make([]byte, messageBytesMax*4)))},
		{name: "unknown encoding", path: rangePath, headers: map[string]string{"grpc-encoding": "snappy"}, body: frame(1, []byte("x"))},
		{name: "unknown encoding, not used", path: rangePath, headers: map[string]string{"grpc-encoding": "snappy"}, body: valid},
		{name: "identity", path: rangePath, headers: map[string]string{"grpc-encoding": "identity"}, body: valid},
		{name: "compression flag 2", path: rangePath, body: frame(2, encoded(&pb.RangeRequest{Key: []byte("k")}))},
		{name: "api version", path: rangePath, headers: map[string]string{"client-api-version": "3.7"}, body: valid},
		{name: "api version not UTF-8", path: rangePath, headers: map[string]string{"client-api-version": "\xff\xfe"}, body: valid},
		{name: "hasleader", path: rangePath, headers: map[string]string{"hasleader": "true"}, body: valid},
		{name: "bad binary metadata", path: rangePath, headers: map[string]string{"x-bin": "!!!"}, body: valid},
		{name: "unknown field", path: rangePath, body: frame(0, append(encoded(&pb.RangeRequest{Key: []byte("k")}), 0xf8, 0x7f, 1))},
		{name: "key twice", path: rangePath, body: frame(0, []byte("\x0a\x01a\x0a\x01b"))},
		{name: "txn oneof twice", path: "/etcdserverpb.KV/Txn", body: frame(0, []byte("\x12\x0a\x0a\x03\x0a\x01a\x12\x03\x0a\x01b"))},
	}
	for _, path := range []string{"/foo.Bar/Baz", "/etcdserverpb.KV/Nope", "/etcdserverpb.KV/", "/etcdserverpb.KV", "/", "/a/b/c", "//", "/etcdserverpb.KV/range",
		"/etcdserverpb.Nope/Range", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		cases = append(cases, edgeCase{name: "path " + path, path: path, body: valid})
	}
	for _, kind := range []string{"application/json", "application/grpc+proto", "application/grpc+json", "application/grpc;charset=utf-8",
		"application/grpcfoo", "application/GRPC", "text/plain"} {
		cases = append(cases, edgeCase{name: "content-type " + kind, path: rangePath, headers: map[string]string{"content-type": kind}, body: valid})
	}
	for _, timeout := range []string{"1S", "5000m", "10H", "99999999H", "abc", "1", "S", "1X", "-1S", "100000000S", "1.5S", "1 S", "0n"} {
		cases = append(cases, edgeCase{name: "grpc-timeout " + timeout, path: rangePath, headers: map[string]string{"grpc-timeout": timeout}, body: valid})
	}
	// What more there is of broken messages is in wire_test.go.
	for _, bytes := range []string{"\xff", "\x0a", "\x0a\x05ab", "\x0b", "\x0c", "\x00\x00", "\x07", "\x18", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		for _, path := range []string{rangePath, "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Compact"} {
			cases = append(cases, edgeCase{name: fmt.Sprintf("bytes %q to %s", bytes, path), path: path, body: frame(0, []byte(bytes))})
		}
	}
	return cases
}

func TestGRPCEdges(t *testing.T) {
	p := newPair(t, "gRPC edges")
	defer p.report()
	client := &http.Client{Timeout: callWaitMax, Transport: &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		DisableCompression: true,
	}}
	for _, edge := range edgeCases() {
		ours, theirs := edge.send(t, client, p.servers[0].ClientURL), edge.send(t, client, p.servers[1].ClientURL)
		p.compared++
		if strings.Contains(theirs, "answer:") {
			t.Logf("etcd does not answer %s: %s", edge.name, theirs)
		}
		if ours != theirs {
			p.differ(edge.name, ours, theirs)
		}
	}
	// Whatever was sent, both still answer.
	p.compare(rangeCall(&pb.RangeRequest{Key: []byte("k")}))
}

// send makes the request and renders what is compared of the answer.
func (e edgeCase) send(t *testing.T, client *http.Client, base string) string {
	t.Helper()
	method := e.method
	if method == "" {
		method = "POST"
	}
	request, err := http.NewRequest(method, base+e.path, bytes.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("content-type", "application/grpc")
	request.Header.Set("te", "trailers")
	for name, value := range e.headers {
		request.Header.Set(name, value)
		if value == "" {
			request.Header.Del(name)
		}
	}
	answer, err := client.Do(request)
	if err != nil {
		return "no answer: " + strings.ReplaceAll(err.Error(), base, "")
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "broken answer: " + err.Error()
	}
	said := func(name string) string {
		if value := answer.Header.Get(name); value != "" {
			return value
		}
		return answer.Trailer.Get(name)
	}
	// Go's protobuf library puts a no-break space or a space into its errors, as the build has it.
	message := strings.ReplaceAll(said("grpc-message"), "%C2%A0", " ")
	return fmt.Sprintf("http %d content-type %q grpc-status %q grpc-message %q body %s", answer.StatusCode,
		answer.Header.Get("content-type"), said("grpc-status"), message, rangeBody(body))
}

// rangeBody renders the one message of a unary answer, ids aside; anything else by its length. Whether an answer
// is compressed is the choice of the server where the client takes gzip.
func rangeBody(body []byte) string {
	if len(body) < 5 || int(binary.BigEndian.Uint32(body[1:5])) != len(body)-5 {
		return fmt.Sprintf("%d bytes", len(body))
	}
	payload := body[5:]
	if body[0] == 1 {
		reader, err := gzip.NewReader(bytes.NewReader(payload))
		if err != nil {
			return err.Error()
		}
		if payload, err = io.ReadAll(reader); err != nil {
			return err.Error()
		}
	}
	message := &pb.RangeResponse{}
	if err := proto.Unmarshal(payload, message); err != nil {
		return err.Error()
	}
	normalizeHeaders(message.ProtoReflect())
	return fmt.Sprintf("{%s}", abridged(message))
}
