package client

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	stormConnections = 8
	stormWorkers     = 64
	// stormTTLMin is what a lease gets at least, so that its key can still be put on a slow machine.
	stormTTLMin = 10 * time.Second
	// revokesPerSecond is etcd's pace, and netcd's.
	revokesPerSecond = 1000
	stormPutters     = 4
	// grantsPerSecond is how many leases a slow machine makes, with their keys, before the first of them ends.
	grantsPerSecond = 2000
	stormKept       = 50
	keptSeconds     = 60
)

// TestLeasesExpireTogether lets LEASE_COUNT (10000) leases, each with a key, end in the same second, in one member and
// in three, while clients put and renew other leases. NETCD=bin/reference/etcd shows what etcd does.
func TestLeasesExpireTogether(t *testing.T) {
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprintf("members=%d", size), func(t *testing.T) {
			storm := newStorm(t, member.StartCluster(t, "netcd", member.Netcd(), size), member.Number(t, "LEASE_COUNT", member.Depth(10_000)))
			terms := storm.terms()
			started := put(t, storm.ctx, storm.clients[0], "started", "")
			deletions := storm.clients[0].Watch(storm.ctx, "leased/", clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(started))
			storm.grantAll()
			storm.keepOthers()
			storm.takeDeletions(deletions)
			storm.endLoad()
			storm.checkEnd(started, terms)
		})
	}
}

type storm struct {
	t       *testing.T
	ctx     context.Context
	running *member.Cluster
	clients []*clientv3.Client
	count   int
	// earliest is when the first lease may end, on this process's clock.
	earliest time.Time
	// first and last are the revisions of the first and the last deletion.
	first, last int64

	ended      atomic.Bool
	load       sync.WaitGroup
	lock       sync.Mutex
	puts       [stormPutters][]int64
	putTimes   []time.Duration
	renewTimes []time.Duration
}

func newStorm(t *testing.T, running *member.Cluster, count int) *storm {
	limit := 3*time.Minute + 4*time.Duration(count)*time.Second/revokesPerSecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	s := &storm{t: t, ctx: ctx, running: running, count: count}
	for i := range stormConnections {
		one := running.Members[i%len(running.Members)]
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{one.Endpoint()}, DialTimeout: waitMax})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		s.clients = append(s.clients, client)
	}
	return s
}

// terms are the raft terms of all members, once they have a leader.
func (s *storm) terms() string {
	s.t.Helper()
	s.running.Leader(s.t)
	var terms []uint64
	for _, one := range s.running.Members {
		status, err := one.Status()
		if err != nil {
			s.t.Fatal(err)
		}
		terms = append(terms, status.RaftTerm)
	}
	return fmt.Sprint(terms)
}

// keepOthers begins the load that must not suffer: closed loops of puts, and renewals of other leases.
func (s *storm) keepOthers() {
	for putter := range stormPutters {
		s.load.Go(func() { s.keepPutting(putter) })
	}
	for i := range stormKept {
		id := clientv3.LeaseID(1_000_000_000 + i)
		client := s.clients[i%stormConnections]
		if _, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(s.ctx, &pb.LeaseGrantRequest{ID: int64(id), TTL: keptSeconds}); err != nil {
			s.t.Fatal(err)
		}
		put := clientv3.OpPut(fmt.Sprintf("kept/%d", i), "", clientv3.WithLease(id))
		if _, err := client.Do(s.ctx, put); err != nil {
			s.t.Fatal(err)
		}
		s.load.Go(func() { s.keepRenewing(client, id) })
	}
}

func (s *storm) keepPutting(putter int) {
	client := s.clients[putter%stormConnections]
	for n := 0; !s.ended.Load(); n++ {
		began := time.Now()
		answer, err := client.Put(s.ctx, fmt.Sprintf("putter/%d", putter), strconv.Itoa(n))
		if err != nil {
			s.t.Errorf("put %d of putter %d: %v", n, putter, err)
			return
		}
		took := time.Since(began)
		s.lock.Lock()
		s.puts[putter] = append(s.puts[putter], answer.Header.Revision)
		s.putTimes = append(s.putTimes, took)
		s.lock.Unlock()
	}
}

func (s *storm) keepRenewing(client *clientv3.Client, id clientv3.LeaseID) {
	stream, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(s.ctx)
	if err != nil {
		s.t.Error(err)
		return
	}
	for !s.ended.Load() {
		began := time.Now()
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			s.t.Error(err)
			return
		}
		answer, err := stream.Recv()
		if err != nil || answer.ID != int64(id) || answer.TTL != keptSeconds {
			s.t.Errorf("renewal of lease %d: %v, %v", id, answer, err)
			return
		}
		took := time.Since(began)
		s.lock.Lock()
		s.renewTimes = append(s.renewTimes, took)
		s.lock.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	if err := stream.CloseSend(); err != nil {
		s.t.Error(err)
	}
}

