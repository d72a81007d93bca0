// Rights that change while everybody reads and writes: in the log's order nothing is done that the rights of that moment
// forbid. What may be done when is in auth_order_rules_test.go, those who do it are in auth_order_actors_test.go.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/history"
	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
)

const (
	orderChanges = 400 // at full depth
	// betweenChanges is the longest time from the answer to one change to the call of the next.
	betweenChanges = 40 * time.Millisecond
	// A member that is stopped for less than an election timeout lags behind: what it lets pass is not what counts.
	stoppedMax, betweenStops = 150 * time.Millisecond, 300 * time.Millisecond
)

// order is the cluster, its rules era by era, and what was done.
type order struct {
	*member.Cluster
	began time.Time

	// accounts is held by those who log in, and wholly by who changes what they log in with.
	accounts sync.RWMutex
	mutex    sync.Mutex
	// eras are the rules after each of the changes, those of one that was asked for included.
	eras    []*rules
	changes []history.Change
	deeds   []*history.Deed
	// written are the writes by their values, which are all different.
	written map[string]*deed

	done, refused, told, cancelled atomic.Int64
}

func (o *order) now() time.Duration { return time.Since(o.began) }

// TestRightsInTheLogsOrder changes permissions, roles, users, passwords, and whether all that counts, while users, and
// somebody who is none, read and write through every member, and members lag behind. FAULT_SEED (1) chooses.
func TestRightsInTheLogsOrder(t *testing.T) {
	seed := member.Number(t, "FAULT_SEED", uint64(1))
	random := rand.New(rand.NewPCG(seed, 18))
	o := &order{Cluster: member.StartCluster(t, "netcd", member.Netcd(), 3, "--bcrypt-cost=4"),
		eras: []*rules{firstRules()}, written: map[string]*deed{}}
	o.makeFirst(t)
	o.began = time.Now()
	ctx, stop := context.WithCancel(t.Context())
	var acting sync.WaitGroup
	for at, one := range o.Members {
		for number, user := range []string{"alice", "alice", "bob", "bob", ""} {
			acting.Go(newActor(o, one, user, seed, 10*at+number).act(ctx))
		}
		acting.Go(newActor(o, one, "alice", seed, 10*at+8).watch(ctx))
		acting.Go(newActor(o, one, "bob", seed, 10*at+9).watch(ctx))
	}
	acting.Go(o.stopMembers(ctx, t, rand.New(rand.NewPCG(seed, 19))))
	for range max(30, member.Depth(orderChanges)) {
		o.change(t, random)
		time.Sleep(time.Duration(random.Int64N(int64(betweenChanges))))
	}
	stop()
	acting.Wait()
	o.judge(t)
	t.Logf("%d changes; %d deeds, %d refusals, %d events, %d watches cancelled (FAULT_SEED=%d)",
		len(o.changes), o.done.Load(), o.refused.Load(), o.told.Load(), o.cancelled.Load(), seed)
	for what, count := range map[string]int64{"done": o.done.Load(), "refused": o.refused.Load(), "told": o.told.Load(), "cancelled": o.cancelled.Load()} {
		if count == 0 {
			t.Errorf("nothing was %s: nothing was tested", what)
		}
	}
}

