package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// tokenSeconds is how long a token lasts that is not used; a server looks for such every second.
	tokenSeconds   = 1
	authStoryMax   = 3 * time.Minute
	authRetryPause = 50 * time.Millisecond
	// authCallMax is longer than an election, and short enough to ask again.
	authCallMax = 5 * time.Second
	// renewedSeconds is a lease that is renewed every three seconds.
	renewedSeconds = 9
)

// TestUserOverEverything is the life of a user of the Go client, on netcd and on etcd: his token runs out, every member
// restarts and forgets it, the leadership moves, and at last somebody changes his password. Nothing of the first three
// may reach the caller, his watch or his lease.
func TestUserOverEverything(t *testing.T) {
	var netcd, etcd string
	t.Run("stories", func(t *testing.T) {
		tell := func(label, binary string, told *string) {
			t.Run(label, func(t *testing.T) {
				t.Parallel()
				*told = userStory(t, label, binary)
			})
		}
		tell("netcd", member.Netcd(), &netcd)
		tell("etcd", member.Etcd(), &etcd)
	})
	if netcd != etcd {
		t.Errorf("netcd:\n%s\netcd:\n%s", netcd, etcd)
	}
}

func userStory(t *testing.T, label, binary string) string {
	running := member.StartCluster(t, label, binary, 3, fmt.Sprintf("--auth-token-ttl=%d", tokenSeconds), "--bcrypt-cost=4")
	ctx, cancel := context.WithTimeout(t.Context(), authStoryMax)
	defer cancel()
	root := member.User{Name: "root", Password: "rootpw"}
	rule(ctx, t, clientOf(t, running, member.User{}))
	running.As(root)
	app := clientOf(t, running, member.User{Name: "app", Password: "apppw"})
	s := &userLife{t: t, ctx: ctx, running: running, client: app}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events := app.Watch(watching, "app/", clientv3.WithPrefix())
	renewals, err := app.KeepAlive(ctx, grant(t, ctx, app, renewedSeconds, "app/leased"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("at the beginning")
	s.untilTokensEnd()
	s.put("with another token")
	leader := running.Leader(t)
	for _, one := range running.Members {
		if one != leader {
			s.restart(one)
		}
	}
	s.moveLeader(leader, root)
	s.put("with another leader")
	s.restart(leader)
	s.sees(events)
	s.renewed(renewals)
	s.tell("a key of others: %s", outcomeOf(app.Put(ctx, "other", "v")))
	if _, err := clientOf(t, running, root).UserChangePassword(ctx, "app", "newpw"); err != nil {
		t.Fatal(err)
	}
	s.tell("with the password of before: %s", outcomeOf(app.Put(ctx, "app/k", "v")))
	s.client = clientOf(t, running, member.User{Name: "app", Password: "newpw"})
	s.put("with the new password")
	return strings.Join(s.told, "\n")
}

// rule makes the users and switches authentication on.
func rule(ctx context.Context, t *testing.T, client *clientv3.Client) {
	t.Helper()
	for _, step := range []func() error{
		func() error { _, err := client.UserAdd(ctx, "root", "rootpw"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := client.RoleGrantPermission(ctx, "app", "app/", clientv3.GetPrefixRangeEnd("app/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := client.UserAdd(ctx, "app", "apppw"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "app", "app"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// clientOf is one of all members; without a name of nobody.
func clientOf(t *testing.T, running *member.Cluster, user member.User) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(running.Endpoints(), ","), DialTimeout: waitMax,
		Username: user.Name, Password: user.Password})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// userLife is a user's client and what became of its calls.
type userLife struct {
	t       *testing.T
	ctx     context.Context
	running *member.Cluster
	client  *clientv3.Client
	told    []string
	// wrote are the values in order, of which every one was answered.
	wrote []string
}

func (s *userLife) tell(format string, values ...any) {
	s.told = append(s.told, fmt.Sprintf(format, values...))
}

// put writes and reads through the client, which may be told that a member is gone, and never anything about its token.
func (s *userLife) put(value string) {
	s.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(s.ctx, authCallMax)
		_, err := s.client.Put(ctx, "app/k", value)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) && codeOf(err) != codes.Unavailable || s.ctx.Err() != nil {
			s.t.Fatalf("put %q: %v", value, err)
		}
		time.Sleep(authRetryPause)
	}
	s.wrote = append(s.wrote, value)
	found, err := s.client.Get(s.ctx, "app/k")
	if err != nil || len(found.Kvs) != 1 || string(found.Kvs[0].Value) != value {
		s.t.Fatalf("get after put of %q: %v, %v", value, found, err)
	}
	s.tell("%s: OK", value)
}

// untilTokensEnd waits until a token that nobody uses is refused.
func (s *userLife) untilTokensEnd() {
	s.t.Helper()
	connection := s.running.Members[0].Connect(s.t)
	// Each look at it would renew it: so the waits become longer.
	for wait := 2 * tokenSeconds * time.Second; ; wait += time.Second {
		ctx, err := member.User{Name: "app", Password: "apppw"}.LogIn(s.ctx, connection)
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(wait)
		if _, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("app/k")}); err != nil {
			s.tell("a token that nobody used: %s", member.Outcome(err))
			return
		}
	}
}

// restart kills a member that does not lead and starts it again. Were it the leader, a watch that is opened anew would
// find none to ask for a token, and etcd's client gives a watch up for that.
func (s *userLife) restart(one *member.Member) {
	s.t.Helper()
	if err := one.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.put(fmt.Sprintf("restart %d, while it is gone", len(s.wrote)))
	if err := one.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.put(fmt.Sprintf("restart %d, when it is back", len(s.wrote)))
}

// moveLeader makes another member lead.
func (s *userLife) moveLeader(leader *member.Member, root member.User) {
	s.t.Helper()
	for _, next := range s.running.Members {
		if next == leader {
			continue
		}
		status, err := next.Status()
		if err != nil {
			s.t.Fatal(err)
		}
		connection := leader.Connect(s.t)
		ctx, err := root.LogIn(s.ctx, connection)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := pb.NewMaintenanceClient(connection).MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: status.Header.MemberId}); err != nil {
			s.t.Fatal(err)
		}
		return
	}
}

