// Messages that no protobuf library would write, to every RPC: known fields of another wire type, groups, numbers that
// are too long, what is cut short, text that is not UTF-8, and txns in txns.
package compat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// rawCodec sends bytes as they are and keeps those that come.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = bytes.Clone(data)
	return nil
}

var _ encoding.Codec = rawCodec{}

// rawOutcome is the status of a call with this message, and whether it was answered with one.
func rawOutcome(connection *grpc.ClientConn, path string, message []byte) string {
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	streams := grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := connection.NewStream(ctx, &streams, path, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return err.Error()
	}
	// An error of sending is told by receiving.
	if err := stream.SendMsg(&message); err != nil && err != io.EOF {
		return err.Error()
	}
	if err := stream.CloseSend(); err != nil {
		return err.Error()
	}
	var answer []byte
	err = stream.RecvMsg(&answer)
	switch err {
	case nil:
		return "an answer"
	case io.EOF:
		return "an end"
	}
	// Go's protobuf library puts a no-break space or a space into its errors, as the build has it.
	return fmt.Sprintf("code %d %s", status.Code(err), strings.ReplaceAll(status.Convert(err).Message(), "\u00a0", " "))
}

// brokenMessages are refused by every method, before it is asked what it does.
var brokenMessages = map[string]string{
	"a varint without end":      "\x08\xff",
	"a varint of eleven bytes":  "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
	"a varint above 64 bits":    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
	"a tag alone":               "\x0a",
	"bytes cut short":           "\x0a\x05ab",
	"a length of 2^63":          "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
	"fixed64 cut short":         "\x91\x7d1234",
	"field 0":                   "\x00\x01",
	"field 2^29":                "\x80\x80\x80\x80\x10\x01",
	"wire type 6":               "\x0e\x01",
	"wire type 7":               "\x0f\x01",
	"a group without end":       "\x93\x7d\x08\x01",
	"the end of no group":       "\x94\x7d",
	"a group that ends another": "\x93\x7d\x9c\x7d",
}

// skippedFields are fields 1 to 3 as every wire type: known ones among them are skipped where they have another.
var skippedFields = map[string]string{
	"fixed64": "\x0912345678\x1112345678\x1912345678",
	"fixed32": "\x0d1234\x151234\x1d1234",
	"unknown": "\x90\x7d\x01\x91\x7d12345678\x92\x7d\x01a\x93\x7d\x0b\x0c\x08\x01\x94\x7d\x95\x7d1234",
	"groups":  "\x0b\x0c\x13\x14\x1b\x08\x01\x1c",
}

// allPaths are those of every RPC.
func allPaths() []string {
	var paths []string
	for _, service := range []grpc.ServiceDesc{pb.KV_ServiceDesc, pb.Watch_ServiceDesc, pb.Lease_ServiceDesc, pb.Cluster_ServiceDesc,
		pb.Maintenance_ServiceDesc, pb.Auth_ServiceDesc, health.Health_ServiceDesc} {
		for _, method := range service.Methods {
			paths = append(paths, "/"+service.ServiceName+"/"+method.MethodName)
		}
		for _, stream := range service.Streams {
			paths = append(paths, "/"+service.ServiceName+"/"+stream.StreamName)
		}
	}
	for _, method := range []string{"Campaign", "Proclaim", "Leader", "Observe", "Resign"} {
		paths = append(paths, "/v3electionpb.Election/"+method)
	}
	return append(paths, "/v3lockpb.Lock/Lock", "/v3lockpb.Lock/Unlock")
}

// doesNothing is set for methods whose answer to an empty request is the same everywhere, and soon there.
func doesNothing(path string) bool {
	switch path {
	case "/etcdserverpb.Maintenance/Snapshot", "/etcdserverpb.Maintenance/Downgrade", "/etcdserverpb.Watch/Watch",
		"/grpc.health.v1.Health/Watch", "/v3lockpb.Lock/Lock", "/v3electionpb.Election/Campaign", "/v3electionpb.Election/Observe":
		return false
	}
	return !strings.HasPrefix(path, "/etcdserverpb.Auth/")
}

