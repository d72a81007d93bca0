// KV and lease cases at the edges: sizes around limits, bulk ranges and pages, duplicate keys in nested
// transactions, leases with times to live below the minimum.
package compat

import (
	"bytes"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func kvCases() []Call {
	var calls []Call
	parts := [][]Call{emptyStoreCases(), bulkCases(), sizeCases(), duplicateCases(), subRevisionCases(), compactionCases()}
	if has(leases) {
		parts = append(parts, leaseCases())
	}
	for _, part := range parts {
		calls = append(calls, part...)
	}
	return calls
}

func emptyStoreCases() []Call {
	everything := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	return []Call{
		rangeCall(&pb.RangeRequest{}),
		rangeCall(everything),
		rangeStreamCall(everything),
		rangeStreamCall(&pb.RangeRequest{}),
		rangeCall(&pb.RangeRequest{Key: []byte("a"), Revision: 1}),
		rangeCall(&pb.RangeRequest{Key: []byte("a"), Revision: 2}),
		compactCall(&pb.CompactionRequest{}),
		compactCall(&pb.CompactionRequest{Revision: -1}),
		compactCall(&pb.CompactionRequest{Revision: 2}),
		txnCall(&pb.TxnRequest{}),
		deleteCall(&pb.DeleteRangeRequest{Key: []byte("a")}),
		deleteCall(&pb.DeleteRangeRequest{}),
		putCall(&pb.PutRequest{}),
		putCall(&pb.PutRequest{Key: []byte("a"), IgnoreValue: true}),
		putCall(&pb.PutRequest{Key: []byte("a"), IgnoreLease: true}),
		putCall(&pb.PutRequest{Key: []byte("a"), IgnoreValue: true, Value: []byte("v")}),
		putCall(&pb.PutRequest{Key: []byte("a"), IgnoreLease: true, Lease: 3}),
		putCall(&pb.PutRequest{Key: []byte("a"), Lease: 3}),
		compactCall(&pb.CompactionRequest{Revision: 1}),
		compactCall(&pb.CompactionRequest{Revision: 1}),
		compactCall(&pb.CompactionRequest{}),
	}
}

// bulkCases fill a range of 1000 keys and read it in pages, forwards and backwards, whole and streamed.
func bulkCases() []Call {
	var calls []Call
	for batch := range 10 {
		txn := &pb.TxnRequest{}
		for i := range 100 {
			txn.Success = append(txn.Success, putOp(&pb.PutRequest{
				Key: fmt.Appendf(nil, "bulk/%04d", batch*100+i), Value: bytes.Repeat([]byte{'v'}, 1+i*13)}))
		}
		calls = append(calls, txnCall(txn))
	}
	for _, limit := range []int64{0, 1, 10, 11, 500, 999, 1000, 1001} {
		page := func() *pb.RangeRequest {
			return &pb.RangeRequest{Key: []byte("bulk/"), RangeEnd: []byte("bulk0"), Limit: limit}
		}
		calls = append(calls, rangeCall(page()), rangeStreamCall(page()))
		counted := page()
		counted.CountOnly = true
		calls = append(calls, rangeCall(counted), rangeStreamCall(counted))
		keys := page()
		keys.KeysOnly = true
		calls = append(calls, rangeCall(keys), rangeStreamCall(keys))
		for target := range pb.RangeRequest_SortTarget_name {
			for order := range pb.RangeRequest_SortOrder_name {
				sorted := page()
				sorted.SortOrder, sorted.SortTarget = pb.RangeRequest_SortOrder(order), pb.RangeRequest_SortTarget(target)
				sorted.MinModRevision, sorted.MaxCreateRevision = 3, 8
				calls = append(calls, rangeCall(sorted))
			}
		}
	}
	return append(calls,
		rangeCall(&pb.RangeRequest{Key: []byte("bulk/"), RangeEnd: []byte("bulk0"), Revision: 5, Limit: 250}),
		deleteCall(&pb.DeleteRangeRequest{Key: []byte("bulk/0500"), RangeEnd: []byte("bulk/0600"), PrevKv: true}),
		rangeCall(&pb.RangeRequest{Key: []byte("bulk/0499"), RangeEnd: []byte("bulk/0700"), Limit: 3}),
		rangeCall(&pb.RangeRequest{Key: []byte("bulk/"), RangeEnd: []byte("bulk0"), CountOnly: true, Revision: 11}),
		deleteCall(&pb.DeleteRangeRequest{Key: []byte("bulk/"), RangeEnd: []byte("bulk0")}),
	)
}

// sizeCases are single puts and whole transactions below and above the limits.
func sizeCases() []Call {
	var calls []Call
	for _, size := range []int{requestBytesMax - 256, requestBytesMax + 64, requestBytesMax + 300_000,
		messageBytesMax - 64, messageBytesMax + 1, messageBytesMax * 2} {
		value := make([]byte, size)
		calls = append(calls,
			putCall(&pb.PutRequest{Key: []byte("size"), Value: value}),
			putCall(&pb.PutRequest{Key: value}),
			rangeCall(&pb.RangeRequest{Key: value}),
			deleteCall(&pb.DeleteRangeRequest{Key: value}),
			txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{
				putOp(&pb.PutRequest{Key: []byte("half1"), Value: value[:size/2]}),
				putOp(&pb.PutRequest{Key: []byte("half2"), Value: value[:size/2]})}}),
			// Read-only, so nothing is proposed and only gRPC's own limit counts.
			txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: value})}}),
		)
	}
	return append(calls, rangeCall(&pb.RangeRequest{Key: []byte("size"), RangeEnd: []byte{0}}),
		deleteCall(&pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}))
}

