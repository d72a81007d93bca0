// The advisories and fixes of etcd about authentication, each as a test that fails on a server with the fault: what a
// user must not do is asked for, and refused, by netcd and by an etcd that is mended. docs/compatibility.md lists them.
package compat

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Leases of the tests below: one with a key that `plain` may not write, one with keys that he may, one without keys.
const foreignLease, ownLease, emptyLease = 100, 101, 102

// guarded is a pair with authentication, the user plain, who may read read/ and both/ and write write/ and both/, and
// the user narrow, who may read and write the key k alone.
type guarded struct {
	*pair
	root, plain, narrow account
}

func startGuarded(t *testing.T, what string) *guarded {
	t.Helper()
	users := append(withUser("plain", "plainpw",
		permitCall("plain", authpb.READ, "read/", "read0"), permitCall("plain", authpb.WRITE, "write/", "write0"),
		permitCall("plain", authpb.READWRITE, "both/", "both0")),
		withUser("narrow", "narrowpw", permitCall("narrow", authpb.READWRITE, "k", ""))...)
	p, root := startWithAuth(t, what, users)
	g := &guarded{pair: p, root: root, plain: p.logIn("plain", "plainpw"), narrow: p.logIn("narrow", "narrowpw")}
	for _, lease := range []int64{foreignLease, ownLease, emptyLease} {
		p.must(root, grantCall(&pb.LeaseGrantRequest{ID: lease, TTL: 6000}))
	}
	for key, lease := range map[string]int64{"read/1": 0, "write/1": 0, "both/1": 0, "secret/1": 0, "k": 0, "z": 0,
		"both/foreign": foreignLease, "secret/foreign": foreignLease, "both/own": ownLease} {
		p.must(root, putCall(&pb.PutRequest{Key: []byte(key), Value: []byte("v"), Lease: lease}))
	}
	return g
}

// refusedAll expects the same answer to all of the calls, and that none has changed anything.
func (g *guarded) refusedAll(who account, outcome string, calls ...Call) {
	g.t.Helper()
	all := rangeCall(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	before := g.compareAs(g.root, all)
	for _, call := range calls {
		g.expect(who, call, outcome)
	}
	if after := g.compareAs(g.root, all); !equal(before, after) {
		g.t.Errorf("refused calls have changed the store:\n before: %s\n after:  %s", before, after)
	}
}

func TestAuthAdvisories(t *testing.T) {
	g := startGuarded(t, "advisories")
	defer g.report()
	for _, one := range []struct {
		name string
		run  func(g *guarded)
	}{
		{"CVE-2023-32082", timeToLiveShowsNoKeys},
		{"14663", maintenanceIsGuarded},
		{"15619", noEmptyRanges},
		{"CVE-2026-33413", everyServiceIsGuarded},
		{"CVE-2026-33343", nestedTxnsAreGuarded},
		{"CVE-2026-44283", putsInTxnsAreGuarded},
		{"GHSA-xg4h-6gfc-h4m8", openRangesAreWhole},
		{"CVE-2026-33186", pathsBeginWithASlash},
		{"CVE-2020-15115", passwordsMayBeEmpty},
		{"tokens in metadata", tokensInMetadata},
		{"CVE-2018-16886 and 21929", gatewayIsNoWayAround},
	} {
		t.Run(one.name, func(t *testing.T) {
			g.t = t
			one.run(g)
		})
		g.t = t
	}
}

// Guards: LeaseTimeToLive asks for READ of every attached key before it names them.
func timeToLiveShowsNoKeys(g *guarded) {
	ask := func(lease int64, keys bool) Call {
		return timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: lease, Keys: keys})
	}
	g.refusedAll(g.plain, denied, ask(foreignLease, true))
	g.refusedAll(g.narrow, denied, ask(foreignLease, true), ask(ownLease, true), leasesCall())
	g.must(g.plain, ask(foreignLease, false), ask(ownLease, true), ask(emptyLease, true))
	g.refusedAll(nobody, emptyName, ask(foreignLease, false), ask(foreignLease, true))
}

// Guards: every call of the Maintenance service asks who calls, and all but Status and the list of alarms for an admin.
func maintenanceIsGuarded(g *guarded) {
	notServed := map[string]bool{"Snapshot": true, "Downgrade": true}
	for name, call := range maintenanceCalls() {
		plain := denied
		if name == "Status" || name == "Alarm GET" {
			plain = "OK"
		}
		for who, outcome := range map[account]string{nobody: emptyName, withJunk("bad"): invalidToken, g.plain: plain} {
			if !notServed[name] {
				g.expect(who, call, outcome)
				continue
			}
			ours, theirs := g.ask(who, call)
			if theirs.Outcome() != outcome || ours.Code == 0 {
				g.t.Errorf("%s%s: netcd answers %s, etcd %s", name, who, ours.Outcome(), theirs.Outcome())
			}
		}
	}
	g.expect(g.root, alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE), "OK")
}

