package compat

import (
	"context"
	"fmt"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	quotaBytes = 4 << 20
	// overQuotaPuts is more than enough to reach it.
	overQuotaPuts = 200
)

// TestQuotaAlarm fills both servers up to their quota: who sees that no space is left finds the alarm right then.
func TestQuotaAlarm(t *testing.T) {
	netcd, etcd := member.StartPair(t, fmt.Sprintf("--quota-backend-bytes=%d", quotaBytes))
	var told []string
	for _, server := range []*member.Member{netcd, etcd} {
		told = append(told, fillUp(t, server))
	}
	if told[0] != told[1] {
		t.Errorf("netcd: %s\n etcd: %s", told[0], told[1])
	}
}

// fillUp puts until the quota refuses, and tells the error, the alarms and what is refused from then on.
func fillUp(t *testing.T, server *member.Member) string {
	t.Helper()
	connection := server.Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*callWaitMax)
	defer cancel()
	kv, maintenance := pb.NewKVClient(connection), pb.NewMaintenanceClient(connection)
	for i := range overQuotaPuts {
		_, refused := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "fill/%d", i), Value: make([]byte, 128<<10)})
		if refused == nil {
			continue
		}
		list, err := maintenance.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Alarms) != 1 {
			t.Fatalf("%s has the alarms %v when it refuses", server.Label, list.Alarms)
		}
		_, again := kv.Put(ctx, &pb.PutRequest{Key: []byte("k")})
		_, granted := pb.NewLeaseClient(connection).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
		_, deleted := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("fill/0")})
		return fmt.Sprintf("put: %s; %v; another put: %s; grant: %s; delete: %s", member.Outcome(refused), list.Alarms[0].Alarm,
			member.Outcome(again), member.Outcome(granted), member.Outcome(deleted))
	}
	t.Fatalf("%s took %d puts", server.Label, overQuotaPuts)
	return ""
}
