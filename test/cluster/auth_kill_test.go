// Members that are killed around the changes of users and roles: what was answered holds on every member, what was not
// holds everywhere or nowhere.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	authRounds = 16 // at full depth
	// authKillMax is the latest moment of a kill after the change was asked for.
	authKillMax = 30 * time.Millisecond
	// writerPause lies before a writer asks for another token.
	writerPause = 5 * time.Millisecond
	// authKey is what app may or may not touch, touching how many of its puts are under way at each member.
	authKey, touching = "k", 4
)

// ruling is the cluster and what is known of its rules: nil where a change was not answered.
type ruling struct {
	*member.Cluster
	random             *rand.Rand
	enabled, permitted bool
}

// TestKilledAroundChangesOfRights makes rounds of a change (authentication on or off, a permission given or taken) and a
// member that is killed around it, while app writes: FAULT_SEED (1) chooses. No write that was asked for after a
// permission was taken may succeed.
func TestKilledAroundChangesOfRights(t *testing.T) {
	seed := member.Number(t, "FAULT_SEED", 1)
	running := member.StartCluster(t, "netcd", member.Netcd(), 3, "--bcrypt-cost=4")
	ruled(t, running, running.Leader(t), authKey)
	r := &ruling{Cluster: running, random: rand.New(rand.NewPCG(uint64(seed), 17)), enabled: true, permitted: true}
	answered := 0
	for round := range max(4, member.Depth(authRounds)) {
		if r.change(t, round) {
			answered++
		}
		r.agrees(t)
	}
	if answered == 0 {
		t.Error("no change was answered: nothing was tested")
	}
	t.Logf("%d changes were answered (FAULT_SEED=%d)", answered, seed)
}

// change makes one change through a member while another, or the same, is killed, and brings that back. It tells whether
// the change was answered.
func (r *ruling) change(t *testing.T, round int) bool {
	t.Helper()
	through := r.Members[r.random.IntN(len(r.Members))]
	victim := r.Members[r.random.IntN(len(r.Members))]
	root := as(t, rootUser, through)
	defer root.Close()
	toggle := round%2 == 0
	var change func() error
	switch {
	case toggle && r.enabled:
		change = root.disable
	case toggle:
		change = root.enable
	case r.permitted:
		change = func() error { return root.forbid(authKey) }
	default:
		change = func() error { return root.permit(authKey) }
	}
	writing, stop := context.WithCancel(t.Context())
	w := &writers{}
	if r.enabled {
		for _, one := range r.Members {
			w.start(writing, one)
		}
	}
	killed := make(chan error, 1)
	time.AfterFunc(time.Duration(r.random.Int64N(int64(authKillMax))), func() { killed <- victim.Kill() })
	err := change()
	if err == nil && !toggle && r.permitted {
		w.taken.Store(true)
		time.Sleep(2 * authKillMax)
	}
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	stop()
	w.Wait()
	if late := w.late.Load(); late > 0 {
		t.Errorf("%d writes were carried out that were asked for after the permission was taken: round %d", late, round)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	enabled, permitted := r.state(t)
	if changed := enabled != r.enabled || permitted != r.permitted; err == nil && !changed {
		t.Errorf("a change that was answered is lost: round %d", round)
	}
	r.enabled, r.permitted = enabled, permitted
	return err == nil
}

// writers put as app, whatever becomes of it.
type writers struct {
	sync.WaitGroup
	// taken is set when it was answered that app may not; late counts puts that began after that and were carried out.
	taken atomic.Bool
	late  atomic.Int64
}

func (w *writers) start(ctx context.Context, through *member.Member) {
	w.Go(func() {
		connection, err := through.Dial()
		if err != nil {
			panic(err)
		}
		defer connection.Close()
		var all sync.WaitGroup
		for range touching {
			all.Go(func() { w.write(ctx, connection) })
		}
		all.Wait()
	})
}

// write goes on whatever it is told; whose token is lost takes another.
func (w *writers) write(ctx context.Context, connection *grpc.ClientConn) {
	with, err := appUser.LogIn(ctx, connection)
	for ctx.Err() == nil {
		if err != nil {
			time.Sleep(writerPause)
			with, err = appUser.LogIn(ctx, connection)
			continue
		}
		taken := w.taken.Load()
		_, err = pb.NewKVClient(connection).Put(with, &pb.PutRequest{Key: []byte(authKey)})
		if taken && err == nil {
			w.late.Add(1)
		}
		if status.Code(err) == codes.PermissionDenied {
			err = nil
		}
	}
}

// state asks one member through the log.
func (r *ruling) state(t *testing.T) (enabled, permitted bool) {
	t.Helper()
	root := as(t, rootUser, r.Members[0])
	defer root.Close()
	status, err := root.auth().AuthStatus(root, &pb.AuthStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	role, err := root.auth().RoleGet(root, &pb.AuthRoleGetRequest{Role: "app"})
	if err != nil {
		t.Fatal(err)
	}
	return status.Enabled, len(role.Perm) > 0
}

// agrees checks every member's revision and rules, and what it lets app and nobody do.
func (r *ruling) agrees(t *testing.T) {
	t.Helper()
	app, nobody := "OK", "OK"
	if r.enabled {
		nobody = "InvalidArgument: etcdserver: user name is empty"
		if !r.permitted {
			app = "PermissionDenied: etcdserver: permission denied"
		}
	}
	first := ""
	for _, one := range r.Members {
		told := rights(t, one, authKey)
		if first == "" {
			first = told
		}
		expected := fmt.Sprintf("; %s: put %[2]s, get %[2]s, what the member has %[2]s", authKey, app)
		if told != first || told[max(0, len(told)-len(expected)):] != expected {
			t.Errorf("%s: %s; m1: %s; expected at its end: %s", one.Label, told, first, expected)
		}
		connection := one.Connect(t)
		for _, serializable := range []bool{false, true} {
			_, err := pb.NewKVClient(connection).Range(t.Context(), &pb.RangeRequest{Key: []byte(authKey), Serializable: serializable})
			if outcome := member.Outcome(err); outcome != nobody {
				t.Errorf("%s answers nobody with %s, expected %s", one.Label, outcome, nobody)
			}
		}
		connection.Close()
	}
}
