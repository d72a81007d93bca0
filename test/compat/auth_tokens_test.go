// Tokens of both kinds: what a JWT must hold, what may not be logged, and what becomes of streams whose token ends.
package compat

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestJWTClaims is etcd's 15676 and its siblings: a token that lacks something is an invalid one, and ends no server.
func TestJWTClaims(t *testing.T) {
	p, _ := startWithAuth(t, "claims", withUser("plain", "plainpw", permitCall("plain", authpb.READ, "a", "")), hmacFlags(t)...)
	defer p.report()
	revision := authRevision(t, p.servers[1])
	hour := time.Now().Add(time.Hour).Unix()
	type body = map[string]any
	right := body{"username": "plain", "revision": revision, "exp": hour}
	without := func(name string) body {
		made := body{}
		for key, value := range right {
			if key != name {
				made[key] = value
			}
		}
		return made
	}
	with := func(name string, value any) body {
		made := without(name)
		made[name] = value
		return made
	}
	token := signedHS256(right)
	parts := strings.Split(token, ".")
	other := strings.Split(signedHS256(with("username", "root")), ".")
	for _, one := range []struct{ name, token, outcome string }{
		{"right", token, "OK"},
		{"no end", signedHS256(without("exp")), "OK"},
		{"issued in the future", signedHS256(with("iat", hour)), "OK"},
		{"no username", signedHS256(without("username")), invalidToken},
		{"no revision", signedHS256(without("revision")), invalidToken},
		{"no claims", signedHS256(body{}), invalidToken},
		{"username is a number", signedHS256(with("username", 5)), invalidToken},
		{"revision is a text", signedHS256(with("revision", "5")), invalidToken},
		{"claims are a list", signedHS256([]int{1}), invalidToken},
		{"over", signedHS256(with("exp", time.Now().Add(-time.Minute).Unix())), invalidToken},
		{"not yet", signedHS256(with("nbf", hour)), invalidToken},
		{"old", signedHS256(with("revision", revision-1)), oldRevision},
		{"no revision yet", signedHS256(with("revision", 0)), emptyName},
		{"newer", signedHS256(with("revision", revision+1)), oldRevision},
		{"no user of that name", signedHS256(with("username", "nope")), denied},
		{"not signed", unsigned("none", right) + ".", invalidToken},
		{"another method", unsigned("HS512", right) + "." + parts[2], invalidToken},
		{"another's signature", other[0] + "." + other[1] + "." + parts[2], invalidToken},
		{"no signature", parts[0] + "." + parts[1] + ".", invalidToken},
		{"two parts", parts[0] + "." + parts[1], invalidToken},
	} {
		who := withJunk(one.token)
		who.name = one.name
		p.expect(who, rangeCall(&pb.RangeRequest{Key: []byte("a")}), one.outcome)
	}
	requireAlive(p)
}

// TestSecretsAreNotLogged is CVE-2021-28235 and the tokens in etcd's logs: neither log nor page nor metric nor disk of
// a server that logs all it can has a password or a token.
func TestSecretsAreNotLogged(t *testing.T) {
	secrets := []string{"rootsecretpw", "firstsecretpw", "secondsecretpw", "wrongsecretpw"}
	netcd, etcd := member.StartPair(t, "--log-level=debug", "--bcrypt-cost=4")
	for _, server := range []*member.Member{netcd, etcd} {
		onServer(t, server, nil, userAddCall("root", secrets[0]), grantRoleCall("root", "root"), enableCall())
		root := loggedIn(t, server, "root", secrets[0])
		onServer(t, server, root, userAddCall("u", secrets[1]), changePasswordCall("u", secrets[2]), userAddCall("u", secrets[3]))
		u := loggedIn(t, server, "u", secrets[2])
		onServer(t, server, nil, authenticateCall("u", secrets[3]), authenticateCall("nope", secrets[3]))
		onServer(t, server, u, userListCall(), putCall(&pb.PutRequest{Key: []byte("a")}))
		onServer(t, server, root, userDeleteCall("u"))
		onServer(t, server, u, rangeCall(&pb.RangeRequest{Key: []byte("a")}))
		onServer(t, server, root, putCall(&pb.PutRequest{Key: []byte("last of all")}))
		told := map[string]string{}
		for _, path := range []string{"/debug/requests?fam=grpc.Recv.etcdserverpb.Auth&b=0&exp=1", "/debug/requests", "/debug/events", "/debug/vars", "/metrics"} {
			told[path] = pageOf(t, server, path)
		}
		log, err := server.Log()
		if err != nil {
			t.Fatal(err)
		}
		told["the log"] = log
		for where, text := range told {
			for _, one := range append(secrets, root[1], u[1]) {
				if strings.Contains(text, one) {
					t.Errorf("%s: %s has %q", server.Label, where, one)
				}
			}
		}
		if !strings.Contains(log, "debug") {
			t.Errorf("%s does not log what it debugs", server.Label)
		}
		for _, one := range secrets {
			if files := filesWith(t, server.DataDir, one); len(files) > 0 {
				t.Errorf("%s: %v have %q", server.Label, files, one)
			}
		}
	}
}