// grantAll makes the leases that end in the same second, each with a key.
func (s *storm) grantAll() {
	began := time.Now()
	together := began.Add(stormTTLMin + time.Duration(s.count)*time.Second/grantsPerSecond)
	s.earliest = together
	var next atomic.Int64
	var all sync.WaitGroup
	for worker := range stormWorkers {
		client := s.clients[worker%stormConnections]
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(s.count) {
					return
				}
				if err := s.grantOne(client, i, together); err != nil {
					s.t.Errorf("lease %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	s.t.Logf("%d leases with a key each after %.1f s; they end %.1f s after the first of them was granted", s.count, time.Since(began).Seconds(), s.earliest.Sub(began).Seconds())
}

func (s *storm) grantOne(client *clientv3.Client, id int64, together time.Time) error {
	now := time.Now()
	left := max(together.Sub(now), stormTTLMin)
	seconds := int64((left + time.Second - 1) / time.Second)
	leases := pb.NewLeaseClient(client.ActiveConnection())
	if _, err := leases.LeaseGrant(s.ctx, &pb.LeaseGrantRequest{ID: id, TTL: seconds}); err != nil {
		return err
	}
	_, err := client.Put(s.ctx, fmt.Sprintf("leased/%d", id), "", clientv3.WithLease(clientv3.LeaseID(id)))
	return err
}

// takeDeletions receives the deletion of every key, each once and in a revision of its own.
func (s *storm) takeDeletions(deletions clientv3.WatchChan) {
	s.t.Helper()
	seen := make(map[string]bool, s.count)
	for len(seen) < s.count {
		response, open := <-deletions
		if !open || response.Err() != nil {
			s.t.Fatalf("the watch ended after %d deletions: %v, %v", len(seen), response.Err(), s.ctx.Err())
		}
		for _, event := range response.Events {
			key, revision := string(event.Kv.Key), event.Kv.ModRevision
			if event.Type != clientv3.EventTypeDelete || seen[key] || revision <= s.last {
				s.t.Fatalf("after revision %d: %v", s.last, event)
			}
			seen[key] = true
			s.last = revision
			if s.first == 0 {
				s.first = revision
			}
		}
	}
	took := time.Since(s.earliest)
	// Not a measurement of speed: a limit of the pace shows as a time that the end cannot come before.
	if soonest := time.Duration(s.count-revokesPerSecond) * time.Second / revokesPerSecond; took < soonest {
		s.t.Errorf("%d leases were revoked within %v: faster than %d a second", s.count, took, revokesPerSecond)
	}
	s.t.Logf("all deleted %.1f s after the first ended", took.Seconds())
	select {
	case response := <-deletions:
		s.t.Fatalf("a deletion too many: %v", response.Events)
	case <-time.After(time.Second):
	}
}

func (s *storm) endLoad() {
	s.ended.Store(true)
	s.load.Wait()
	for putter, revisions := range s.puts {
		during := 0
		for i, revision := range revisions {
			if i > 0 && revision <= revisions[i-1] {
				s.t.Errorf("putter %d: revision %d after %d", putter, revision, revisions[i-1])
			}
			if revision > s.first && revision < s.last {
				during++
			}
		}
		if during == 0 {
			s.t.Errorf("putter %d wrote nothing between the first deletion and the last", putter)
		}
	}
	s.t.Logf("puts: %s; renewals: %s", spreadOf(s.putTimes), spreadOf(s.renewTimes))
}

func spreadOf(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	slices.Sort(times)
	return fmt.Sprintf("%d, p50 %v, p99 %v, longest %v", len(times), times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
}

// checkEnd looks at what is left: the other leases and their keys, the same in every member, and no leader changed.
func (s *storm) checkEnd(started int64, terms string) {
	s.t.Helper()
	revision := put(s.t, s.ctx, s.clients[0], "ended", "")
	// Every put, every deletion and nothing else has made a revision: keys of leases, keys of others, the last put.
	writes := int64(2*s.count + stormKept + 1)
	for _, revisions := range s.puts {
		writes += int64(len(revisions))
	}
	if revision != started+writes {
		s.t.Errorf("revision %d after %d writes since %d", revision, writes, started)
	}
	hashes := map[string]bool{}
	for i, one := range s.running.Members {
		client := s.clients[i]
		left, err := client.Get(s.ctx, "leased/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || left.Count != 0 {
			s.t.Errorf("%s: %v, %v", one.Label, left, err)
		}
		list, err := client.Leases(s.ctx)
		if err != nil || len(list.Leases) != stormKept {
			s.t.Errorf("%s has %d leases: %v", one.Label, len(list.Leases), err)
		}
		hash, err := client.HashKV(s.ctx, one.Endpoint(), revision)
		if err != nil {
			s.t.Fatal(err)
		}
		hashes[fmt.Sprint(hash.Hash)] = true
	}
	if len(hashes) != 1 {
		s.t.Errorf("members hold different revisions: hashes %v", hashes)
	}
	if now := s.terms(); now != terms {
		s.t.Errorf("the leader changed: terms were %s and are %s", terms, now)
	}
}