// sees compares the events of the user's watch with what he wrote: a put that was repeated may be there twice.
func (s *userLife) sees(events clientv3.WatchChan) {
	s.t.Helper()
	var seen []string
	for len(seen) < len(s.wrote) {
		select {
		case response, open := <-events:
			if !open || response.Err() != nil {
				s.t.Fatalf("the watch has ended after %q: %v", seen, response.Err())
			}
			for _, event := range response.Events {
				value := string(event.Kv.Value)
				if string(event.Kv.Key) == "app/k" && (len(seen) == 0 || seen[len(seen)-1] != value) {
					seen = append(seen, value)
				}
			}
		case <-s.ctx.Done():
			s.t.Fatalf("of %q the watch saw %q", s.wrote, seen)
		}
	}
	expect(s.t, seen, s.wrote...)
}

// renewed leaves out what came before and waits for the next renewal.
func (s *userLife) renewed(renewals <-chan *clientv3.LeaseKeepAliveResponse) {
	s.t.Helper()
	for len(renewals) > 0 {
		<-renewals
	}
	select {
	case renewal, open := <-renewals:
		if !open || renewal.TTL != renewedSeconds {
			s.t.Fatalf("the lease is not renewed any more: %v", renewal)
		}
	case <-s.ctx.Done():
		s.t.Fatal("no renewal comes")
	}
}

// codeOf also knows the errors that the client makes of those of gRPC.
func codeOf(err error) codes.Code {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code()
	}
	return status.Code(err)
}

func outcomeOf(_ any, err error) string {
	if err == nil {
		return "OK"
	}
	return err.Error()
}
