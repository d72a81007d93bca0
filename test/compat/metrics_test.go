// /metrics: names, types, labels and buckets as etcd's, and after the same work the same counts.
package compat

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"netcd.test/member"
)

// equalMetrics must have the same series and values after the same work; labels in brackets are left out.
var equalMetrics = map[string][]string{
	"etcd_mvcc_put_total": nil, "etcd_mvcc_delete_total": nil, "etcd_mvcc_range_total": nil, "etcd_mvcc_txn_total": nil,
	"etcd_mvcc_hash_rev_duration_seconds": nil, "etcd_disk_backend_defrag_duration_seconds": nil, "etcd_disk_defrag_inflight": nil,
	"etcd_debugging_mvcc_keys_total": nil, "etcd_debugging_mvcc_events_total": nil, "etcd_debugging_mvcc_pending_events_total": nil,
	"etcd_debugging_mvcc_watch_stream_total": nil, "etcd_debugging_mvcc_watcher_total": nil, "etcd_debugging_mvcc_slow_watcher_total": nil,
	"etcd_debugging_mvcc_current_revision": nil, "etcd_debugging_mvcc_compact_revision": nil,
	"etcd_debugging_mvcc_total_put_size_in_bytes": nil, "etcd_debugging_mvcc_db_compaction_keys_total": nil,
	"etcd_debugging_mvcc_db_compaction_total_duration_milliseconds": nil,
	"etcd_debugging_lease_granted_total":                            nil, "etcd_debugging_lease_renewed_total": nil, "etcd_debugging_lease_revoked_total": nil,
	"etcd_debugging_lease_ttl_total": nil, "etcd_debugging_server_lease_expired_total": nil,
	"etcd_debugging_server_alarms": {"server_id"}, "etcd_network_known_peers": {"Local", "Remote"},
	"etcd_network_client_grpc_received_bytes_total": nil,
	"etcd_server_has_leader":                        nil, "etcd_server_is_leader": nil, "etcd_server_is_learner": nil, "etcd_server_version": nil,
	"etcd_cluster_version": nil, "etcd_server_leader_changes_seen_total": nil, "etcd_server_feature_enabled": nil,
	"etcd_server_quota_backend_bytes": nil, "etcd_server_proposals_pending": nil, "etcd_server_proposals_failed_total": nil,
	"etcd_debugging_auth_revision": nil, "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds": nil,
	"etcd_debugging_server_watch_send_loop_progress_duration_seconds": nil,
	"etcd_server_client_requests_total":                               nil, "etcd_server_range_duration_seconds": nil,
	"etcd_server_read_indexes_failed_total": nil, "etcd_server_slow_read_indexes_total": nil,
	"etcd_server_learner_promote_successes": nil, "etcd_server_snapshot_apply_in_progress_total": nil,
	// Etcd takes an operation that was refused when it was applied for a success in one of the two.
	"etcd_server_request_duration_seconds": {"success"}, "etcd_server_apply_duration_seconds": {"success"},
	"grpc_server_started_total": nil, "grpc_server_handled_total": nil,
	"os_fd_limit": nil, "process_max_fds": nil,
}

// countedMetrics must have counted something on both sides.
var countedMetrics = []string{"etcd_disk_wal_fsync_duration_seconds", "etcd_disk_wal_write_duration_seconds", "etcd_disk_wal_write_bytes_total",
	"etcd_disk_backend_commit_duration_seconds", "etcd_debugging_disk_backend_commit_write_duration_seconds", "etcd_mvcc_db_total_size_in_bytes",
	"etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total",
	"etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
	"etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds", "etcd_debugging_mvcc_db_compaction_last", "etcd_network_client_grpc_sent_bytes_total", "process_cpu_seconds_total", "process_open_fds",
	"process_resident_memory_bytes", "process_virtual_memory_bytes", "process_start_time_seconds", "os_fd_used"}