// Guards: a range must begin before it ends, or its permission would be compiled into something else.
func noEmptyRanges(g *guarded) {
	for _, one := range [][2]string{{"b", "a"}, {"a", "a"}, {"b", "b"}, {"", ""}, {"", "b"}, {"", "\x00"}, {"\x00\x00", "\x00\x00"}, {"b\x00", "b"}} {
		g.refusedAll(g.root, invalidRules, permitCall("plain", authpb.READWRITE, one[0], one[1]))
	}
	g.expect(g.root, permitRequest("plain", nil), "InvalidArgument: etcdserver: permission not given")
}

// Guards: the calls of Cluster, Alarm, Lease and Compact ask who calls, and for the keys of a lease.
func everyServiceIsGuarded(g *guarded) {
	calls := []Call{
		clusterCall("MemberList", &pb.MemberListRequest{}, &pb.MemberListResponse{}),
		clusterCall("MemberList", &pb.MemberListRequest{Linearizable: true}, &pb.MemberListResponse{}),
		clusterCall("MemberAdd", &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:1"}}, &pb.MemberAddResponse{}),
		clusterCall("MemberRemove", &pb.MemberRemoveRequest{ID: 7}, &pb.MemberRemoveResponse{}),
		clusterCall("MemberUpdate", &pb.MemberUpdateRequest{ID: 7, PeerURLs: []string{"http://127.0.0.1:1"}}, &pb.MemberUpdateResponse{}),
		clusterCall("MemberPromote", &pb.MemberPromoteRequest{ID: 7}, &pb.MemberPromoteResponse{}),
		alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE),
		grantCall(&pb.LeaseGrantRequest{ID: 200, TTL: 60}),
		revokeCall(&pb.LeaseRevokeRequest{ID: foreignLease}), revokeCall(&pb.LeaseRevokeRequest{ID: emptyLease}),
		keepAliveCall(foreignLease), keepAliveCall(emptyLease), keepAliveCall(7),
		timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: foreignLease}), leasesCall(),
		compactCall(&pb.CompactionRequest{Revision: 2}),
	}
	g.refusedAll(nobody, emptyName, calls...)
	g.refusedAll(withJunk("bad"), invalidToken, calls...)
	g.refusedAll(g.plain, denied, compactCall(&pb.CompactionRequest{Revision: 2}), revokeCall(&pb.LeaseRevokeRequest{ID: foreignLease}),
		keepAliveCall(foreignLease), leasesCall())
	g.must(g.plain, keepAliveCall(ownLease), keepAliveCall(emptyLease), grantCall(&pb.LeaseGrantRequest{ID: 201, TTL: 60}),
		revokeCall(&pb.LeaseRevokeRequest{ID: 201}))
	g.must(g.root, timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: foreignLease, Keys: true}))
}

// Guards: every operation and compare of a transaction is checked at every depth, in the branch that is not taken too.
func nestedTxnsAreGuarded(g *guarded) {
	forbidden := map[string]*pb.TxnRequest{
		"put":           {Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("secret/1"), Value: []byte("x")})}},
		"range":         {Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte("secret/1")})}},
		"delete":        {Success: []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: []byte("secret/1")})}},
		"compare":       {Compare: []*pb.Compare{{Key: []byte("secret/1"), TargetUnion: &pb.Compare_Version{Version: 1}}}},
		"range of keys": {Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte("read/"), RangeEnd: []byte("s")})}},
	}
	for name, inner := range forbidden {
		for depth := range 4 {
			for branches := range 1 << depth {
				txn := inner
				for level := range depth {
					nested := []*pb.RequestOp{putOp(&pb.PutRequest{Key: fmt.Appendf(nil, "both/%d", level)}), txnOp(txn)}
					if txn = (&pb.TxnRequest{Success: nested}); branches>>level&1 == 1 {
						txn = &pb.TxnRequest{Failure: nested}
					}
				}
				g.refusedAll(g.plain, denied, txnCall(txn))
				if g.t.Failed() {
					g.t.Fatalf("%s at depth %d, branches %b", name, depth, branches)
				}
			}
		}
	}
	g.must(g.plain, txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{txnOp(&pb.TxnRequest{
		Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("both/1")}), rangeOp(&pb.RangeRequest{Key: []byte("read/1")})}})}}))
}

