package client

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// grant asks for a lease and binds the keys to it.
func grant(t *testing.T, ctx context.Context, client *clientv3.Client, seconds int64, keys ...string) clientv3.LeaseID {
	t.Helper()
	lease, err := client.Grant(ctx, seconds)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if _, err := client.Put(ctx, key, "v", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return lease.ID
}

// gone waits until the store has deleted a key.
func gone(t *testing.T, ctx context.Context, client *clientv3.Client, key string) {
	t.Helper()
	found, err := client.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if found.Count == 0 {
		return
	}
	expect(t, events(t, client.Watch(ctx, key, clientv3.WithRev(found.Header.Revision+1)), 1), "DELETE "+key+"=")
}

// TestLease is about grants, the keys of a lease, renewal and the end by revocation.
func TestLease(t *testing.T) {
	client, ctx := connect(t, member.StartNetcd(t))
	id := grant(t, ctx, client, 60, "a", "b", "c")
	other := grant(t, ctx, client, 60, "b")
	if _, err := client.Put(ctx, "c", "none"); err != nil {
		t.Fatal(err)
	}
	for lease, keys := range map[clientv3.LeaseID][]string{id: {"a"}, other: {"b"}} {
		times, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
		if err != nil || times.GrantedTTL != 60 || times.TTL > 60 || times.TTL < 0 {
			t.Fatalf("lease %x: %v, %v", lease, times, err)
		}
		var got []string
		for _, key := range times.Keys {
			got = append(got, string(key))
		}
		expect(t, got, keys...)
	}
	renewed, err := client.KeepAliveOnce(ctx, id)
	if err != nil || renewed.TTL != 60 {
		t.Fatalf("keep-alive: %v, %v", renewed, err)
	}
	before, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := client.Revoke(ctx, id)
	if err != nil || revoked.Header.Revision != before.Header.Revision+1 {
		t.Fatalf("revoke: %v, %v", revoked, err)
	}
	if _, err := client.KeepAliveOnce(ctx, id); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Fatalf("keep-alive of a revoked lease: %v", err)
	}
	if times, err := client.TimeToLive(ctx, id); err != nil || times.TTL != -1 {
		t.Fatalf("times of a revoked lease: %v, %v", times, err)
	}
	list, err := client.Leases(ctx)
	if err != nil || len(list.Leases) != 1 || list.Leases[0].ID != other {
		t.Fatalf("leases: %v, %v", list, err)
	}
}