func TestMetrics(t *testing.T) {
	p := newPair(t, "metrics")
	defer p.report()
	awaitClusterVersion(t, p)
	for _, connection := range []*grpc.ClientConn{p.netcd, p.etcd} {
		if err := meteredWork(connection); err != nil {
			t.Fatal(err)
		}
	}
	var ours, theirs scrape
	var different []string
	// Streams end and compactions go on after the last answer.
	for deadline := time.Now().Add(callWaitMax); ; time.Sleep(100 * time.Millisecond) {
		ours, theirs = scraped(t, p.servers[0]), scraped(t, p.servers[1])
		if different = unequal(ours, theirs); len(different) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, name := range different {
		p.differ(name, fmt.Sprint(ours.values(name, equalMetrics[name]...)), fmt.Sprint(theirs.values(name, equalMetrics[name]...)))
	}
	p.compared += len(equalMetrics)
	p.compareShapes(ours, theirs)
	for _, name := range countedMetrics {
		p.compared++
		if ours.value(name) <= 0 || theirs.value(name) <= 0 {
			p.differ(name, fmt.Sprint(ours.value(name)), fmt.Sprint(theirs.value(name)))
		}
	}
}

func unequal(ours, theirs scrape) []string {
	var different []string
	// Each compaction of etcd ranges once to learn the revision.
	ranges := "etcd_mvcc_range_total"
	*theirs[ranges].Metric[0].Counter.Value -= theirs.value("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds")
	for name, without := range equalMetrics {
		if !maps.Equal(ours.values(name, without...), theirs.values(name, without...)) {
			different = append(different, name)
		}
	}
	return different
}

// meteredWork does what is counted: every kind of call, with and without success, and streams that end in each way.
func meteredWork(connection *grpc.ClientConn) error {
	key := func(name string) []byte { return []byte(name) }
	calls := []Call{
		putCall(&pb.PutRequest{Key: key("a"), Value: key("1")}),
		putCall(&pb.PutRequest{Key: key("b"), Value: key("22")}),
		putCall(&pb.PutRequest{Key: key("b"), Value: key("333"), PrevKv: true}),
		putCall(&pb.PutRequest{Key: key("b"), IgnoreValue: true}),
		putCall(&pb.PutRequest{Key: key("none"), IgnoreValue: true}),
		putCall(&pb.PutRequest{}),
		rangeCall(&pb.RangeRequest{Key: key("a")}),
		rangeCall(&pb.RangeRequest{Key: key("a"), RangeEnd: key("z"), CountOnly: true}),
		rangeCall(&pb.RangeRequest{Key: key("a"), Serializable: true}),
		rangeCall(&pb.RangeRequest{Key: key("a"), Revision: 99}),
		rangeCall(&pb.RangeRequest{}),
		deleteCall(&pb.DeleteRangeRequest{Key: key("none")}),
		deleteCall(&pb.DeleteRangeRequest{Key: key("none"), PrevKv: true}),
		deleteCall(&pb.DeleteRangeRequest{Key: key("a"), RangeEnd: key("c"), PrevKv: true}),
		txnCall(meteredTxn(1, meteredPut("t"))),
		txnCall(meteredTxn(2, meteredPut("t"), meteredRange("t"))),
		txnCall(meteredTxn(1, meteredRange("t"))),
		txnCall(meteredTxn(0, meteredRange("t"))),
		txnCall(meteredTxn(0, meteredPut("t"), meteredPut("t"))),
		txnCall(&pb.TxnRequest{Compare: []*pb.Compare{missingKey("t"), missingKey("u")}, Success: []*pb.RequestOp{meteredPut("v")}}),
		grantCall(&pb.LeaseGrantRequest{ID: 7, TTL: 100}),
		grantCall(&pb.LeaseGrantRequest{ID: 7, TTL: 100}),
		grantCall(&pb.LeaseGrantRequest{ID: 8, TTL: 5000}),
		putCall(&pb.PutRequest{Key: key("leased"), Lease: 7}),
		timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: 7}),
		leasesCall(),
		revokeCall(&pb.LeaseRevokeRequest{ID: 8}),
		revokeCall(&pb.LeaseRevokeRequest{ID: 9}),
		compactCall(&pb.CompactionRequest{Revision: 6, Physical: true}),
		compactCall(&pb.CompactionRequest{Revision: 3}),
		rangeCall(&pb.RangeRequest{Key: key("a"), Revision: 2}),
	}
	for _, call := range calls {
		call.Send(connection)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	maintenance := pb.NewMaintenanceClient(connection)
	if _, err := maintenance.HashKV(ctx, &pb.HashKVRequest{}); err != nil {
		return err
	}
	if _, err := maintenance.Defragment(ctx, &pb.DefragmentRequest{}); err != nil {
		return err
	}
	if _, err := pb.NewClusterClient(connection).MemberList(ctx, &pb.MemberListRequest{}); err != nil {
		return err
	}
	if err := meteredStreams(ctx, connection); err != nil {
		return err
	}
	_, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE})
	return err
}

func meteredTxn(compares int, ops ...*pb.RequestOp) *pb.TxnRequest {
	txn := &pb.TxnRequest{Success: ops}
	for range compares {
		txn.Compare = append(txn.Compare, missingKey("missing"))
	}
	return txn
}

