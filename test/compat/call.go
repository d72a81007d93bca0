// Package compat compares netcd with real etcd 3.7.3: the same requests in the same order go to both, and
// every answer is compared field by field. This file sends one request to one server and keeps its answer.
package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// callWaitMax bounds one request; a server that needs longer has failed.
const callWaitMax = 20 * time.Second

// textBytesMax shortens requests and answers in reports.
const textBytesMax = 1500

// Call is one request to one method, valid or not.
type Call struct {
	// Method is the full gRPC path.
	Method  string
	Request proto.Message
	// Answer makes an empty message of the response type.
	Answer func() proto.Message
	// Streams is set when the server answers with a stream of messages.
	Streams bool
	// Open is set when the stream goes on for as long as the client wants: its first message is the answer.
	Open bool
	// Bare is set when what the servers answer is their own matter, and only whether they do is compared.
	Bare bool
	// Metadata are names and values that go along.
	Metadata []string
}

// Answer is what one server said: the messages (one, unless it streams) and the gRPC status.
type Answer struct {
	Messages []proto.Message
	Code     uint32
	Text     string
}

func (c Call) String() string {
	return fmt.Sprintf("%s {%s}", c.Method[strings.LastIndex(c.Method, "/")+1:], abridged(c.Request))
}

func (a Answer) String() string {
	if a.Code != 0 {
		return fmt.Sprintf("code %d %q after %d messages", a.Code, a.Text, len(a.Messages))
	}
	texts := make([]string, 0, len(a.Messages))
	for _, message := range a.Messages {
		texts = append(texts, abridged(message))
	}
	return "ok {" + strings.Join(texts, "} {") + "}"
}

// Outcome is how the call ended, in the words of member.Outcome.
func (a Answer) Outcome() string {
	if a.Code == 0 {
		return "OK"
	}
	return fmt.Sprintf("%v: %s", codes.Code(a.Code), a.Text)
}

func abridged(message proto.Message) string {
	text := prototext.MarshalOptions{}.Format(message)
	if len(text) <= textBytesMax {
		return text
	}
	return fmt.Sprintf("%s … (%d bytes of text) … %s", text[:textBytesMax/2], len(text), text[len(text)-textBytesMax/2:])
}

// Send makes the call and waits for the whole answer.
func (c Call) Send(connection *grpc.ClientConn) Answer {
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, c.Metadata...)
	if c.Streams || c.Open {
		return c.sendStreaming(ctx, connection)
	}
	message := c.Answer()
	if err := connection.Invoke(ctx, c.Method, c.Request, message); err != nil {
		return failed(nil, err)
	}
	return Answer{Messages: []proto.Message{message}}
}

func (c Call) sendStreaming(ctx context.Context, connection *grpc.ClientConn) Answer {
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: c.Open}, c.Method)
	if err != nil {
		return failed(nil, err)
	}
	if err := stream.SendMsg(c.Request); err != nil && !errors.Is(err, io.EOF) {
		return failed(nil, err)
	}
	if c.Open {
		return c.first(stream)
	}
	if err := stream.CloseSend(); err != nil {
		return failed(nil, err)
	}
	var messages []proto.Message
	for {
		message := c.Answer()
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return Answer{Messages: messages}
		}
		if err != nil {
			return failed(messages, err)
		}
		messages = append(messages, message)
	}
}

func (c Call) first(stream grpc.ClientStream) Answer {
	message := c.Answer()
	if err := stream.RecvMsg(message); err != nil {
		return failed(nil, err)
	}
	return Answer{Messages: []proto.Message{message}}
}

func failed(messages []proto.Message, err error) Answer {
	said, _ := status.FromError(err)
	return Answer{Messages: messages, Code: uint32(said.Code()), Text: said.Message()}
}

// Constructors for the calls that the generators make.

func rangeCall(request *pb.RangeRequest) Call {
	return Call{Method: "/etcdserverpb.KV/Range", Request: request,
		Answer: func() proto.Message { return &pb.RangeResponse{} }}
}

func rangeStreamCall(request *pb.RangeRequest) Call {
	return Call{Method: "/etcdserverpb.KV/RangeStream", Request: request, Streams: true,
		Answer: func() proto.Message { return &pb.RangeStreamResponse{} }}
}

func putCall(request *pb.PutRequest) Call {
	return Call{Method: "/etcdserverpb.KV/Put", Request: request,
		Answer: func() proto.Message { return &pb.PutResponse{} }}
}

func deleteCall(request *pb.DeleteRangeRequest) Call {
	return Call{Method: "/etcdserverpb.KV/DeleteRange", Request: request,
		Answer: func() proto.Message { return &pb.DeleteRangeResponse{} }}
}

func txnCall(request *pb.TxnRequest) Call {
	return Call{Method: "/etcdserverpb.KV/Txn", Request: request,
		Answer: func() proto.Message { return &pb.TxnResponse{} }}
}

func compactCall(request *pb.CompactionRequest) Call {
	return Call{Method: "/etcdserverpb.KV/Compact", Request: request,
		Answer: func() proto.Message { return &pb.CompactionResponse{} }}
}

func grantCall(request *pb.LeaseGrantRequest) Call {
	return Call{Method: "/etcdserverpb.Lease/LeaseGrant", Request: request,
		Answer: func() proto.Message { return &pb.LeaseGrantResponse{} }}
}

func revokeCall(request *pb.LeaseRevokeRequest) Call {
	return Call{Method: "/etcdserverpb.Lease/LeaseRevoke", Request: request,
		Answer: func() proto.Message { return &pb.LeaseRevokeResponse{} }}
}

func timeToLiveCall(request *pb.LeaseTimeToLiveRequest) Call {
	return Call{Method: "/etcdserverpb.Lease/LeaseTimeToLive", Request: request,
		Answer: func() proto.Message { return &pb.LeaseTimeToLiveResponse{} }}
}

func leasesCall() Call {
	return Call{Method: "/etcdserverpb.Lease/LeaseLeases", Request: &pb.LeaseLeasesRequest{},
		Answer: func() proto.Message { return &pb.LeaseLeasesResponse{} }}
}
