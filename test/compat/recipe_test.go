// Lock and Election, call by call against etcd: what is answered, what is left behind.
package compat

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	v3electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	v3lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"netcd.test/member"
)

func TestRecipes(t *testing.T) {
	need(t, locks)
	netcd, etcd := member.StartPair(t)
	for _, chapter := range []struct {
		name string
		tell func(s *recipeStory)
	}{
		{"lock", tellLock}, {"waiters that give up", tellGivingUp}, {"locks that are lost", tellLostLocks},
		{"election", tellElection}, {"candidates that give up", tellCandidates}, {"observe", tellObserve},
	} {
		t.Run(chapter.name, func(t *testing.T) {
			t.Logf("%d lines compared", compareStories(t, netcd, etcd, chapter.tell))
		})
	}
}

func (s *recipeStory) unlock(key string) func(ctx context.Context) (proto.Message, error) {
	return func(ctx context.Context) (proto.Message, error) {
		return s.locks.Unlock(ctx, &v3lockpb.UnlockRequest{Key: []byte(key)})
	}
}

func tellLock(s *recipeStory) {
	s.grant(0x101)
	s.grant(0x102)
	s.now("first", s.lock("l", 0x101))
	s.now("first again", s.lock("l", 0x101))
	second := s.start(s.lock("l", 0x102))
	s.awaitKeys("l/", 2)
	s.now("unlock", s.unlock("l/101"))
	s.end("second", second)
	s.now("unlock of nothing", s.unlock("l/101"))
	s.now("unlock without a key", s.unlock(""))
	s.now("unknown lease", s.lock("l", 999))
	s.now("negative lease", s.lock("l", -1))
	s.awaitKeys("l/", 1)
	s.now("empty name", s.lock("", 0x101))
	s.now("name with a slash", s.lock("a/b/", 0x101))
	answer, err := s.locks.Lock(s.ctx, &v3lockpb.LockRequest{Name: []byte("own")})
	s.ownLease("no lease", answer.GetKey(), err)
	s.revoke(0x101)
	s.revoke(0x102)
	s.awaitKeys("l/", 0)
}

func tellGivingUp(s *recipeStory) {
	for lease := int64(0x201); lease <= 0x205; lease++ {
		s.grant(lease)
	}
	s.now("holder", s.lock("g", 0x201))
	cancelled := s.start(s.lock("g", 0x202))
	s.awaitKeys("g/", 2)
	cancelled.cancel()
	s.awaitKeys("g/", 1)
	s.end("cancelled", cancelled)
	// The text is the client's own: it depends on who of client and server sees the time end first.
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	_, err := s.lock("g", 0x203)(ctx)
	cancel()
	s.tell("timed out: %v", status.Code(err))
	s.awaitKeys("g/", 1)
	gone := s.start(s.lock("g", 0x204))
	s.awaitKeys("g/", 2)
	s.connection.Close()
	<-gone.ended
	s.awaitKeys("g/", 1)
	s.connect()
	// Nobody is in the way of the next.
	next := s.start(s.lock("g", 0x205))
	s.awaitKeys("g/", 2)
	s.revoke(0x201)
	s.end("after the holder's lease", next)
	s.awaitKeys("g/", 1)
	s.revoke(0x205)
}

func tellLostLocks(s *recipeStory) {
	for lease := int64(0x301); lease <= 0x304; lease++ {
		s.grant(lease)
	}
	s.now("holder", s.lock("x", 0x301))
	expires := s.start(s.lock("x", 0x302))
	s.awaitKeys("x/", 2)
	last := s.start(s.lock("x", 0x303))
	s.awaitKeys("x/", 3)
	s.revoke(0x302)
	s.awaitKeys("x/", 2)
	s.now("unlock", s.unlock("x/301"))
	s.end("waiter whose lease ended", expires)
	s.end("waiter behind it", last)
	robbed := s.start(s.lock("x", 0x304))
	s.awaitKeys("x/", 2)
	s.now("delete of the waiter's key", func(ctx context.Context) (proto.Message, error) {
		return s.kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte("x/304")})
	})
	s.now("unlock", s.unlock("x/303"))
	s.end("waiter whose key was deleted", robbed)
	s.awaitKeys("x/", 0)
}

func (s *recipeStory) leader(name string) func(ctx context.Context) (proto.Message, error) {
	return func(ctx context.Context) (proto.Message, error) {
		return s.elections.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte(name)})
	}
}

func (s *recipeStory) proclaim(leader *v3electionpb.LeaderKey, value string) func(ctx context.Context) (proto.Message, error) {
	return func(ctx context.Context) (proto.Message, error) {
		return s.elections.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: leader, Value: []byte(value)})
	}
}

func (s *recipeStory) resign(leader *v3electionpb.LeaderKey) func(ctx context.Context) (proto.Message, error) {
	return func(ctx context.Context) (proto.Message, error) {
		return s.elections.Resign(ctx, &v3electionpb.ResignRequest{Leader: leader})
	}
}

