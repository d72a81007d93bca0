// Users by the common names of their certificates, beside those of passwords and tokens: etcdctl 3.7 and 3.4, Go's
// client and HTTP, with simple tokens and JWTs.
package compat

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"netcd.test/member"
)

// certified are the clients' certificates by the name of what is in them; "" is the one without a common name.
type certified struct {
	files *member.Certificates
	pairs map[string]*member.Pair
}

func newCertified(t *testing.T) *certified {
	t.Helper()
	c := &certified{files: member.NewCertificates(t), pairs: map[string]*member.Pair{}}
	for _, name := range []string{"root", "alice", "stranger", ""} {
		c.pairs[name] = c.files.CA.Issue(t, "user-"+name, member.Leaf{CommonName: name, Organization: "org"})
	}
	return c
}

func (c *certified) connect(t *testing.T, server *member.Member, name string) *grpc.ClientConn {
	t.Helper()
	config := c.files.Config(c.pairs[name])
	connection, err := grpc.NewClient("passthrough:///"+server.Endpoint(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// ctl is one command of etcdctl by a certificate, with what it printed.
func (c *certified) ctl(t *testing.T, etcdctl string, to *target, name string, arguments ...string) string {
	t.Helper()
	pair := c.pairs[name]
	line := append([]string{"--endpoints=https://" + to.server.Endpoint(), "--cacert=" + c.files.CA.CertFile,
		"--cert=" + pair.CertFile, "--key=" + pair.KeyFile}, arguments...)
	ctx, cancel := context.WithTimeout(t.Context(), commandWaitMax)
	defer cancel()
	command := exec.CommandContext(ctx, etcdctl, line...)
	command.Env = append(environment(), "ETCDCTL_API=3")
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); ctx.Err() != nil {
		t.Fatalf("etcdctl %q: %v", arguments, err)
	}
	return fmt.Sprintf("exit %d\n  stdout %q\n  stderr %q", command.ProcessState.ExitCode(),
		to.masked(stdout.String()), to.masked(withoutWarnings(stderr.String())))
}

// setUpUsers makes root, alice with what begins by a, and turns authentication on.
var setUpUsers = [][]string{
	{"user", "add", "root:r"}, {"user", "grant-role", "root", "root"}, {"user", "add", "alice:a"},
	{"role", "add", "as"}, {"role", "grant-permission", "as", "readwrite", "a", "b"}, {"user", "grant-role", "alice", "as"},
	{"auth", "enable"},
}

var userCommands = [][]string{
	{"put", "a1", "v"}, {"get", "a1"}, {"put", "z1", "v"}, {"get", "z1"}, {"get", "a", "b"}, {"del", "a1"},
	{"user", "list"}, {"user", "get", "alice"}, {"user", "get", "root"}, {"role", "list"}, {"role", "get", "as"}, {"auth", "status"},
	{"endpoint", "status"}, {"endpoint", "health"}, {"member", "list"}, {"alarm", "list"}, {"compaction", "1"}, {"lease", "list"},
	{"put", "a2", "v", "--user=alice:a"}, {"get", "z1", "--user=alice:a"}, {"get", "z1", "--user=root:r"},
	{"get", "a1", "--user=alice:wrong"}, {"user", "list", "--user=root:r"},
}

// commands are those of one etcdctl: every certificate in 3.7, two of them in the older one, which is as they were.
func (c *certified) compareCommands(t *testing.T, p *pair, version string, names []string, commands [][]string) {
	t.Helper()
	etcdctl := member.Reference(version)
	member.Need(t, etcdctl)
	targets := []*target{{server: p.servers[0], masks: []string{p.servers[0].Endpoint(), "ENDPOINT"}},
		{server: p.servers[1], masks: []string{p.servers[1].Endpoint(), "ENDPOINT"}}}
	for at, to := range targets {
		status, err := pb.NewMaintenanceClient(c.connect(t, p.servers[at], "root")).Status(t.Context(), &pb.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		to.masks = append(to.masks, strings.TrimPrefix(to.server.PeerURL, "http://"), "PEER")
		for name, id := range map[string]uint64{"CLUSTER": status.Header.ClusterId, "MEMBER": status.Header.MemberId} {
			to.masks = append(to.masks, fmt.Sprintf("%d", id), name, fmt.Sprintf("%016x", id), name, fmt.Sprintf("%x", id), name)
		}
	}
	for _, name := range names {
		for _, command := range commands {
			answers := make(chan [2]string, 1)
			go func() { answers <- [2]string{c.ctl(t, etcdctl, targets[1], name, command...)} }()
			ours := c.ctl(t, etcdctl, targets[0], name, command...)
			p.compared++
			if theirs := (<-answers)[0]; ours != theirs {
				p.differ(fmt.Sprintf("%s %q by the certificate of %q", version, command, name), ours, theirs)
			}
		}
	}
}

// calls compares what Go's client is answered, by certificate and token.
func (c *certified) calls(t *testing.T, p *pair) {
	t.Helper()
	for _, shown := range []string{"root", "alice", "stranger", ""} {
		for _, given := range []struct{ what, key, user, token string }{
			{what: "no token"}, {what: "a token of alice", key: "token", user: "alice"}, {what: "a token of root", key: "token", user: "root"},
			{what: "a bearer of alice", key: "authorization", user: "alice"}, {what: "junk", key: "token", token: "junk"},
			{what: "junk as authorization", key: "authorization", token: "Bearer junk"}, {what: "an empty token", key: "token"},
		} {
			var said [2]string
			for at, server := range p.servers {
				said[at] = strings.Join(c.call(t, server, shown, given.key, given.user, given.token), "\n  ")
			}
			p.compared++
			if said[0] != said[1] {
				p.differ(fmt.Sprintf("calls by the certificate of %q with %s", shown, given.what), said[0], said[1])
			}
		}
	}
}

// call makes one of each kind of call, as somebody, and tells the outcomes.
func (c *certified) call(t *testing.T, server *member.Member, shown, key, user, token string) []string {
	t.Helper()
	connection := c.connect(t, server, shown)
	ctx, cancel := context.WithTimeout(t.Context(), callWaitMax)
	defer cancel()
	if user != "" {
		answer, err := pb.NewAuthClient(connection).Authenticate(ctx, &pb.AuthenticateRequest{Name: user, Password: user[:1]})
		if err != nil {
			t.Fatal(server.Label, err)
		}
		token = answer.Token
	}
	if key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, key, token)
	}
	var said []string
	tell := func(what string, err error) { said = append(said, what+": "+member.Outcome(err)) }
	_, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("a1")})
	tell("range", err)
	_, err = pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("z1"), Serializable: true})
	tell("serializable range", err)
	_, err = pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: []byte("z2")})
	tell("put", err)
	_, err = pb.NewKVClient(connection).Txn(ctx, &pb.TxnRequest{})
	tell("empty txn", err)
	_, err = pb.NewAuthClient(connection).UserList(ctx, &pb.AuthUserListRequest{})
	tell("users", err)
	_, err = pb.NewLeaseClient(connection).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 1000})
	tell("lease", err)
	_, err = pb.NewMaintenanceClient(connection).Status(ctx, &pb.StatusRequest{})
	tell("status", err)
	_, err = pb.NewMaintenanceClient(connection).Alarm(ctx, &pb.AlarmRequest{})
	tell("alarms", err)
	_, err = pb.NewMaintenanceClient(connection).Defragment(ctx, &pb.DefragmentRequest{})
	tell("defragment", err)
	_, err = pb.NewClusterClient(connection).MemberList(ctx, &pb.MemberListRequest{})
	tell("members", err)
	return append(said, "watch: "+watchOutcome(ctx, connection, "z1"))
}

