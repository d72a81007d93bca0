package client

import (
	"context"
	"io"
	"regexp"
	"strconv"
	"testing"
	"time"

	"netcd.test/member"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestLeaseOverFailover is about leases of a cluster that are used through followers and outlive their leader: the new
// one gives each of them its whole time, as it does not know who renewed it last, and ends what nobody renews.
func TestLeaseOverFailover(t *testing.T) {
	const granted, left = 30, 20
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	leader := running.Leader(t)
	var others []*member.Member
	for _, one := range running.Members {
		if one != leader {
			others = append(others, one)
		}
	}
	client, ctx := connect(t, others[0])
	lease := grant(t, ctx, client, granted, "kept", "kept too")
	if renewed, err := client.KeepAliveOnce(ctx, lease); err != nil || renewed.TTL != granted {
		t.Fatalf("%v, %v", renewed, err)
	}
	untilTTL(t, ctx, client, lease, left)
	grant(t, ctx, client, 5, "expires")
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	running.Leader(t, others...)
	for _, one := range others {
		client, ctx := connect(t, one)
		times, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
		if err != nil || times.TTL <= left+2 || times.GrantedTTL != granted || len(times.Keys) != 2 {
			t.Fatalf("%s after the failover: %v, %v", one.Label, times, err)
		}
		if renewed, err := client.KeepAliveOnce(ctx, lease); err != nil || renewed.TTL != granted {
			t.Fatalf("%s after the failover: %v, %v", one.Label, renewed, err)
		}
	}
	gone(t, ctx, client, "expires")
	before, err := client.Get(ctx, "kept", clientv3.WithPrefix())
	if err != nil || before.Count != 2 {
		t.Fatalf("%v, %v", before, err)
	}
	revoked, err := client.Revoke(ctx, lease)
	if err != nil || revoked.Header.Revision != before.Header.Revision+1 {
		t.Fatalf("%v, %v", revoked, err)
	}
	if after, err := client.Get(ctx, "kept", clientv3.WithPrefix()); err != nil || after.Count != 0 {
		t.Fatalf("%v, %v", after, err)
	}
}

// TestKeepAliveTouchesNoDisk renews a lease many times: neither raft's log nor its file may grow.
func TestKeepAliveTouchesNoDisk(t *testing.T) {
	const renewals = 300
	server := member.StartNetcd(t)
	client, ctx := connect(t, server)
	lease := grant(t, ctx, client, 60, "k")
	before := settledLog(t, ctx, server)
	for range renewals {
		if renewed, err := client.KeepAliveOnce(ctx, lease); err != nil || renewed.TTL != 60 {
			t.Fatalf("%v, %v", renewed, err)
		}
	}
	if after := logOf(t, server); after != before {
		t.Errorf("the log was %+v and is %+v after %d renewals", before, after, renewals)
	}
	if put(t, ctx, client, "k", "v"); logOf(t, server) == before {
		t.Errorf("the log is %+v after a put, too", before)
	}
}

// written is how far a member's log is.
type written struct {
	index uint64
	bytes float64
}

var walBytes = regexp.MustCompile(`(?m)^etcd_disk_wal_write_bytes_total (\S+)$`)

func logOf(t *testing.T, server *member.Member) written {
	t.Helper()
	status, err := server.Status()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.HTTP().Get(server.ClientURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := walBytes.FindSubmatch(body)
	if found == nil {
		t.Fatal("no metric of the log's bytes")
	}
	bytes, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || bytes == 0 {
		t.Fatalf("%s bytes, %v", found[1], err)
	}
	return written{status.RaftIndex, bytes}
}

// settledLog waits until a member writes nothing of its own accord any more.
func settledLog(t *testing.T, ctx context.Context, server *member.Member) written {
	t.Helper()
	for last := logOf(t, server); ; {
		time.Sleep(500 * time.Millisecond)
		now := logOf(t, server)
		if now == last {
			return now
		}
		last = now
		if ctx.Err() != nil {
			t.Fatal("the log grows without end")
		}
	}
}
