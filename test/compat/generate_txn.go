// The generator's transactions (nested, over limits, with every compare) and lease calls.
package compat

import (
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const txnDepthMax = 3

func (g *generator) txnRequest(depth int) *pb.TxnRequest {
	if depth == 0 && g.oneIn(60) {
		return g.largeTxn()
	}
	request := &pb.TxnRequest{}
	for range g.random.IntN(3) {
		request.Compare = append(request.Compare, g.compare())
	}
	for range g.random.IntN(5) {
		request.Success = append(request.Success, g.operation(depth))
	}
	for range g.random.IntN(4) {
		request.Failure = append(request.Failure, g.operation(depth))
	}
	if depth == 0 && deletes(request) {
		keepNothing(request)
	}
	return request
}

// deletes tells whether a transaction or one inside it deletes.
func deletes(request *pb.TxnRequest) bool {
	for _, op := range slices.Concat(request.Success, request.Failure) {
		if op.GetRequestDeleteRange() != nil || op.GetRequestTxn() != nil && deletes(op.GetRequestTxn()) {
			return true
		}
	}
	return false
}

// keepNothing takes the flags away that keep a value or a lease: etcd panics, and again at every restart,
// when the key was deleted earlier in the same transaction.
func keepNothing(request *pb.TxnRequest) {
	for _, op := range slices.Concat(request.Success, request.Failure) {
		if put := op.GetRequestPut(); put != nil {
			put.IgnoreValue, put.IgnoreLease = false, false
		}
		if nested := op.GetRequestTxn(); nested != nil {
			keepNothing(nested)
		}
	}
}

// largeTxn is at the limit of operations or one over it.
func (g *generator) largeTxn() *pb.TxnRequest {
	request := &pb.TxnRequest{}
	count := pick(g, txnOpsMax-1, txnOpsMax, txnOpsMax+1)
	switch g.random.IntN(3) {
	case 0:
		for i := range count {
			request.Success = append(request.Success, putOp(&pb.PutRequest{Key: fmt.Appendf(nil, "large/%d", i)}))
		}
	case 1:
		for range count {
			request.Compare = append(request.Compare, &pb.Compare{Key: []byte("k"), Target: pb.Compare_VERSION,
				TargetUnion: &pb.Compare_Version{Version: 0}})
		}
	default:
		inner := &pb.TxnRequest{}
		for i := range count - 1 {
			inner.Failure = append(inner.Failure, rangeOp(&pb.RangeRequest{Key: fmt.Appendf(nil, "large/%d", i)}))
		}
		request.Success = append(request.Success, txnOp(inner))
	}
	return request
}

func (g *generator) operation(depth int) *pb.RequestOp {
	switch n := g.random.IntN(100); {
	case n < 35:
		return rangeOp(g.rangeRequest())
	case n < 70:
		return putOp(g.putRequest())
	case n < 85:
		return deleteOp(g.deleteRequest())
	case n < 99 && depth < txnDepthMax:
		return txnOp(g.txnRequest(depth + 1))
	case n == 99:
		return &pb.RequestOp{}
	default:
		return rangeOp(g.rangeRequest())
	}
}

func rangeOp(request *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: request}}
}

func putOp(request *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: request}}
}

func deleteOp(request *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: request}}
}

func txnOp(request *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: request}}
}

// compare has mostly the union that its target names; else another one or none.
func (g *generator) compare() *pb.Compare {
	key := g.key()
	compare := &pb.Compare{
		Key: key, Result: pb.Compare_CompareResult(g.random.IntN(4)), Target: pb.Compare_CompareTarget(g.random.IntN(5)),
	}
	if g.oneIn(4) {
		compare.RangeEnd = g.rangeEnd(key)
	}
	if g.oneIn(50) {
		compare.Result = pick(g, pb.Compare_CompareResult(4), -1)
	}
	if g.oneIn(50) {
		compare.Target = pick(g, pb.Compare_CompareTarget(5), -1)
	}
	union := compare.Target
	if g.oneIn(20) {
		union = pb.Compare_CompareTarget(g.random.IntN(6))
	}
	near := pick(g, 0, 1, 2, g.random.Int64N(g.revision+2))
	switch union {
	case pb.Compare_VERSION:
		compare.TargetUnion = &pb.Compare_Version{Version: near}
	case pb.Compare_CREATE:
		compare.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: near}
	case pb.Compare_MOD:
		compare.TargetUnion = &pb.Compare_ModRevision{ModRevision: near}
	case pb.Compare_VALUE:
		value := g.value()
		compare.TargetUnion = &pb.Compare_Value{Value: value[:min(len(value), 20)]}
	case pb.Compare_LEASE:
		compare.TargetUnion = &pb.Compare_Lease{Lease: g.lease()}
	}
	return compare
}

// lease is mostly one that was granted.
func (g *generator) lease() int64 {
	if len(g.granted) > 0 && !g.oneIn(6) {
		return pick(g, g.granted...)
	}
	return pick(g, int64(0), 7777, -1)
}

// leaseCall gives every id itself, since those that servers choose cannot be compared, and only times to
// live that do not end during the run.
func (g *generator) leaseCall() Call {
	switch n := g.random.IntN(10); {
	case n < 4:
		id := pick(g, 1+g.random.Int64N(30), -5-g.random.Int64N(5))
		ttl := pick(g, int64(6000), 100_000, 9_000_000_000, 9_000_000_001, 1<<62)
		if ttl <= 9_000_000_000 {
			g.granted = append(g.granted, id)
		}
		return grantCall(&pb.LeaseGrantRequest{ID: id, TTL: ttl})
	case n < 6:
		return revokeCall(&pb.LeaseRevokeRequest{ID: g.lease()})
	case n < 9:
		return timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: g.oneIn(2)})
	default:
		return leasesCall()
	}
}
