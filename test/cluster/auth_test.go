// Users and roles on several members: what a member that was away is given, a learner that is promoted through a
// follower. What follows when members are killed around the changes is in auth_kill_test.go.
package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

var (
	rootUser = member.User{Name: "root", Password: "rootpw"}
	appUser  = member.User{Name: "app", Password: "apppw"}
)

// session is a connection to one member as one user.
type session struct {
	context.Context
	*grpc.ClientConn
}

// as logs in through one member; it is asked again while the member has no leader.
func as(t *testing.T, user member.User, through *member.Member) session {
	t.Helper()
	connection := through.Connect(t)
	deadline := time.Now().Add(settleMax)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
		with, err := user.LogIn(ctx, connection)
		if err == nil {
			t.Cleanup(cancel)
			return session{with, connection}
		}
		cancel()
		if time.Now().After(deadline) {
			t.Fatalf("%s does not log in at %s: %v", user.Name, through.Label, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s session) auth() pb.AuthClient { return pb.NewAuthClient(s) }
func (s session) kv() pb.KVClient     { return pb.NewKVClient(s) }

func (s session) put(key string) error {
	_, err := s.kv().Put(s, &pb.PutRequest{Key: []byte(key), Value: []byte("v")})
	return err
}

func (s session) get(key string, serializable bool) error {
	_, err := s.kv().Range(s, &pb.RangeRequest{Key: []byte(key), Serializable: serializable})
	return err
}

// permit and forbid change what the role app may do with one key.
func (s session) permit(key string) error {
	_, err := s.auth().RoleGrantPermission(s, &pb.AuthRoleGrantPermissionRequest{Name: "app",
		Perm: &authpb.Permission{PermType: authpb.READWRITE, Key: []byte(key)}})
	return err
}

func (s session) forbid(key string) error {
	_, err := s.auth().RoleRevokePermission(s, &pb.AuthRoleRevokePermissionRequest{Role: "app", Key: []byte(key)})
	return err
}

func (s session) enable() error {
	_, err := s.auth().AuthEnable(s, &pb.AuthEnableRequest{})
	return err
}
func (s session) disable() error {
	_, err := s.auth().AuthDisable(s, &pb.AuthDisableRequest{})
	return err
}

// ruled makes root and app, who may read and write the keys, and switches authentication on.
func ruled(t *testing.T, running *member.Cluster, through *member.Member, keys ...string) {
	t.Helper()
	s := as(t, rootUser, through)
	steps := []error{}
	did := func(_ any, err error) { steps = append(steps, err) }
	did(s.auth().UserAdd(s, &pb.AuthUserAddRequest{Name: "root", Password: rootUser.Password}))
	did(s.auth().UserGrantRole(s, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	did(s.auth().RoleAdd(s, &pb.AuthRoleAddRequest{Name: "app"}))
	did(s.auth().UserAdd(s, &pb.AuthUserAddRequest{Name: "app", Password: appUser.Password}))
	did(s.auth().UserGrantRole(s, &pb.AuthUserGrantRoleRequest{User: "app", Role: "app"}))
	for _, key := range keys {
		steps = append(steps, s.permit(key))
	}
	for at, err := range append(steps, s.enable()) {
		if err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
	}
	running.As(rootUser)
}

// rights is what a member itself says of users and roles, and what app may do there with the keys.
func rights(t *testing.T, one *member.Member, keys ...string) string {
	t.Helper()
	root := as(t, rootUser, one)
	status, err := root.auth().AuthStatus(root, &pb.AuthStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	role, err := root.auth().RoleGet(root, &pb.AuthRoleGetRequest{Role: "app"})
	if err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprintf("enabled %v, revision %d, role %v", status.Enabled, status.AuthRevision, role.Perm)
	app := as(t, appUser, one)
	for _, key := range keys {
		told += fmt.Sprintf("; %s: put %s, get %s, what the member has %s", key, member.Outcome(app.put(key)),
			member.Outcome(app.get(key, false)), member.Outcome(app.get(key, true)))
	}
	return told
}

// TestRightsComeWithTheStore is etcd's 14409, 14648 and 13205: a member that was away while users and permissions were
// made and authentication was switched on has the same rights as the others once it has their store, its tokens work,
// and leases end when it leads; also when it starts again from what it was given.
func TestRightsComeWithTheStore(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3,
		"--snapshot-count=50", "--snapshot-catchup-entries=20", "--log-level=debug", "--bcrypt-cost=4")
	leader := running.Leader(t)
	away := otherThan(running.Members, leader)
	rest := []*member.Member{leader, otherThan(running.Members, leader, away)}
	index := killed(t, away)
	ruled(t, running, leader, "kept", "taken")
	root := as(t, rootUser, leader)
	for _, err := range []error{root.forbid("taken"), root.permit("given")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writePast(t, rest, index)
	if err := away.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := away.AwaitLog(`"applied snapshot"`); err != nil {
		t.Fatal(err)
	}
	if err := away.AwaitServing(); err != nil {
		t.Fatal(err)
	}
	sameRights(t, running)
	if err := away.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	sameRights(t, running)
	if leader = running.Leader(t); leader != away {
		moveTo(t.Context(), t, leader, away)
	}
	leaseEnds(t, away)
}

// sameRights compares what the members say, and what they let app do, with what was decided.
func sameRights(t *testing.T, running *member.Cluster) {
	t.Helper()
	first := ""
	for _, one := range running.Members {
		told := rights(t, one, "kept", "taken", "given", "other")
		if first == "" {
			first = told
		}
		if told != first {
			t.Errorf("%s: %s\n%s: %s", running.Members[0].Label, first, one.Label, told)
		}
	}
	allowed, refused := "put OK, get OK, what the member has OK", "put %[1]s, get %[1]s, what the member has %[1]s"
	refused = fmt.Sprintf(refused, "PermissionDenied: etcdserver: permission denied")
	for key, expected := range map[string]string{"kept": allowed, "given": allowed, "taken": refused, "other": refused} {
		if !strings.Contains(first, key+": "+expected) || !strings.HasPrefix(first, "enabled true") {
			t.Errorf("%s should be: %s; it is: %s", key, expected, first)
		}
	}
}

// leaseEnds grants a lease through a member and waits until it is gone.
func leaseEnds(t *testing.T, through *member.Member) {
	t.Helper()
	root := as(t, rootUser, through)
	leases := pb.NewLeaseClient(root)
	lease, err := leases.LeaseGrant(root, &pb.LeaseGrantRequest{TTL: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.kv().Put(root, &pb.PutRequest{Key: []byte("leased"), Lease: lease.ID}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(settleMax); ; time.Sleep(50 * time.Millisecond) {
		// It is asked for anew as long as it takes: the context of a session is that of one call.
		root = as(t, rootUser, through)
		found, err := root.kv().Range(root, &pb.RangeRequest{Key: []byte("leased")})
		if err != nil {
			t.Fatal(err)
		}
		if found.Count == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a lease of a second is there after %v", settleMax)
		}
	}
}

// TestPromotionThroughAFollower is etcd's 20874: a follower hands the promotion of a learner to the leader, as who asked.
func TestPromotionThroughAFollower(t *testing.T) {
	running := member.StartCluster(t, "netcd", member.Netcd(), 3, "--bcrypt-cost=4")
	leader := running.Leader(t)
	ruled(t, running, leader, "k")
	joining := running.Join(t)
	root := as(t, rootUser, leader)
	added := settled(t, "etcdserver: unhealthy cluster", func() error {
		_, err := pb.NewClusterClient(root).MemberAdd(root, &pb.MemberAddRequest{PeerURLs: []string{joining.PeerURL}, IsLearner: true})
		return err
	})
	if added != "OK" {
		t.Fatal(added)
	}
	joining.As(rootUser)
	running.Start(t, joining)
	if err := joining.AwaitLog("ready to serve client requests"); err != nil {
		t.Fatal(err)
	}
	follower := otherThan(running.Members, leader, joining)
	promote := func(s session) error {
		list, err := pb.NewClusterClient(root).MemberList(root, &pb.MemberListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range list.Members {
			if one.IsLearner {
				_, err := pb.NewClusterClient(s).MemberPromote(s, &pb.MemberPromoteRequest{ID: one.ID})
				return err
			}
		}
		t.Fatal("there is no learner")
		return nil
	}
	for who, expected := range map[string]string{"nobody": "InvalidArgument: etcdserver: user name is empty", "app": "PermissionDenied: etcdserver: permission denied"} {
		s := session{t.Context(), follower.Connect(t)}
		if who == "app" {
			s = as(t, appUser, follower)
		}
		if outcome := member.Outcome(promote(s)); outcome != expected {
			t.Errorf("%s promotes: %s, expected %s", who, outcome, expected)
		}
	}
	asked := as(t, rootUser, follower)
	if outcome := settled(t, "etcdserver: can only promote a learner member which is in sync with leader", func() error { return promote(asked) }); outcome != "OK" {
		t.Errorf("root promotes: %s", outcome)
	}
	if err := joining.AwaitServing(); err != nil {
		t.Fatal(err)
	}
}
