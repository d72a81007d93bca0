// A deadline that passes while a large answer is on its way, and metadata that is large.
package compat

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// largeReads is how many ranges of 5 MB are cut off by deadlines of 1 ms and more.
const largeReads = 150

func TestDeadlinesInsideAnAnswer(t *testing.T) {
	p := newPair(t, "deadlines inside an answer")
	defer p.report()
	value := bytes.Repeat([]byte("v"), 1<<20)
	for i := range 5 {
		p.compare(putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: value}))
	}
	for _, connection := range []*grpc.ClientConn{p.netcd, p.etcd} {
		outcomes := map[string]int{}
		for i := range largeReads {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i%25)*time.Millisecond)
			_, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")},
				grpc.MaxCallRecvMsgSize(64<<20))
			cancel()
			outcomes[status.Code(err).String()]++
		}
		t.Logf("%s: %v", connection.Target(), outcomes)
		if outcomes["OK"]+outcomes["DeadlineExceeded"] != largeReads || outcomes["DeadlineExceeded"] == 0 {
			t.Errorf("%s: ranges that deadlines cut off: %v", connection.Target(), outcomes)
		}
	}
}

func TestLargeMetadata(t *testing.T) {
	p := newPair(t, "large metadata")
	defer p.report()
	for _, mebibytes := range []int{1, 2, 8, 15} {
		large := strings.Repeat("v", mebibytes<<20)
		ctx := metadata.AppendToOutgoingContext(context.Background(), "x-large", large)
		for _, connection := range []*grpc.ClientConn{p.netcd, p.etcd} {
			calls := map[string]func() error{
				"Range": func() error {
					_, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
					return err
				},
				"MemberList": func() error {
					_, err := pb.NewClusterClient(connection).MemberList(ctx, &pb.MemberListRequest{})
					return err
				},
			}
			for name, call := range calls {
				p.compared++
				if err := call(); err != nil {
					t.Errorf("%s with %d MiB of metadata to %s: %v", name, mebibytes, connection.Target(), err)
				}
			}
		}
	}
}