func (p *pair) compareRaw(path, what string, message []byte) {
	p.t.Helper()
	ours, theirs := rawOutcome(p.netcd, path, message), rawOutcome(p.etcd, path, message)
	p.compared++
	if ours != theirs {
		p.differ(path+": "+what, ours, theirs)
	}
}

func TestWireFormat(t *testing.T) {
	p := newPair(t, "wire format")
	defer p.report()
	for _, path := range allPaths() {
		for what, message := range brokenMessages {
			p.compareRaw(path, what, []byte(message))
		}
		if doesNothing(path) {
			for what, message := range skippedFields {
				p.compareRaw(path, what, []byte(message))
			}
		}
	}
	for path, texts := range map[string][]string{
		"/etcdserverpb.Cluster/MemberAdd":      {"\x0a\x02\xff\xfe"},
		"/etcdserverpb.Cluster/MemberUpdate":   {"\x08\x01\x12\x02\xff\xfe"},
		"/grpc.health.v1.Health/Check":         {"\x0a\x02\xff\xfe", "\x0a\x02\xc3\xa9"},
		"/etcdserverpb.Auth/Authenticate":      {"\x0a\x02\xff\xfe"},
		"/etcdserverpb.KV/Put":                 {"\x0a\x02\xff\xfe"},
		"/etcdserverpb.Lease/LeaseTimeToLive":  {"\x0d1234\x10\x01", "\x08\x05\x12\x01a"},
		"/etcdserverpb.Maintenance/MoveLeader": {"\x0a\x01a"},
		"/etcdserverpb.KV/Range":               {"\x08\x01", "\x0a\x01a\x1a\x01b", "\x0a\x01a\x2a\x01b\x38\x01"},
		"/etcdserverpb.KV/DeleteRange":         {"\x0a\x01a\x1a\x01b"},
		"/etcdserverpb.KV/Txn":                 {"\x12\x05\x0a\x03\x18\x0aa", "\x12\x09\x0a\x07\x0a\x01k\x1d1234", "\x12\x03\x08\x01\x01"},
	} {
		for _, message := range texts {
			p.compareRaw(path, fmt.Sprintf("%q", message), []byte(message))
		}
	}
	// What was put in spite of skipped fields is there, the same on both.
	p.compareRaw("/etcdserverpb.KV/Put", "a value, a version and a lease as bytes", []byte("\x0a\x01k\x12\x01v\x1a\x01x\x25abcd"))
	p.compare(rangeCall(&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("z")}))
}

// nestedTxn is so many txns in one another; the innermost does nothing.
func nestedTxn(depth int) []byte {
	var message []byte
	for range depth - 1 {
		op := protowire.AppendBytes([]byte{0x22}, message)
		message = protowire.AppendBytes([]byte{0x12}, op)
	}
	return message
}

func TestNestedTxns(t *testing.T) {
	p := newPair(t, "nested txns")
	defer p.report()
	const txn = "/etcdserverpb.KV/Txn"
	for _, depth := range []int{1, 2, 33, 49, 50, 51, 99, 100, 101, 127, 128, 129, 130, 131, 200, 500, 511, 512, 513, 1000, 5000, 5001, 20000} {
		p.compareRaw(txn, fmt.Sprintf("%d txns", depth), nestedTxn(depth))
	}
	for _, depth := range []int{100, 10000, 10001, 10002, 300000} {
		groups := append(bytes.Repeat([]byte{0x7b}, depth), bytes.Repeat([]byte{0x7c}, depth)...)
		p.compareRaw(txn, fmt.Sprintf("%d groups", depth), groups)
	}
	// A put at the bottom of a hundred is made, and told.
	put := []byte("\x12\x08\x12\x06\x0a\x01k\x12\x01v")
	for range 100 {
		put = protowire.AppendBytes([]byte{0x12}, protowire.AppendBytes([]byte{0x22}, put))
	}
	p.compareRaw(txn, "a put below 100 txns", put)
	p.compare(rangeCall(&pb.RangeRequest{Key: []byte("k")}))
}
