// A seeded generator of KV and lease calls, valid and invalid, that follows the store it talks to so that
// old, compacted and future revisions all come up.
package compat

import (
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// requestBytesMax is --max-request-bytes by default; the payload that counts is a little larger than
	// the request by an amount that depends on ids, so sizes within requestBytesMargin of it are left out.
	requestBytesMax    = 1572864
	requestBytesMargin = 64
	messageBytesMax    = requestBytesMax + 512*1024
	txnOpsMax          = 128
)

type generator struct {
	random *rand.Rand
	// revision and compacted follow etcd's answers.
	revision, compacted int64
	// granted holds ids of leases that were asked for; withLeases says whether lease calls are made at all.
	granted    []int64
	withLeases bool
}

func newGenerator(seed uint64) *generator {
	return &generator{random: rand.New(rand.NewPCG(seed, 0x6e65746364)), revision: 1, withLeases: has(leases)}
}

// follow learns the store's state from an answer of etcd.
func (g *generator) follow(call Call, answer Answer) {
	if answer.Code != 0 || len(answer.Messages) == 0 {
		return
	}
	if headed, ok := answer.Messages[0].(interface{ GetHeader() *pb.ResponseHeader }); ok && headed.GetHeader() != nil {
		g.revision = max(g.revision, headed.GetHeader().Revision)
	}
	if compaction, ok := call.Request.(*pb.CompactionRequest); ok {
		g.compacted = compaction.Revision
	}
}

func (g *generator) oneIn(n int) bool { return g.random.IntN(n) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.random.IntN(len(from))] }

// next makes one call.
func (g *generator) next() Call {
	switch n := g.random.IntN(100); {
	case n < 30:
		return rangeCall(g.rangeRequest())
	case n < 36:
		return rangeStreamCall(g.streamRequest())
	case n < 57:
		return putCall(g.putRequest())
	case n < 64:
		return deleteCall(g.deleteRequest())
	case n < 88:
		return txnCall(g.txnRequest(0))
	case n < 90:
		return compactCall(g.compactionRequest())
	case !g.withLeases:
		return rangeCall(g.rangeRequest())
	default:
		return g.leaseCall()
	}
}

// key comes from a small set, so that keys meet again, with some that sit at the edges of byte order.
func (g *generator) key() []byte {
	switch n := g.random.IntN(100); {
	case n < 80:
		return []byte{'k', byte('a' + g.random.IntN(6)), byte('0' + g.random.IntN(5))}[:2+g.random.IntN(2)]
	case n < 97:
		return []byte(pick(g, "k", "ka\x00", "kb\xff", "\x00", "\x00\x00", "\xff", "\xff\xff", "z", "a", "kc/1", "kc/2", "kc/2/3"))
	default:
		return nil
	}
}

func (g *generator) rangeEnd(key []byte) []byte {
	switch n := g.random.IntN(100); {
	case n < 40:
		return nil
	case n < 55:
		return prefixEnd(key)
	case n < 65:
		return []byte{0}
	default:
		return g.key()
	}
}

// prefixEnd is the first key after all that begin with key.
func prefixEnd(key []byte) []byte {
	end := append([]byte(nil), key...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0}
}

func (g *generator) value() []byte {
	switch n := g.random.IntN(200); {
	case n == 0:
		return make([]byte, pick(g, 70_000, 300_000, requestBytesMax-requestBytesMargin-2*64))
	case n == 1:
		return make([]byte, pick(g, requestBytesMax+requestBytesMargin, messageBytesMax-1024, messageBytesMax, messageBytesMax+1024))
	case n < 20:
		return nil
	default:
		value := make([]byte, 1+g.random.IntN(12))
		for i := range value {
			value[i] = byte('a' + g.random.IntN(4))
		}
		return value
	}
}

// atRevision is mostly the current one, else anything from negative to the future.
func (g *generator) atRevision() int64 {
	switch n := g.random.IntN(100); {
	case n < 60:
		return 0
	case n < 85:
		return g.compacted + g.random.Int64N(max(1, g.revision-g.compacted+1))
	case n < 90:
		return g.revision
	case n < 95:
		return g.random.Int64N(g.revision + 1)
	case n < 98:
		return g.revision + 1 + g.random.Int64N(5)
	default:
		return pick(g, int64(-1), -1<<63, 1<<63-1)
	}
}

// bound is a filter of revisions.
func (g *generator) bound() int64 {
	if !g.oneIn(8) {
		return 0
	}
	return pick(g, g.random.Int64N(g.revision+2), g.revision, -1)
}

func (g *generator) limit() int64 {
	if !g.oneIn(3) {
		return 0
	}
	return pick(g, int64(1), 2, 3, 5, 10, 1000, -1)
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	key := g.key()
	return &pb.RangeRequest{
		Key: key, RangeEnd: g.rangeEnd(key), Limit: g.limit(), Revision: g.atRevision(),
		SortOrder: g.sortOrder(), SortTarget: g.sortTarget(),
		Serializable: g.oneIn(3), KeysOnly: g.oneIn(6), CountOnly: g.oneIn(8),
		MinModRevision: g.bound(), MaxModRevision: g.bound(),
		MinCreateRevision: g.bound(), MaxCreateRevision: g.bound(),
	}
}

func (g *generator) sortOrder() pb.RangeRequest_SortOrder {
	if g.oneIn(60) {
		return pick(g, pb.RangeRequest_SortOrder(3), -1, 99)
	}
	return pb.RangeRequest_SortOrder(g.random.IntN(3))
}

func (g *generator) sortTarget() pb.RangeRequest_SortTarget {
	if g.oneIn(60) {
		return pick(g, pb.RangeRequest_SortTarget(5), -1, 99)
	}
	return pb.RangeRequest_SortTarget(g.random.IntN(5))
}

// streamRequest is mostly one that RangeStream accepts. It accepts a target without an order too, but then
// etcd goes on after the key that its sort put last, and repeats or loses keys: that is not compared.
func (g *generator) streamRequest() *pb.RangeRequest {
	request := g.rangeRequest()
	if !g.oneIn(5) {
		request.SortOrder = pb.RangeRequest_NONE
		request.MinModRevision, request.MaxModRevision = 0, 0
		request.MinCreateRevision, request.MaxCreateRevision = 0, 0
	}
	if request.SortOrder == pb.RangeRequest_NONE {
		request.SortTarget = pb.RangeRequest_KEY
	}
	return request
}

func (g *generator) putRequest() *pb.PutRequest {
	request := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.oneIn(4)}
	if g.oneIn(6) {
		request.Lease = g.lease()
	}
	if g.oneIn(10) {
		request.IgnoreValue = true
		if !g.oneIn(4) {
			request.Value = nil
		}
	}
	if g.oneIn(10) {
		request.IgnoreLease = true
		if !g.oneIn(4) {
			request.Lease = 0
		}
	}
	return request
}

func (g *generator) deleteRequest() *pb.DeleteRangeRequest {
	key := g.key()
	return &pb.DeleteRangeRequest{Key: key, RangeEnd: g.rangeEnd(key), PrevKv: g.oneIn(3)}
}

// compactionRequest stays some revisions behind the store, so that old reads still find something.
func (g *generator) compactionRequest() *pb.CompactionRequest {
	revision := g.compacted + g.random.Int64N(max(1, (g.revision-g.compacted)*2/3+1))
	if g.oneIn(4) {
		revision = pick(g, 0, -1, g.compacted, g.compacted-1, g.revision+1, 1<<63-1)
	}
	return &pb.CompactionRequest{Revision: revision, Physical: g.oneIn(2)}
}
