// What may differ between two right servers is made equal here, and nothing else.
package compat

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// normalized rewrites an answer: ids and terms of headers keep only whether they are set, remaining lease
// times whether they run, tokens whether there is one, lists without an order are sorted, and streamed ranges are put together.
func normalized(call Call, answer Answer) Answer {
	if call.Bare {
		return Answer{Code: answer.Code, Text: answer.Text}
	}
	answer.Messages = append([]proto.Message(nil), answer.Messages...)
	if call.Method == "/etcdserverpb.KV/RangeStream" && answer.Code == 0 {
		answer.Messages = []proto.Message{merged(answer.Messages)}
	}
	orderTies(call.Request, answer.Messages)
	for _, message := range answer.Messages {
		normalizeHeaders(message.ProtoReflect())
		switch typed := message.(type) {
		case *pb.LeaseTimeToLiveResponse:
			typed.TTL = min(typed.TTL, 1)
			sort.Slice(typed.Keys, func(i, j int) bool { return bytes.Compare(typed.Keys[i], typed.Keys[j]) < 0 })
		case *pb.AlarmResponse:
			sort.Slice(typed.Alarms, func(i, j int) bool {
				a, b := typed.Alarms[i], typed.Alarms[j]
				return a.MemberID < b.MemberID || a.MemberID == b.MemberID && a.Alarm < b.Alarm
			})
		case *pb.AuthenticateResponse:
			typed.Token = strings.Repeat("t", min(len(typed.Token), 1))
		case *pb.AuthRoleGetResponse:
			// Etcd orders by key alone, and those of the same key as its sort leaves them.
			slices.SortFunc(typed.Perm, func(a, b *authpb.Permission) int {
				return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.RangeEnd, b.RangeEnd))
			})
		case *pb.LeaseKeepAliveResponse:
			typed.TTL = min(typed.TTL, 1)
		case *pb.LeaseLeasesResponse:
			sort.Slice(typed.Leases, func(i, j int) bool { return typed.Leases[i].ID < typed.Leases[j].ID })
		}
	}
	return answer
}

func normalizeHeaders(message protoreflect.Message) {
	if header, ok := message.Interface().(*pb.ResponseHeader); ok {
		header.ClusterId = min(header.ClusterId, 1)
		header.MemberId = min(header.MemberId, 1)
		header.RaftTerm = min(header.RaftTerm, 1)
		return
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() == nil || field.IsMap() {
			return true
		}
		if !field.IsList() {
			normalizeHeaders(value.Message())
			return true
		}
		for i := range value.List().Len() {
			normalizeHeaders(value.List().Get(i).Message())
		}
		return true
	})
}

// merged puts the chunks of a RangeStream together: where they end is the server's choice. A chunk before the
// last that carries what only the last may carry shows up as a key of its own, and so as a difference.
func merged(chunks []proto.Message) proto.Message {
	whole := &pb.RangeResponse{}
	for i, chunk := range chunks {
		part := chunk.(*pb.RangeStreamResponse).RangeResponse
		if part == nil {
			whole.Kvs = append(whole.Kvs, &mvccpb.KeyValue{Key: fmt.Appendf(nil, "chunk %d is empty", i)})
			continue
		}
		last := i == len(chunks)-1
		if !last && (part.Header != nil || part.Count != 0 || part.More) {
			whole.Kvs = append(whole.Kvs, &mvccpb.KeyValue{Key: fmt.Appendf(nil, "chunk %d has a header, count or more", i)})
		}
		whole.Kvs = append(whole.Kvs, part.Kvs...)
		if last {
			whole.Header, whole.Count, whole.More = part.Header, part.Count, part.More
		}
	}
	return whole
}

// equal compares two normalized answers.
func equal(left, right Answer) bool {
	if left.Code != right.Code || left.Text != right.Text || len(left.Messages) != len(right.Messages) {
		return false
	}
	for i := range left.Messages {
		if !proto.Equal(left.Messages[i], right.Messages[i]) {
			return false
		}
	}
	return true
}