// change draws a change and makes it through any member.
func (o *order) change(t *testing.T, random *rand.Rand) {
	t.Helper()
	now := o.eras[len(o.eras)-1]
	change := draw(random, now, len(o.changes))
	s := as(t, rootUser, o.Members[random.IntN(len(o.Members))])
	defer s.Close()
	if change.ofAccounts {
		o.accounts.Lock()
		defer o.accounts.Unlock()
	}
	o.mutex.Lock()
	o.eras = append(o.eras, change.after)
	o.changes = append(o.changes, history.Change{Name: change.name, Call: o.now(), Return: history.Never})
	o.mutex.Unlock()
	header, err := change.make(s)
	if err != nil {
		t.Fatalf("%s: %v", change.name, err)
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	era := len(o.changes)
	o.changes[era-1].Return = o.now()
	// The change is in the log before the revision that its answer tells of is over.
	o.deeds = append(o.deeds, &history.Deed{Name: "the answer to " + change.name, Call: o.now(), Return: o.now(),
		Revision: header.Revision, Kind: history.Seen, Permitted: func(in int) bool { return in >= era }})
}

// stopMembers has one member after the other lag behind.
func (o *order) stopMembers(ctx context.Context, t *testing.T, random *rand.Rand) func() {
	moment := func(longest time.Duration) { time.Sleep(time.Duration(random.Int64N(int64(longest)))) }
	return func() {
		for ctx.Err() == nil {
			moment(betweenStops)
			one := o.Members[random.IntN(len(o.Members))]
			if err := one.Pause(); err != nil {
				t.Error(err)
			}
			moment(stoppedMax)
			if err := one.Resume(); err != nil {
				t.Error(err)
			}
		}
	}
}

// judge places what was done among the changes. Of writes without an answer the store knows what became of them.
func (o *order) judge(t *testing.T) {
	t.Helper()
	for value, revision := range o.stored(t) {
		wrote := o.written[value]
		switch {
		case wrote == nil:
			t.Errorf("%q is in the store, and nobody wrote it", value)
		case wrote.undone:
			t.Errorf("%s is in the store at revision %d, and its answer was an error", wrote.Name, revision)
		case wrote.Return == history.Never:
			wrote.Revision = revision
			o.deeds = append(o.deeds, &wrote.Deed)
		case wrote.Revision != revision:
			t.Errorf("%s is in the store at revision %d, and was answered at %d", wrote.Name, revision, wrote.Revision)
		}
	}
	if err := history.Judge(o.changes, o.deeds); err != nil {
		t.Error(err)
	}
}

// stored are the revisions of all values that were ever written, as a watcher is told.
func (o *order) stored(t *testing.T) map[string]int64 {
	t.Helper()
	through := o.Members[0]
	s := as(t, rootUser, through)
	marker := fmt.Sprint("the end ", time.Now().UnixNano())
	put, err := s.kv().Put(s, &pb.PutRequest{Key: []byte("marker"), Value: []byte(marker)})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := pb.NewWatchClient(s).Watch(s)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 1}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	stored := map[string]int64{}
	for {
		answer, err := stream.Recv()
		if err != nil || answer.Canceled {
			t.Fatalf("the store's history: %v, %v", answer, err)
		}
		for _, event := range answer.Events {
			if event.Kv.ModRevision == put.Header.Revision {
				return stored
			}
			if value := string(event.Kv.Value); value != "" {
				stored[value] = event.Kv.ModRevision
			}
		}
	}
}

// makeFirst makes the first rules.
func (o *order) makeFirst(t *testing.T) {
	t.Helper()
	s := as(t, rootUser, o.Members[0])
	rules := o.eras[0]
	steps := []error{}
	did := func(_ any, err error) { steps = append(steps, err) }
	did(s.auth().UserAdd(s, &pb.AuthUserAddRequest{Name: "root", Password: rootUser.Password}))
	did(s.auth().UserGrantRole(s, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	for role, grants := range rules.roles {
		did(s.auth().RoleAdd(s, &pb.AuthRoleAddRequest{Name: role}))
		for keys, kind := range grants {
			did(s.auth().RoleGrantPermission(s, &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: permission(keys, kind)}))
		}
	}
	for user, account := range rules.users {
		did(s.auth().UserAdd(s, &pb.AuthUserAddRequest{Name: user, Password: account.password}))
		for role := range account.roles {
			did(s.auth().UserGrantRole(s, &pb.AuthUserGrantRoleRequest{User: user, Role: role}))
		}
	}
	for at, err := range append(steps, s.enable()) {
		if err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
	}
	o.As(rootUser)
}

// logIn is the context of the calls of a user, and who he is in them: nobody while he does not exist or nothing counts.
func (o *order) logIn(ctx context.Context, user string, auth pb.AuthClient) (context.Context, string) {
	o.accounts.RLock()
	defer o.accounts.RUnlock()
	o.mutex.Lock()
	rules := o.eras[len(o.eras)-1]
	o.mutex.Unlock()
	account, there := rules.users[user]
	if !there {
		return ctx, ""
	}
	answer, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: user, Password: account.password})
	if err != nil {
		return ctx, ""
	}
	return metadata.AppendToOutgoingContext(ctx, "token", answer.Token), user
}