func pageOf(t *testing.T, server *member.Member, path string) string {
	t.Helper()
	answer, err := http.Get(server.ClientURL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRefusedWatch is about a stream of which one watch is refused: the others go on, and a watch that is asked for when
// the token has ended is refused with the reason.
func TestRefusedWatch(t *testing.T) {
	p, root := startWithAuth(t, "refused watches", withUser("reader", "readerpw", permitCall("reader", authpb.READ, "a", "b")))
	defer p.report()
	reader := p.logIn("reader", "readerpw")
	var told [2]string
	for at, server := range p.servers {
		token := []string{reader.netcd, reader.etcd}[at]
		asRoot := []string{"token", []string{root.netcd, root.etcd}[at]}
		w, err := openWatch(server.Connect(t), "token", token)
		if err != nil {
			t.Fatal(err)
		}
		defer w.cancel()
		var answers []string
		create := func(key, end string) {
			created, err := w.create(&pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte(end)})
			if err != nil {
				t.Fatalf("%s: %v", server.Label, err)
			}
			answers = append(answers, fmt.Sprintf("%q to %q: watch %d, created %v, canceled %v, %q", key, end, created.WatchId,
				created.Created, created.Canceled, created.CancelReason))
		}
		create("a", "b")
		create("b", "")
		create("", "\x00")
		create("a", "\x00")
		create("a1", "")
		if outcome := onServer(t, server, asRoot, putCall(&pb.PutRequest{Key: []byte("a1")})); outcome != "OK" {
			t.Fatal(outcome)
		}
		if err := w.await("both watchers' event", func() bool { return w.events >= 2 }); err != nil {
			t.Fatal(err)
		}
		// Whoever was deleted and made again is another user.
		onServer(t, server, asRoot, userDeleteCall("reader"), userAddCall("reader", "readerpw"), grantRoleCall("reader", "reader"))
		create("a", "b")
		told[at] = strings.Join(answers, "\n  ")
	}
	if told[0] != told[1] {
		t.Errorf("netcd:\n  %s\netcd:\n  %s", told[0], told[1])
	}
	if !strings.HasSuffix(told[1], `canceled true, "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"`) {
		t.Errorf("the last watch is answered by %s", told[1])
	}
}

// TestInternalWork is about leases and health while authentication is on, with tokens that the servers sign themselves;
// betterThanEtcd has the kind that they cannot sign.
func TestInternalWork(t *testing.T) {
	for name, flags := range map[string]func(*testing.T) []string{"simple": func(*testing.T) []string { return nil }, "jwt": hmacFlags} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			netcd, etcd := member.StartPair(t, append(flags(t), "--bcrypt-cost=4")...)
			for _, server := range []*member.Member{netcd, etcd} {
				told := internalWork(t, server, expiryWaitMax, func() []string { return loggedIn(t, server, "root", rootPassword) },
					"/health", "/livez", "/readyz")
				if told != "lease expired; /health 200; /livez 200; /readyz 200" {
					t.Errorf("%s: %s", server.Label, told)
				}
			}
		})
	}
}
