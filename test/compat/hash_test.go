// HashKV against etcd's: members of both kinds must agree at every revision, also at those of compactions that are past.
package compat

import (
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const (
	hashRounds = 30
	hashKeys   = 6
)

// TestHashKV compacts again and again and compares the hashes of all revisions, for each of COMPAT_RUNS (2) seeds.
func TestHashKV(t *testing.T) {
	forSeeds(t, "COMPAT_RUNS", 2, func(t *testing.T, seed uint64) {
		p := newPair(t, fmt.Sprintf("HashKV with COMPAT_SEED=%d", seed))
		defer p.report()
		random := rand.New(rand.NewPCG(seed, 0x68617368))
		revision, compacted := int64(1), int64(0)
		for range hashRounds {
			for range random.IntN(8) {
				revision = p.change(random)
			}
			if ahead := revision - compacted; ahead > 0 && random.IntN(2) == 0 {
				compacted += 1 + random.Int64N(ahead)
				p.compare(compactCall(&pb.CompactionRequest{Revision: compacted, Physical: true}))
			}
			for at := int64(0); at <= revision+1; at++ {
				p.compare(hashCall(at))
			}
		}
	})
}

// change writes or deletes some of few keys and returns the revision of the store.
func (p *pair) change(random *rand.Rand) int64 {
	key := func() []byte { return fmt.Appendf(nil, "k%d", random.IntN(hashKeys)) }
	call := putCall(&pb.PutRequest{Key: key(), Value: fmt.Appendf(nil, "v%d", random.IntN(1000))})
	switch random.IntN(6) {
	case 0:
		call = deleteCall(&pb.DeleteRangeRequest{Key: key()})
	case 1:
		call = deleteCall(&pb.DeleteRangeRequest{Key: key(), RangeEnd: []byte{0}})
	case 2:
		call = txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{
			putOp(&pb.PutRequest{Key: []byte("t"), Value: key()}),
			{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key()}}},
		}})
	}
	header := p.compare(call).Messages[0].(interface{ GetHeader() *pb.ResponseHeader }).GetHeader()
	return header.Revision
}

func hashCall(revision int64) Call {
	return Call{Method: "/etcdserverpb.Maintenance/HashKV", Request: &pb.HashKVRequest{Revision: revision},
		Answer: func() proto.Message { return &pb.HashKVResponse{} }}
}