// duplicateCases are about which keys may be written twice in one transaction.
func duplicateCases() []Call {
	put := func(key string) *pb.RequestOp { return putOp(&pb.PutRequest{Key: []byte(key), Value: []byte("v")}) }
	remove := func(key, end string) *pb.RequestOp {
		return deleteOp(&pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)})
	}
	nested := func(success, failure []*pb.RequestOp) *pb.RequestOp {
		return txnOp(&pb.TxnRequest{Success: success, Failure: failure})
	}
	ops := func(list ...*pb.RequestOp) []*pb.RequestOp { return list }
	var calls []Call
	for _, success := range [][]*pb.RequestOp{
		ops(put("d"), put("d")),
		ops(put("d"), put("e")),
		ops(put("d"), remove("d", "")),
		ops(remove("d", ""), put("d")),
		ops(remove("a", "z"), put("d")),
		ops(put("d"), remove("a", "z")),
		ops(put("d"), remove("a", "\x00")),
		ops(remove("a", "z"), remove("b", "y")),
		ops(remove("z", "a"), put("d")),
		ops(put("d"), nested(ops(put("d")), nil)),
		ops(nested(ops(put("d")), nil), put("d")),
		ops(nested(ops(put("d")), ops(put("d")))),
		ops(nested(ops(put("d")), ops(put("d"))), put("e")),
		ops(nested(ops(put("d")), nil), nested(nil, ops(put("d")))),
		ops(nested(ops(remove("a", "z")), nil), put("d")),
		ops(nested(ops(nested(ops(put("d")), nil)), nil), remove("d", "")),
		ops(remove("c", "e"), nested(ops(put("d")), nil)),
		ops(put("")),
		ops(remove("", "")),
		ops(rangeOp(&pb.RangeRequest{})),
		ops(nested(nil, nil)),
		ops(nil),
		ops(&pb.RequestOp{Request: &pb.RequestOp_RequestTxn{}}),
	} {
		calls = append(calls,
			txnCall(&pb.TxnRequest{Success: success}),
			txnCall(&pb.TxnRequest{Failure: success}),
			txnCall(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("never"), Target: pb.Compare_MOD,
				Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_ModRevision{}}}, Failure: success}))
	}
	return calls
}