// Guards: a put asks for READ where it shows the value before, and for WRITE of all keys of the lease that it uses,
// alone, in a transaction and in a nested one.
func putsInTxnsAreGuarded(g *guarded) {
	for _, put := range []*pb.PutRequest{
		{Key: []byte("write/1"), Value: []byte("x"), PrevKv: true},
		{Key: []byte("both/1"), Value: []byte("x"), Lease: foreignLease},
		{Key: []byte("write/1"), Value: []byte("x"), Lease: foreignLease, PrevKv: true},
	} {
		g.refusedAll(g.plain, denied, inTxns(putCall(put), putOp(put))...)
	}
	remove := &pb.DeleteRangeRequest{Key: []byte("write/1"), PrevKv: true}
	g.refusedAll(g.plain, denied, inTxns(deleteCall(remove), deleteOp(remove))...)
	for _, put := range []*pb.PutRequest{
		{Key: []byte("write/1"), Value: []byte("x")}, {Key: []byte("both/1"), PrevKv: true, Lease: ownLease}, {Key: []byte("both/1"), IgnoreValue: true},
	} {
		g.must(g.plain, inTxns(putCall(put), putOp(put))...)
	}
}

// inTxns is an operation alone, in a transaction, in a nested one, and in a branch that is not taken.
func inTxns(alone Call, op *pb.RequestOp) []Call {
	ops := []*pb.RequestOp{op}
	nested := txnOp(&pb.TxnRequest{Success: ops})
	return []Call{alone, txnCall(&pb.TxnRequest{Success: ops}), txnCall(&pb.TxnRequest{Failure: ops}),
		txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{nested}}), txnCall(&pb.TxnRequest{Failure: []*pb.RequestOp{nested}})}
}

// Guards: a range to the end of the key space is checked as one, not as its first key.
func openRangesAreWhole(g *guarded) {
	key, open := []byte("k"), []byte{0}
	g.must(g.narrow, rangeCall(&pb.RangeRequest{Key: key}), putCall(&pb.PutRequest{Key: key}))
	read, remove := &pb.RangeRequest{Key: key, RangeEnd: open}, &pb.DeleteRangeRequest{Key: key, RangeEnd: open}
	g.refusedAll(g.narrow, denied, rangeStreamCall(read))
	g.refusedAll(g.narrow, denied, inTxns(rangeCall(read), rangeOp(read))...)
	g.refusedAll(g.narrow, denied, inTxns(deleteCall(remove), deleteOp(remove))...)
	for _, end := range []string{"\x00", "l", "k\x00\x00", "k0"} {
		refused := g.compareAs(g.narrow, watchCall(&pb.WatchCreateRequest{Key: key, RangeEnd: []byte(end), StartRevision: 1}))
		said := refused.Messages[0].(*pb.WatchResponse)
		if !said.Canceled || !said.Created || said.WatchId != noWatch || "canceled: "+said.CancelReason != cancelReason {
			g.t.Errorf("a watch of k to %q is answered by %v", end, said)
		}
	}
	granted := g.compareAs(g.narrow, watchCall(&pb.WatchCreateRequest{Key: key, RangeEnd: []byte("k\x00")}))
	if granted.Messages[0].(*pb.WatchResponse).Canceled {
		g.t.Errorf("a watch of k alone is refused: %s", granted)
	}
}

// Guards: a path without a slash at its front is no method, so that no rule about paths can be got around.
func pathsBeginWithASlash(g *guarded) {
	put := frame(0, encoded(&pb.PutRequest{Key: []byte("by-path")}))
	for at, token := range []string{g.root.netcd, g.root.etcd} {
		for _, path := range []string{"etcdserverpb.KV/Put", "KV/Put", "/KV/Put", "//etcdserverpb.KV/Put", "/etcdserverpb.KV/put", "/etcdserverpb.KV/Put/"} {
			stream := dialFrames(g.t, g.servers[at].Endpoint()).open(path, "token", token)
			stream.send(put, true)
			g.leadsNowhere(stream)
		}
	}
	found := g.compareAs(g.root, rangeCall(&pb.RangeRequest{Key: []byte("by-path")}))
	if found.Messages[0].(*pb.RangeResponse).Count != 0 {
		g.t.Error("a put by a path that is none was carried out")
	}
}