// watchOutcome is what the creation of a watch is answered.
func watchOutcome(ctx context.Context, connection *grpc.ClientConn, key string) string {
	stream, err := pb.NewWatchClient(connection).Watch(ctx)
	if err != nil {
		return member.Outcome(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte(key)}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return member.Outcome(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return member.Outcome(err)
	}
	return fmt.Sprintf("canceled %v %q", answer.Canceled, answer.CancelReason)
}

// gateway compares HTTP by certificates, with a token and without.
func (c *certified) gateway(t *testing.T, p *pair) {
	t.Helper()
	for _, shown := range []string{"root", "alice", "stranger", ""} {
		for _, path := range []string{"/v3/kv/range", "/v3/auth/user/list", "/v3/maintenance/status", "/version", "/health", "/v3/nothing"} {
			var said [2]string
			for at, server := range p.servers {
				said[at] = c.posted(t, server, shown, path)
			}
			p.compared++
			if said[0] != said[1] {
				p.differ(fmt.Sprintf("POST %s by the certificate of %q", path, shown), said[0], said[1])
			}
		}
	}
}

func (c *certified) posted(t *testing.T, server *member.Member, shown, path string) string {
	t.Helper()
	client := &http.Client{Timeout: callWaitMax, Transport: &http.Transport{TLSClientConfig: c.files.Config(c.pairs[shown]), DisableKeepAlives: true}}
	body := `{"key":"YTE="}`
	if path == "/v3/auth/user/list" || path == "/v3/maintenance/status" {
		body = "{}"
	}
	answer, err := client.Post(server.ClientURL+path, "application/json", strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	if strings.Contains(string(text), `"header"`) {
		text = []byte("an answer")
	}
	return fmt.Sprintf("%s %s", answer.Status, text)
}

func TestTLSUsers(t *testing.T) {
	c := newCertified(t)
	certified := c.files.ClientFlags()
	for _, how := range []struct {
		name  string
		flags []string
		light bool
	}{
		{"simple tokens", certified, false},
		{"JWT", append(hmacFlags(t), certified...), true},
		// Certificates are demanded, and make nobody a user.
		{"without client-cert-auth", append(member.ServerFlags(c.files.Server), "--trusted-ca-file="+c.files.CA.CertFile), true},
	} {
		t.Run(how.name, func(t *testing.T) {
			place := member.Place{TLS: &member.TLS{Client: c.files.Config(c.pairs["root"])}}
			netcd, etcd := member.StartPairAt(t, place, how.flags...)
			p := &pair{t: t, what: "users of TLS, " + how.name, codes: map[uint32]int{}, servers: []*member.Member{netcd, etcd}}
			defer p.report()
			awaitClusterVersion(t, p)
			c.compareCommands(t, p, "etcdctl", []string{"root"}, setUpUsers)
			c.calls(t, p)
			c.gateway(t, p)
			if how.light && !member.FullDepth() {
				return
			}
			c.compareCommands(t, p, "etcdctl", []string{"root", "alice", "stranger", ""}, userCommands)
			c.compareCommands(t, p, "etcdctl-3.4", []string{"root", "alice", ""}, userCommands)
		})
	}
}

// TestTLSUsersFollowTheTable: who a connection's certificate names is asked of the table of users as it is when a call
// comes, beside etcd.
func TestTLSUsersFollowTheTable(t *testing.T) {
	c := newCertified(t)
	place := member.Place{TLS: &member.TLS{Client: c.files.Config(c.pairs["root"])}}
	netcd, etcd := member.StartPairAt(t, place, c.files.ClientFlags()...)
	for _, server := range []*member.Member{netcd, etcd} {
		root, alice := c.connect(t, server, "root"), pb.NewKVClient(c.connect(t, server, "alice"))
		auth := pb.NewAuthClient(root)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		expect := func(when, expected string) {
			t.Helper()
			_, err := alice.Put(ctx, &pb.PutRequest{Key: []byte("a")})
			if said := member.Outcome(err); said != expected {
				t.Errorf("%s, %s: %s, not %s", server.Label, when, said, expected)
			}
		}
		do := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(server.Label, err)
			}
		}
		const denied = "PermissionDenied: etcdserver: permission denied"
		expect("authentication off", "OK")
		do(auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "r"}))
		do(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
		do(auth.AuthEnable(ctx, &pb.AuthEnableRequest{}))
		expect("no such user", denied)
		do(auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "alice", Options: nil, Password: "a"}))
		expect("without a role", denied)
		do(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "root"}))
		expect("with a role", "OK")
		do(auth.UserRevokeRole(ctx, &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "root"}))
		expect("the role taken", denied)
		do(auth.UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: "alice"}))
		expect("the user gone", denied)
		do(auth.AuthDisable(ctx, &pb.AuthDisableRequest{}))
		expect("authentication off again", "OK")
	}
}
