package client

import (
	"context"
	"fmt"
	"testing"
	"time"

	"netcd.test/member"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// fasterBy is how much faster time runs for the member.
const fasterBy = 20

// TestLeaseCheckpoint is about a member that notes every five minutes how long its leases last, and restarts: with the
// gate the time goes on where it was noted, without it begins anew. The member's clock runs faster.
func TestLeaseCheckpoint(t *testing.T) {
	const granted, noted = 600, 300
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprintf("LeaseCheckpoint=%v", on), func(t *testing.T) {
			fakeClocks(t, map[string]string{"FAKETIME": fmt.Sprintf("+0 x%d", fasterBy)})
			// Ticks last as long as without faster time.
			server := member.StartNetcd(t, fmt.Sprintf("--feature-gates=LeaseCheckpoint=%v", on),
				fmt.Sprintf("--heartbeat-interval=%d", 100*fasterBy), fmt.Sprintf("--election-timeout=%d", 1000*fasterBy))
			client, ctx := connect(t, server)
			lease := grant(t, ctx, client, granted, "noted")
			untilTTL(t, ctx, client, lease, granted-noted-10)
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			times, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
			if err != nil || times.GrantedTTL != granted || len(times.Keys) != 1 {
				t.Fatalf("%v, %v", times, err)
			}
			if left := times.TTL; (left > granted-noted+fasterBy) == on {
				t.Fatalf("%d s are left of %d", left, granted)
			}
			// Renewal makes it whole again, for good.
			if renewed, err := client.KeepAliveOnce(ctx, lease); err != nil || renewed.TTL != granted {
				t.Fatalf("%v, %v", renewed, err)
			}
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if times, err := client.TimeToLive(ctx, lease); err != nil || times.TTL < granted-noted+fasterBy {
				t.Fatalf("after a renewal %d s are left: %v", times.TTL, err)
			}
		})
	}
}

// untilTTL waits until a lease has at most so many seconds left.
func untilTTL(t *testing.T, ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID, seconds int64) {
	t.Helper()
	for {
		times, err := client.TimeToLive(ctx, lease)
		if err != nil {
			t.Fatal(err)
		}
		if times.TTL <= seconds {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}
