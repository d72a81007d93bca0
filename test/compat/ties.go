// Keys that a sort finds equal: etcd sorts them with an algorithm that keeps no order, so theirs is not
// compared, nor which of them a limit leaves out.
package compat

import (
	"bytes"
	"encoding/binary"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// orderTies sorts what is equal by key in every range answer, those inside transactions included.
func orderTies(request proto.Message, messages []proto.Message) {
	for _, message := range messages {
		switch answer := message.(type) {
		case *pb.RangeResponse:
			tieRange(request.(*pb.RangeRequest), answer)
		case *pb.TxnResponse:
			tieTxn(request.(*pb.TxnRequest), answer)
		}
	}
}

func tieTxn(request *pb.TxnRequest, answer *pb.TxnResponse) {
	branch := request.Failure
	if answer.Succeeded {
		branch = request.Success
	}
	for i, one := range answer.Responses {
		if i >= len(branch) {
			// One answer too many shows in the comparison.
			return
		}
		if ranged, asked := one.GetResponseRange(), branch[i].GetRequestRange(); ranged != nil && asked != nil {
			tieRange(asked, ranged)
		}
		if nested, asked := one.GetResponseTxn(), branch[i].GetRequestTxn(); nested != nil && asked != nil {
			tieTxn(asked, nested)
		}
	}
}

func tieRange(request *pb.RangeRequest, answer *pb.RangeResponse) {
	if request.SortTarget == pb.RangeRequest_KEY {
		return
	}
	kvs := answer.Kvs
	for from := 0; from < len(kvs); {
		to := from + 1
		for to < len(kvs) && bytes.Equal(sortKey(request, kvs[from]), sortKey(request, kvs[to])) {
			to++
		}
		run := kvs[from:to]
		sort.Slice(run, func(i, j int) bool { return bytes.Compare(run[i].Key, run[j].Key) < 0 })
		if answer.More && to == len(kvs) {
			for i := range run {
				run[i] = &mvccpb.KeyValue{Key: append([]byte("cut by the limit, sorted by "), sortKey(request, run[i])...)}
			}
		}
		from = to
	}
}

// sortKey is what the request sorts by, as far as the answer tells: with keys_only no value does.
func sortKey(request *pb.RangeRequest, kv *mvccpb.KeyValue) []byte {
	switch request.SortTarget {
	case pb.RangeRequest_VERSION:
		return binary.BigEndian.AppendUint64(nil, uint64(kv.Version))
	case pb.RangeRequest_CREATE:
		return binary.BigEndian.AppendUint64(nil, uint64(kv.CreateRevision))
	case pb.RangeRequest_MOD:
		return binary.BigEndian.AppendUint64(nil, uint64(kv.ModRevision))
	default:
		return kv.Value
	}
}
