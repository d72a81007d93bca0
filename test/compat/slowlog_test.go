// The log lines about slow requests, compared with etcd's after the same calls: a warning time of a nanosecond makes every
// call slow.
package compat

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"netcd.test/member"
)

const (
	slowApply = "apply request took too long"
	slowCall  = "request stats"
	// secret stands in every value: no line may show it.
	secret = "hidden-value"
)

// varying are fields whose values are a matter of the moment, and sizes, which depend on a header's ids.
var varying = []string{"ts", "caller", "took", "start time", "time spent", "remote", "response size"}

var (
	// requestIDs are numbers of each server's own.
	requestIDs = regexp.MustCompile(`ID:\d+`)
	// answerSizes hold the header, which etcd completes only after it has measured it.
	answerSizes = regexp.MustCompile(`size:\d+$`)
)

func TestSlowRequestsAreLogged(t *testing.T) {
	p := newPair(t, "lines about slow requests", "--warning-apply-duration=1ns", "--warning-unary-request-duration=1ns")
	defer p.report()
	awaitClusterVersion(t, p)
	calls := slowCalls()
	var lines [2][]map[string]any
	for side, connection := range []*grpc.ClientConn{p.netcd, p.etcd} {
		for _, call := range calls {
			call.Send(connection)
		}
		lines[side] = loggedLines(t, p.servers[side], len(calls))
	}
	if len(lines[0]) != len(lines[1]) {
		t.Fatalf("netcd logged %d lines, etcd %d:\n%v\n%v", len(lines[0]), len(lines[1]), lines[0], lines[1])
	}
	for at, ours := range lines[0] {
		p.compared++
		theirs := lines[1][at]
		if !maps.EqualFunc(ours, theirs, func(a, b any) bool { return a == b }) {
			p.differ(fmt.Sprint("line ", at), fmt.Sprint(ours), fmt.Sprint(theirs))
		}
	}
}

func slowCalls() []Call {
	key := func(name string) []byte { return []byte(name) }
	value := &pb.Compare{Key: key("k"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: key(secret)}}
	put := putOp(&pb.PutRequest{Key: key("k"), Value: key(secret)})
	return []Call{
		putCall(&pb.PutRequest{Key: key("k"), Value: key(secret), PrevKv: true}),
		putCall(&pb.PutRequest{Key: key("\x01\xff\"é"), Value: key(secret)}),
		putCall(&pb.PutRequest{Key: key("k"), Value: key(secret), Lease: 5}),
		rangeCall(&pb.RangeRequest{Key: key("k")}),
		rangeCall(&pb.RangeRequest{Key: key("a"), RangeEnd: key("\x01\xff\"é"), Limit: 1, KeysOnly: true, SortOrder: pb.RangeRequest_DESCEND}),
		rangeCall(&pb.RangeRequest{Key: key("k"), Serializable: true, CountOnly: true}),
		rangeCall(&pb.RangeRequest{Key: key("k"), Revision: 99}),
		txnCall(&pb.TxnRequest{Compare: []*pb.Compare{value, missingKey("n")}, Success: []*pb.RequestOp{put, meteredRange("k")}}),
		txnCall(&pb.TxnRequest{Compare: []*pb.Compare{value}, Success: []*pb.RequestOp{meteredRange("k")}}),
		deleteCall(&pb.DeleteRangeRequest{Key: key("k"), PrevKv: true}),
		grantCall(&pb.LeaseGrantRequest{ID: 7, TTL: 100}),
		revokeCall(&pb.LeaseRevokeRequest{ID: 7}),
		compactCall(&pb.CompactionRequest{Revision: 2}),
		compactCall(&pb.CompactionRequest{Revision: 2}),
	}
}

// loggedLines waits until so many calls are logged, and returns the lines about them and their applies, in order of kind.
func loggedLines(t *testing.T, server *member.Member, calls int) []map[string]any {
	t.Helper()
	for deadline := time.Now().Add(callWaitMax); ; time.Sleep(50 * time.Millisecond) {
		text, err := server.Log()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, secret) {
			t.Fatalf("%s shows a value in its log", server.Label)
		}
		applied, called := slowLines(text)
		if len(called) >= calls {
			return append(applied, called...)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s logged %d of %d calls", server.Label, len(called), calls)
		}
	}
}

// slowLines are the lines of both kinds without what differs from one moment to the next.
func slowLines(log string) (applied, called []map[string]any) {
	scanner := bufio.NewScanner(strings.NewReader(log))
	for scanner.Scan() {
		line := map[string]any{}
		if json.Unmarshal(scanner.Bytes(), &line) != nil {
			continue
		}
		request, _ := line["request"].(string)
		content, _ := line["request content"].(string)
		// What the cluster itself applies at its start is not the same in both, nor how often it was asked whether it serves.
		ofCluster := strings.Contains(request, "cluster_") || strings.Contains(request, " entry ")
		ofStart := strings.Contains(request+content, `key:"serving?"`)
		if ofStart || line["msg"] != slowCall && (line["msg"] != slowApply || ofCluster) {
			continue
		}
		for name, value := range line {
			if slices.Contains(varying, name) {
				line[name] = ""
			} else if text, ok := value.(string); ok {
				line[name] = normalizedText(text)
			}
		}
		if line["msg"] == slowCall {
			called = append(called, line)
		} else {
			applied = append(applied, line)
		}
	}
	return applied, called
}

// normalizedText: etcd's own errors are not its clients' in all cases, and Go's printer puts one blank or two.
func normalizedText(text string) string {
	text = requestIDs.ReplaceAllString(text, "ID:N")
	text = answerSizes.ReplaceAllString(text, "size:N")
	text = strings.TrimPrefix(text, "requested ")
	return strings.Join(strings.Fields(text), " ")
}