// missingKey holds if there is no such key.
func missingKey(key string) *pb.Compare {
	return &pb.Compare{Key: []byte(key), Target: pb.Compare_VERSION, Result: pb.Compare_EQUAL, TargetUnion: &pb.Compare_Version{}}
}

func meteredPut(key string) *pb.RequestOp {
	return putOp(&pb.PutRequest{Key: []byte(key)})
}

func meteredRange(key string) *pb.RequestOp {
	return rangeOp(&pb.RangeRequest{Key: []byte(key)})
}

// meteredStreams leaves one watcher of two open and ends a stream of keep-alives.
func meteredStreams(ctx context.Context, connection *grpc.ClientConn) error {
	watch, err := openWatch(connection)
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := watch.create(&pb.WatchCreateRequest{Key: []byte("w")}); err != nil {
			return err
		}
	}
	for _, value := range []string{"1", "2", "3"} {
		putCall(&pb.PutRequest{Key: []byte("w"), Value: []byte(value)}).Send(connection)
	}
	if err := watch.await("six events", func() bool { return watch.events == 6 }); err != nil {
		return err
	}
	if err := watch.remove(1); err != nil {
		return err
	}
	alive, err := pb.NewLeaseClient(connection).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if err := alive.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
			return err
		}
		if _, err := alive.Recv(); err != nil {
			return err
		}
	}
	if err := alive.CloseSend(); err != nil {
		return err
	}
	if _, err := alive.Recv(); err == nil {
		return fmt.Errorf("a stream of keep-alives goes on after its end")
	}
	return nil
}

// TestClusterMetrics compares what three members count of each other, before and after one of them is gone.
func TestClusterMetrics(t *testing.T) {
	p := &pair{t: t, what: "metrics of members"}
	defer p.report()
	var clusters []*member.Cluster
	for _, side := range []struct{ label, binary string }{{"netcd", member.Netcd()}, {"etcd", member.Etcd()}} {
		cluster := member.StartCluster(t, side.label, side.binary, 3)
		for _, one := range cluster.Members {
			awaitVersion(t, one)
		}
		connection, err := cluster.Leader(t).Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		putCall(&pb.PutRequest{Key: []byte("a")}).Send(connection)
		rangeCall(&pb.RangeRequest{Key: []byte("a")}).Send(connection)
		clusters = append(clusters, cluster)
	}
	ours, theirs := settledScrape(t, clusters[0].Leader(t)), settledScrape(t, clusters[1].Leader(t))
	for _, name := range []string{"peer_sent_failures_total", "peer_received_failures_total", "disconnected_peers_total"} {
		// Whether members lose messages while the others start is chance.
		delete(ours, "etcd_network_"+name)
		delete(theirs, "etcd_network_"+name)
	}
	p.compareShapes(ours, theirs)
	for _, cluster := range clusters {
		leader := cluster.Leader(t)
		for _, one := range cluster.Members {
			if one != leader {
				if err := one.Kill(); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		awaitPeerLost(t, leader)
	}
}

// settledScrape waits until the leader has sent bytes to both others and measured the way, which etcd shows after 30 s.
func settledScrape(t *testing.T, leader *member.Member) scrape {
	t.Helper()
	names := []string{"etcd_network_peer_sent_bytes_total", "etcd_network_peer_received_bytes_total", "etcd_network_active_peers",
		"etcd_network_peer_round_trip_time_seconds"}
	for deadline := time.Now().Add(2 * callWaitMax); ; time.Sleep(100 * time.Millisecond) {
		now := scraped(t, leader)
		settled := true
		for _, name := range names {
			settled = settled && len(now.values(name)) >= 2
		}
		if settled {
			return now
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not count its peers: %v", leader.Label, now.values(names[3]))
		}
	}
}

// awaitPeerLost waits until the leader has counted the loss of one of its two peers.
func awaitPeerLost(t *testing.T, leader *member.Member) {
	t.Helper()
	for deadline := time.Now().Add(callWaitMax); ; time.Sleep(100 * time.Millisecond) {
		now := scraped(t, leader)
		known, active := now.value("etcd_network_known_peers"), now.value("etcd_network_active_peers")
		lost, failures := now.value("etcd_network_disconnected_peers_total"), now.value("etcd_network_peer_sent_failures_total")
		if known == 3 && active == 1 && lost >= 1 && failures >= 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v known, %v active, %v lost, %v messages dropped", leader.Label, known, active, lost, failures)
		}
	}
}
