// What an operator does to make room, in the order of etcd's documentation and with no pause between the steps.
package compat

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	burstCompactions = 25
	// atOnce is how many of each kind of maintenance run beside the others.
	atOnce     = 3
	onesBeside = 40
)

// TestHashOfCompactions compacts again and again without waiting: every one of them is carried out, and HashKV answers
// with what each has found.
func TestHashOfCompactions(t *testing.T) {
	p := newPair(t, "hash of compactions")
	defer p.report()
	for round := range 3 {
		var last int64
		for i := range burstCompactions {
			put := p.compare(putCall(&pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i%5), Value: fmt.Append(nil, round)}))
			last = put.Messages[0].(*pb.PutResponse).Header.Revision
			p.compare(compactCall(&pb.CompactionRequest{Revision: last, Physical: i == burstCompactions-1}))
		}
		for at := last - burstCompactions; at <= last+1; at++ {
			p.compare(hashCall(at))
		}
	}
}

// TestRoomAgain fills the store up to its quota; compact, defrag and disarm right after each other make room.
func TestRoomAgain(t *testing.T) {
	quota := fmt.Sprintf("--quota-backend-bytes=%d", quotaBytes)
	t.Run("one member", func(t *testing.T) {
		netcd, etcd := member.StartPair(t, quota)
		for _, server := range []*member.Member{netcd, etcd} {
			makeRoom(t, []*member.Member{server})
		}
	})
	t.Run("three members", func(t *testing.T) {
		cluster := member.StartCluster(t, "netcd", member.Netcd(), 3, quota)
		leader := cluster.Leader(t)
		// The leader answers the compaction before the others know of it.
		members := []*member.Member{leader}
		for _, one := range cluster.Members {
			if one != leader {
				members = append(members, one)
			}
		}
		makeRoom(t, members)
	})
}

func makeRoom(t *testing.T, members []*member.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*callWaitMax)
	defer cancel()
	var connections []*grpc.ClientConn
	for _, one := range members {
		connections = append(connections, one.Connect(t))
	}
	kv, maintenance := pb.NewKVClient(connections[0]), pb.NewMaintenanceClient(connections[0])
	value := make([]byte, 128<<10)
	var full error
	for i := 0; full == nil && i < overQuotaPuts; i++ {
		_, full = kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: value})
	}
	list, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
	if err != nil || len(list.Alarms) != 1 {
		t.Fatalf("%s: %v, %v; the puts ended with %v", members[0].Label, list, err, full)
	}
	now, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), CountOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: now.Header.Revision}); err != nil {
		t.Fatal(err)
	}
	for _, connection := range connections {
		if _, err := pb.NewMaintenanceClient(connection).Defragment(ctx, &pb.DefragmentRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	disarm := &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: list.Alarms[0].MemberID, Alarm: list.Alarms[0].Alarm}
	if _, err := maintenance.Alarm(ctx, disarm); err != nil {
		t.Fatal(err)
	}
	for at, connection := range connections {
		if _, err := pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: value}); err != nil {
			t.Errorf("%s has no room: %v", members[at].Label, err)
		}
		status, err := pb.NewMaintenanceClient(connection).Status(ctx, &pb.StatusRequest{})
		if err != nil || status.DbSize > quotaBytes/2 {
			t.Errorf("%s: %d bytes are left of %d: %v", members[at].Label, status.GetDbSize(), quotaBytes, err)
		}
	}
}

// TestMaintenanceAtOnce runs puts, compactions, defragmentations and hashes beside each other on both servers: none hangs,
// and none fails but a compaction or a hash that another compaction has overtaken.
func TestMaintenanceAtOnce(t *testing.T) {
	netcd, etcd := member.StartPair(t)
	for _, server := range []*member.Member{netcd, etcd} {
		connection := server.Connect(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*callWaitMax)
		defer cancel()
		kv, maintenance := pb.NewKVClient(connection), pb.NewMaintenanceClient(connection)
		compacted := "OutOfRange: etcdserver: mvcc: required revision has been compacted"
		revision := func() int64 {
			answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), CountOnly: true})
			if err != nil {
				t.Error(err)
			}
			return answer.GetHeader().GetRevision()
		}
		var all sync.WaitGroup
		beside := func(what string, allowed string, call func(i int) error) {
			for range atOnce {
				all.Go(func() {
					for i := range onesBeside {
						if outcome := member.Outcome(call(i)); outcome != "OK" && outcome != allowed {
							t.Errorf("%s: %s: %s", server.Label, what, outcome)
							return
						}
					}
				})
			}
		}
		beside("put", "", func(i int) error {
			_, err := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: make([]byte, 4<<10)})
			return err
		})
		beside("compact", compacted, func(i int) error {
			_, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: revision(), Physical: i%2 == 0})
			return err
		})
		beside("defragment", "", func(int) error {
			_, err := maintenance.Defragment(ctx, &pb.DefragmentRequest{})
			return err
		})
		beside("hash", compacted, func(i int) error {
			_, err := maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: int64(i%2) * revision()})
			return err
		})
		all.Wait()
		compareAfterMaintenance(t, ctx, kv, server.Label)
	}
}

// compareAfterMaintenance checks that every put is there.
func compareAfterMaintenance(t *testing.T, ctx context.Context, kv pb.KVClient, label string) {
	t.Helper()
	answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), CountOnly: true})
	if err != nil || answer.Count != onesBeside || answer.Header.Revision != 1+atOnce*onesBeside {
		t.Errorf("%s: %v, %v", label, answer, err)
	}
}
