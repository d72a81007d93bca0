// A story of calls to Lock or Election against one server, told as text that must be the same for another server.
package compat

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	v3electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	v3lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// leaseTTL outlives every story; chapters that end a lease revoke it.
const leaseTTL = 600

type recipeStory struct {
	t      *testing.T
	ctx    context.Context
	server *member.Member
	kv     pb.KVClient
	leases pb.LeaseClient
	// locks and elections are called over a connection that a chapter may close.
	connection *grpc.ClientConn
	locks      v3lockpb.LockClient
	elections  v3electionpb.ElectionClient
	lines      []string
}

// compareStories tells the story to both servers and reports the first line that differs.
func compareStories(t *testing.T, netcd, etcd *member.Member, tell func(s *recipeStory)) int {
	t.Helper()
	var told [2][]string
	for i, server := range []*member.Member{netcd, etcd} {
		s := newRecipeStory(t, server)
		tell(s)
		told[i] = s.lines
	}
	for i := range max(len(told[0]), len(told[1])) {
		ours, theirs := "nothing", "nothing"
		if i < len(told[0]) {
			ours = told[0][i]
		}
		if i < len(told[1]) {
			theirs = told[1][i]
		}
		if ours != theirs {
			t.Errorf("line %d\n  netcd: %s\n  etcd:  %s", i, ours, theirs)
		}
	}
	return len(told[1])
}

func newRecipeStory(t *testing.T, server *member.Member) *recipeStory {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*callWaitMax)
	t.Cleanup(cancel)
	s := &recipeStory{t: t, ctx: ctx, server: server}
	s.connect()
	calls := s.dial()
	s.kv, s.leases = pb.NewKVClient(calls), pb.NewLeaseClient(calls)
	return s
}

func (s *recipeStory) dial() *grpc.ClientConn {
	s.t.Helper()
	connection := s.server.Connect(s.t)
	return connection
}

// connect makes a new connection for the calls to come.
func (s *recipeStory) connect() {
	s.connection = s.dial()
	s.locks, s.elections = v3lockpb.NewLockClient(s.connection), v3electionpb.NewElectionClient(s.connection)
}

func (s *recipeStory) tell(format string, values ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, values...))
}

// outcome renders an answer without ids, or the error.
func outcome(answer proto.Message, err error) string {
	if err != nil {
		return member.Outcome(err)
	}
	normalizeHeaders(answer.ProtoReflect())
	return abridged(answer)
}

func (s *recipeStory) grant(id int64) {
	s.t.Helper()
	if _, err := s.leases.LeaseGrant(s.ctx, &pb.LeaseGrantRequest{ID: id, TTL: leaseTTL}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *recipeStory) revoke(id int64) {
	s.t.Helper()
	if _, err := s.leases.LeaseRevoke(s.ctx, &pb.LeaseRevokeRequest{ID: id}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *recipeStory) keys(prefix string) []string {
	s.t.Helper()
	answer, err := s.kv.Range(s.ctx, &pb.RangeRequest{Key: []byte(prefix), RangeEnd: prefixEnd([]byte(prefix)), SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND})
	if err != nil {
		s.t.Fatal(err)
	}
	var keys []string
	for _, kv := range answer.Kvs {
		keys = append(keys, fmt.Sprintf("%s=%s", kv.Key, kv.Value))
	}
	return keys
}

// awaitKeys waits until so many keys are below a prefix and tells them.
func (s *recipeStory) awaitKeys(prefix string, count int) {
	s.t.Helper()
	for {
		keys := s.keys(prefix)
		if len(keys) == count {
			s.tell("below %s: %s", prefix, strings.Join(keys, " "))
			return
		}
		if s.ctx.Err() != nil {
			s.t.Fatalf("%s: %d keys awaited below %s: %v", s.server.Label, count, prefix, keys)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// waiting is a call that does not return at once.
type waiting struct {
	cancel context.CancelFunc
	ended  chan string
}

// start makes a call in the background.
func (s *recipeStory) start(call func(ctx context.Context) (proto.Message, error)) waiting {
	ctx, cancel := context.WithCancel(s.ctx)
	w := waiting{cancel: cancel, ended: make(chan string, 1)}
	go func() { w.ended <- outcome(call(ctx)) }()
	return w
}

func (s *recipeStory) end(name string, w waiting) {
	s.t.Helper()
	defer w.cancel()
	select {
	case text := <-w.ended:
		s.tell("%s: %s", name, text)
	case <-s.ctx.Done():
		s.t.Fatalf("%s: %s does not end", s.server.Label, name)
	}
}

func (s *recipeStory) lock(name string, lease int64) func(ctx context.Context) (proto.Message, error) {
	locks := s.locks
	return func(ctx context.Context) (proto.Message, error) {
		return locks.Lock(ctx, &v3lockpb.LockRequest{Name: []byte(name), Lease: lease})
	}
}

func (s *recipeStory) campaign(name string, lease int64, value string) func(ctx context.Context) (proto.Message, error) {
	elections := s.elections
	return func(ctx context.Context) (proto.Message, error) {
		return elections.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte(name), Lease: lease, Value: []byte(value)})
	}
}

// now makes a call and tells what came of it.
func (s *recipeStory) now(name string, call func(ctx context.Context) (proto.Message, error)) {
	s.t.Helper()
	s.end(name, s.start(call))
}

var chosenLease = regexp.MustCompile(`/[0-9a-f]{10,16}`)

// ownLease tells what a caller gets who brings no lease.
func (s *recipeStory) ownLease(name string, key []byte, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := s.kv.Range(s.ctx, &pb.RangeRequest{Key: key})
	if err != nil || len(found.Kvs) != 1 {
		s.t.Fatal(errors.Join(err, fmt.Errorf("%s: %v", key, found)))
	}
	times, err := s.leases.LeaseTimeToLive(s.ctx, &pb.LeaseTimeToLiveRequest{ID: found.Kvs[0].Lease, Keys: true})
	if err != nil {
		s.t.Fatal(err)
	}
	matches := string(key[strings.LastIndex(string(key), "/")+1:]) == fmt.Sprintf("%x", found.Kvs[0].Lease)
	s.tell("%s: %s, of its lease: %v, granted %d, keys %d", name, chosenLease.ReplaceAllString(string(key), "/LEASE"), matches, times.GrantedTTL, len(times.Keys))
}