// subRevisionCases look at what reads inside a transaction see of its writes.
func subRevisionCases() []Call {
	read := func() *pb.RequestOp { return rangeOp(&pb.RangeRequest{Key: []byte("s"), RangeEnd: []byte("t")}) }
	readAt := func(revision int64) *pb.RequestOp {
		return rangeOp(&pb.RangeRequest{Key: []byte("s"), RangeEnd: []byte("t"), Revision: revision})
	}
	return []Call{
		putCall(&pb.PutRequest{Key: []byte("s1"), Value: []byte("old")}),
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{read(), putOp(&pb.PutRequest{Key: []byte("s1"), Value: []byte("new"), PrevKv: true}),
			read(), putOp(&pb.PutRequest{Key: []byte("s2"), Value: []byte("new")}), read(),
			txnOp(&pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("s1"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("new")}}},
				Success: []*pb.RequestOp{read(), deleteOp(&pb.DeleteRangeRequest{Key: []byte("s3"), RangeEnd: []byte("t"), PrevKv: true})},
				Failure: []*pb.RequestOp{read()}})}}),
		// The range at a later revision makes the whole transaction fail before anything is written.
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("s1"), Value: []byte("lost")}), readAt(1_000_000)}}),
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("s4"), Lease: 404}), read()}}),
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("s5"), IgnoreValue: true})}}),
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{readAt(2), readAt(3)}}),
		rangeCall(&pb.RangeRequest{Key: []byte("s"), RangeEnd: []byte("t")}),
	}
}

// leaseCases revoke at once what has a short time to live, so that nothing ends by itself.
func leaseCases() []Call {
	calls := []Call{revokeCall(&pb.LeaseRevokeRequest{}), timeToLiveCall(&pb.LeaseTimeToLiveRequest{}), leasesCall()}
	for i, ttl := range []int64{0, -1, 1, 2, 3, 9_000_000_000, 9_000_000_001} {
		id := int64(9000 + i)
		calls = append(calls,
			grantCall(&pb.LeaseGrantRequest{ID: id, TTL: ttl}),
			grantCall(&pb.LeaseGrantRequest{ID: id, TTL: 6000}),
			putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "lease/%d/b", i), Lease: id}),
			putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "lease/%d/a", i), Lease: id, PrevKv: true}),
			timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}),
			putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "lease/%d/b", i), IgnoreLease: true, Value: []byte("kept")}),
			putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "lease/%d/a", i), PrevKv: true}),
			timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}),
			revokeCall(&pb.LeaseRevokeRequest{ID: id}),
			revokeCall(&pb.LeaseRevokeRequest{ID: id}),
			timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: id, Keys: true}),
			rangeCall(&pb.RangeRequest{Key: []byte("lease/"), RangeEnd: []byte("lease0")}),
		)
	}
	return append(calls, leasesCall())
}

// compactionCases read around a compaction in the middle of a key's generations.
func compactionCases() []Call {
	key := []byte("compacted")
	var calls []Call
	for i := range 6 {
		calls = append(calls, putCall(&pb.PutRequest{Key: key, Value: []byte{byte('0' + i)}}))
		if i%2 == 1 {
			calls = append(calls, deleteCall(&pb.DeleteRangeRequest{Key: key}))
		}
	}
	for _, physical := range []bool{false, true} {
		for _, revision := range []int64{30, 31, 31, 30, 40} {
			calls = append(calls, compactCall(&pb.CompactionRequest{Revision: revision, Physical: physical}))
			for at := int64(28); at < 60; at++ {
				calls = append(calls, rangeCall(&pb.RangeRequest{Key: key, Revision: at}),
					rangeStreamCall(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: at}))
			}
		}
	}
	return calls
}