// TestLeaseExpiry is about leases that nobody renews: also over a kill, and after the process was stopped for longer
// than they last. A lease that is renewed outlives them.
func TestLeaseExpiry(t *testing.T) {
	server := member.StartNetcd(t)
	client, ctx := connect(t, server)
	kept := grant(t, ctx, client, 2, "kept")
	renewals, err := client.KeepAlive(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range renewals {
		}
	}()
	grant(t, ctx, client, 2, "expires")
	gone(t, ctx, client, "expires")

	grant(t, ctx, client, 2, "over a kill")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	gone(t, ctx, client, "over a kill")

	long := grant(t, ctx, client, 3600, "long")
	grant(t, ctx, client, 2, "over a stall")
	if err := syscall.Kill(server.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	if err := syscall.Kill(server.Pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := client.KeepAliveOnce(ctx, long); err != nil {
		t.Fatal(err)
	}
	gone(t, ctx, client, "over a stall")
	if found, err := client.Get(ctx, "long"); err != nil || found.Count != 1 {
		t.Fatalf("the long lease did not live: %v, %v", found, err)
	}
}

// TestRecipes runs the concurrency package's own lock, election and transactional memory against netcd.
func TestRecipes(t *testing.T) {
	client, ctx := connect(t, member.StartNetcd(t))
	const workers, rounds = 8, 5
	inside, total := 0, 0
	var all sync.WaitGroup
	for range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			session, err := concurrency.NewSession(client, concurrency.WithTTL(30), concurrency.WithContext(ctx))
			if err != nil {
				t.Error(err)
				return
			}
			defer session.Close()
			mutex := concurrency.NewMutex(session, "mutex")
			for range rounds {
				if err := mutex.Lock(ctx); err != nil {
					t.Error(err)
					return
				}
				inside++
				if inside != 1 {
					t.Errorf("%d hold the lock", inside)
				}
				total++
				inside--
				if err := mutex.Unlock(ctx); err != nil {
					t.Error(err)
					return
				}
				_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
					stm.Put("count", stm.Get("count")+"x")
					return nil
				}, concurrency.WithAbortContext(ctx))
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	all.Wait()
	if total != workers*rounds {
		t.Fatalf("%d locks were had", total)
	}
	found, err := client.Get(ctx, "count")
	if err != nil || len(found.Kvs[0].Value) != workers*rounds {
		t.Fatalf("the transactions made %v, %v", found, err)
	}
}

// TestContention has clients count in one key at once: through the lock, by TryLock and in transactions. Not one step may
// get lost.
func TestContention(t *testing.T) {
	const workers, rounds = 8, 25
	client, ctx := connect(t, member.StartNetcd(t))
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			if err := count(ctx, client, rounds); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range []string{"locked", "tried", "stm"} {
		found, err := client.Get(ctx, key)
		if err != nil || len(found.Kvs) != 1 || string(found.Kvs[0].Value) != strconv.Itoa(workers*rounds) {
			t.Errorf("%s: %v, %v", key, found, err)
		}
	}
	for _, prefix := range []string{"mutex/", "try/"} {
		if left, err := client.Get(ctx, prefix, clientv3.WithPrefix()); err != nil || left.Count != 0 {
			t.Errorf("below %s: %v, %v", prefix, left, err)
		}
	}
}

func count(ctx context.Context, client *clientv3.Client, rounds int) error {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(30), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	defer session.Close()
	mutex, try := concurrency.NewMutex(session, "mutex"), concurrency.NewMutex(session, "try")
	for range rounds {
		if err := mutex.Lock(ctx); err != nil {
			return err
		}
		if err := errors.Join(countOne(ctx, client, "locked"), mutex.Unlock(ctx)); err != nil {
			return err
		}
		err := try.TryLock(ctx)
		for ; errors.Is(err, concurrency.ErrLocked); err = try.TryLock(ctx) {
			time.Sleep(time.Millisecond)
		}
		if err != nil {
			return err
		}
		if err := errors.Join(countOne(ctx, client, "tried"), try.Unlock(ctx)); err != nil {
			return err
		}
		_, err = concurrency.NewSTM(client, func(stm concurrency.STM) error {
			value, _ := strconv.Atoi(stm.Get("stm"))
			stm.Put("stm", strconv.Itoa(value+1))
			return nil
		}, concurrency.WithAbortContext(ctx), concurrency.WithIsolation(concurrency.SerializableSnapshot))
		if err != nil {
			return err
		}
	}
	return nil
}

// countOne reads and writes without a guard of its own: the caller holds the lock.
func countOne(ctx context.Context, client *clientv3.Client, key string) error {
	found, err := client.Get(ctx, key)
	if err != nil {
		return err
	}
	value := 0
	if len(found.Kvs) > 0 {
		if value, err = strconv.Atoi(string(found.Kvs[0].Value)); err != nil {
			return err
		}
	}
	_, err = client.Put(ctx, key, strconv.Itoa(value+1))
	return err
}

// TestSessionEnds has a waiter get the lock of a client that is gone: its session is not renewed any more and expires.
func TestSessionEnds(t *testing.T) {
	server := member.StartNetcd(t)
	client, ctx := connect(t, server)
	holder, _ := connect(t, server)
	gone, err := concurrency.NewSession(holder, concurrency.WithTTL(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := concurrency.NewMutex(gone, "m").Lock(ctx); err != nil {
		t.Fatal(err)
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, "m")
	if err := mutex.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Fatalf("the lock is held: %v", err)
	}
	holder.Close()
	if err := mutex.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone.Done():
	case <-ctx.Done():
		t.Fatal("the session of a closed client has not ended")
	}
	left, err := client.Get(ctx, "m/", clientv3.WithPrefix())
	if err != nil || len(left.Kvs) != 1 || string(left.Kvs[0].Key) != mutex.Key() {
		t.Fatalf("%v, %v", left, err)
	}
}

// TestElection has one candidate follow another, seen by an observer.
func TestElection(t *testing.T) {
	client, ctx := connect(t, member.StartNetcd(t))
	var elections []*concurrency.Election
	for range 2 {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		elections = append(elections, concurrency.NewElection(session, "e"))
	}
	if _, err := elections[0].Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Fatalf("a leader without an election: %v", err)
	}
	observed := elections[1].Observe(ctx)
	if err := elections[0].Campaign(ctx, "first"); err != nil {
		t.Fatal(err)
	}
	elected := make(chan error, 1)
	go func() { elected <- elections[1].Campaign(ctx, "second") }()
	wanted := func(value string) {
		t.Helper()
		if got := <-observed; string(got.Kvs[0].Value) != value {
			t.Fatalf("observed %q, wanted %q", got.Kvs[0].Value, value)
		}
	}
	wanted("first")
	if err := elections[0].Proclaim(ctx, "still first"); err != nil {
		t.Fatal(err)
	}
	wanted("still first")
	if err := elections[0].Resign(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-elected; err != nil {
		t.Fatal(err)
	}
	wanted("second")
}