// elected campaigns where nobody is in the way.
func (s *recipeStory) elected(name string, lease int64, value string) *v3electionpb.LeaderKey {
	s.t.Helper()
	answer, err := s.elections.Campaign(s.ctx, &v3electionpb.CampaignRequest{Name: []byte(name), Lease: lease, Value: []byte(value)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.tell("elected: %s", outcome(answer, nil))
	return answer.Leader
}

func tellElection(s *recipeStory) {
	s.grant(0x401)
	s.grant(0x402)
	s.now("nobody leads", s.leader("e"))
	s.now("proclaim without a leader", s.proclaim(nil, "v"))
	s.now("resign without a leader", s.resign(nil))
	s.now("campaign with an unknown lease", s.campaign("e", 999, "v"))
	first := s.elected("e", 0x401, "one")
	s.now("leader", s.leader("e"))
	s.now("campaign again, same value", s.campaign("e", 0x401, "one"))
	s.now("campaign again, other value", s.campaign("e", 0x401, "uno"))
	s.now("leader", s.leader("e"))
	s.now("proclaim", s.proclaim(first, "eins"))
	stale := &v3electionpb.LeaderKey{Name: first.Name, Key: first.Key, Rev: first.Rev - 1, Lease: first.Lease}
	s.now("proclaim at another revision", s.proclaim(stale, "v"))
	s.now("resign at another revision", s.resign(stale))
	unknown := &v3electionpb.LeaderKey{Name: first.Name, Key: first.Key, Rev: first.Rev, Lease: 999}
	s.now("proclaim with an unknown lease", s.proclaim(unknown, "v"))
	s.now("proclaim of an empty key", s.proclaim(&v3electionpb.LeaderKey{Lease: 0x401}, "v"))
	second := s.start(s.campaign("e", 0x402, "two"))
	s.awaitKeys("e/", 2)
	s.now("leader", s.leader("e"))
	s.now("resign", s.resign(first))
	s.end("second", second)
	s.now("leader", s.leader("e"))
	s.now("resign again", s.resign(first))
	s.now("proclaim after resigning", s.proclaim(first, "v"))
	answer, err := s.elections.Campaign(s.ctx, &v3electionpb.CampaignRequest{Name: []byte("own election"), Value: []byte("v")})
	s.ownLease("no lease", answer.GetLeader().GetKey(), err)
	s.revoke(0x402)
	s.now("after the leader's lease", s.leader("e"))
}

func tellCandidates(s *recipeStory) {
	for lease := int64(0x501); lease <= 0x505; lease++ {
		s.grant(lease)
	}
	s.elected("c", 0x501, "one")
	cancelled := s.start(s.campaign("c", 0x502, "two"))
	s.awaitKeys("c/", 2)
	cancelled.cancel()
	s.awaitKeys("c/", 1)
	s.end("cancelled", cancelled)
	gone := s.start(s.campaign("c", 0x503, "three"))
	s.awaitKeys("c/", 2)
	s.connection.Close()
	<-gone.ended
	s.awaitKeys("c/", 1)
	s.connect()
	expires := s.start(s.campaign("c", 0x504, "four"))
	s.awaitKeys("c/", 2)
	next := s.start(s.campaign("c", 0x505, "five"))
	s.awaitKeys("c/", 3)
	s.revoke(0x504)
	s.awaitKeys("c/", 2)
	s.revoke(0x501)
	s.end("candidate whose lease ended", expires)
	s.end("candidate behind it", next)
	s.now("leader", s.leader("c"))
	s.revoke(0x505)
}

func tellObserve(s *recipeStory) {
	s.grant(0x601)
	s.grant(0x602)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stream, err := s.elections.Observe(ctx, &v3electionpb.LeaderRequest{Name: []byte("o")})
	if err != nil {
		s.t.Fatal(err)
	}
	observed := func(what string) {
		s.t.Helper()
		answer, err := stream.Recv()
		s.tell("observed %s: %s", what, outcome(answer, err))
	}
	first := s.elected("o", 0x601, "one")
	observed("the first leader")
	s.now("proclaim", s.proclaim(first, "uno"))
	observed("its other value")
	second := s.start(s.campaign("o", 0x602, "two"))
	s.awaitKeys("o/", 2)
	s.now("resign", s.resign(first))
	s.end("second", second)
	observed("the second leader")
	s.revoke(0x602)
	s.elected("o", 0x601, "back")
	observed("the first again")
	late, err := s.elections.Observe(s.ctx, &v3electionpb.LeaderRequest{Name: []byte("o")})
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := late.Recv()
	s.tell("observed late: %s", outcome(answer, err))
	cancel()
	_, err = stream.Recv()
	s.tell("after the client has left: %s", outcome(nil, err))
	s.revoke(0x601)
}