// Guards: netcd has no gateway yet, which took the name in the server's own certificate for that of a caller, and a token
// from a WebSocket's subprotocol. Until there is one its paths must lead nowhere.
func gatewayIsNoWayAround(g *guarded) {
	for _, path := range []string{"/v3/kv/range", "/v3/kv/put", "/v3/auth/authenticate", "/v3/auth/disable", "/v3/maintenance/status", "/v3beta/kv/put", "/v3/watch"} {
		for _, headers := range []map[string]string{
			{}, {"Authorization": g.root.netcd}, {"Grpcgateway-Authorization": g.root.netcd},
			{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
				"Sec-Websocket-Protocol": "Bearer, " + g.root.netcd},
		} {
			method := http.MethodPost
			if headers["Upgrade"] != "" {
				method = http.MethodGet
			}
			request, err := http.NewRequest(method, g.servers[0].ClientURL+path, strings.NewReader(`{"key":"Z2F0ZXdheQ==","value":"dg=="}`))
			if err != nil {
				g.t.Fatal(err)
			}
			for name, value := range headers {
				request.Header.Set(name, value)
			}
			answer, err := (&http.Client{Timeout: callWaitMax}).Do(request)
			if err != nil {
				g.t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusNotFound {
				g.t.Errorf("%s with %v is answered by %s", path, headers, answer.Status)
			}
		}
	}
}

// leadsNowhere accepts both that there is no such method and, without a slash, that it is no path of HTTP/2.
func (g *guarded) leadsNowhere(stream *framedStream) {
	g.t.Helper()
	stream.c.await("end of the answer", func() bool { return stream.ended || stream.reset != nil })
	if stream.reset == nil && field(stream.trailers, "grpc-status") != "12" {
		g.t.Errorf("not refused: %s", stream.state())
	}
}

// What etcd's audit of 2020 found and left: there is no least length, and so is none here.
func passwordsMayBeEmpty(g *guarded) {
	g.must(g.root, userAddCall("empty", ""))
	g.must(nobody, authenticateCall("empty", ""))
	g.expect(nobody, authenticateCall("empty", "x"), badLogin)
}

// Guards: which of the metadata counts, and that a bad token is never a missing one.
func tokensInMetadata(g *guarded) {
	const is = "a token of plain"
	for _, one := range []struct {
		metadata []string
		outcome  string
	}{
		{[]string{"token", is}, "OK"},
		{[]string{"authorization", is}, "OK"},
		{[]string{"token", "Bearer " + is}, "OK"},
		{[]string{"authorization", "Bearer " + is}, "OK"},
		{[]string{"authorization", "bearer " + is}, invalidToken},
		{[]string{"authorization", "Bearer Bearer " + is}, invalidToken},
		{[]string{"authorization", "Basic " + is}, invalidToken},
		{[]string{"token", "bad", "authorization", is}, invalidToken},
		{[]string{"token", is, "authorization", "bad"}, "OK"},
		{[]string{"token", is, "token", "bad"}, "OK"},
		{[]string{"token", "bad", "token", is}, invalidToken},
		{[]string{"token", ""}, invalidToken},
		{[]string{"token", "", "authorization", is}, invalidToken},
		{[]string{"Token", is}, "OK"},
		{[]string{"x-token", is}, emptyName},
	} {
		var answers [2]Answer
		for at, token := range []string{g.plain.netcd, g.plain.etcd} {
			call := rangeCall(&pb.RangeRequest{Key: []byte("read/1")})
			for _, text := range one.metadata {
				if len(text) >= len(is) && text[len(text)-len(is):] == is {
					text = text[:len(text)-len(is)] + token
				}
				call.Metadata = append(call.Metadata, text)
			}
			answers[at] = call.Send([]*grpc.ClientConn{g.netcd, g.etcd}[at])
			if answers[at].Outcome() != one.outcome {
				g.t.Errorf("%s answers %q with %s, expected %s", g.servers[at].Label, one.metadata, answers[at].Outcome(), one.outcome)
			}
		}
	}
}

// TestEmptyRanges is about ranges that end before, or where, they begin: they hold nothing, and are for those who have
// their first key.
func TestEmptyRanges(t *testing.T) {
	p, _ := startWithAuth(t, "empty ranges", withUser("u", "pw", permitCall("u", authpb.READWRITE, "b", "f")))
	defer p.report()
	u := p.logIn("u", "pw")
	keys := []string{"a", "b", "c", "d", "e\xff", "f", "g"}
	for _, key := range keys {
		for _, end := range keys {
			if end > key {
				continue
			}
			read := &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
			remove := &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}
			for _, call := range []Call{rangeCall(read), deleteCall(remove), txnCall(&pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(read), deleteOp(remove)}}),
				watchCall(&pb.WatchCreateRequest{Key: read.Key, RangeEnd: read.RangeEnd})} {
				p.compareAs(u, call)
			}
		}
	}
}
