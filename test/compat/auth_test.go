// The differential run over users, roles, tokens, and calls of every service by different users.
package compat

import (
	"fmt"
	"slices"
	"testing"

	"netcd.test/member"
)

// longLived keeps what time does out of the comparison.
const longLived = "--auth-token-ttl=36000"

// TestAuth sends COMPAT_AUTH_COUNT (20000) calls for COMPAT_SEED, seven of ten with simple tokens and the rest with JWTs.
func TestAuth(t *testing.T) {
	count := member.Number(t, "COMPAT_AUTH_COUNT", member.Depth(20_000))
	forSeeds(t, "COMPAT_AUTH_RUNS", 1, func(t *testing.T, seed uint64) {
		t.Run("simple", func(t *testing.T) {
			t.Parallel()
			compareAuth(t, newAuthGenerator(seed, false), count*7/10, fmt.Sprintf("auth with COMPAT_SEED=%d", seed), longLived)
		})
		t.Run("jwt", func(t *testing.T) {
			t.Parallel()
			compareAuth(t, newAuthGenerator(seed, true), count*3/10, fmt.Sprintf("auth by JWT with COMPAT_SEED=%d", seed),
				"--auth-token=jwt,sign-method=HS256,ttl=10h,priv-key="+secretFile(t))
		})
	})
}

func compareAuth(t *testing.T, g *authGenerator, count int, what string, flags ...string) {
	p := newPair(t, what, append(flags, "--bcrypt-cost=4")...)
	if how, over := member.SecureOf(t); over {
		g.certified = how.User
	}
	defer p.report()
	enabled, before := 0, 0
	for p.compared < count {
		made := g.next()
		ours, theirs := p.ask(made.who, made.call)
		if g.enabled {
			enabled++
		}
		g.follow(made, ours, theirs)
		if refusedFirst(ours, theirs) {
			before++
			continue
		}
		p.judge(made.who, made.call, ours, theirs)
	}
	requireAlive(p)
	t.Logf("%d calls while authentication was on; %d ranges granted again, which etcd keeps twice, and taken back; %d calls that netcd refuses for who asks and etcd for something else",
		enabled, g.trapped, before)
	// A run in which everybody is refused, or nobody, compares nothing.
	for _, code := range []uint32{0, 3, 7, 16} {
		if p.codes[code] < count/200 {
			t.Errorf("only %d answers with code %d", p.codes[code], code)
		}
	}
	if enabled < count/2 {
		t.Errorf("authentication was on for %d calls of %d", enabled, count)
	}
}

// refusedFirst tells the answers whose order netcd turns round. Who may not do something is told so before it costs
// anything: etcd has him wait for the log to learn of an alarm, and hashes a password, if it can, before it asks who wants
// to set it.
func refusedFirst(ours, theirs Answer) bool {
	costly := []string{"etcdserver: mvcc: database space exceeded", "etcdserver: corrupt cluster", "bcrypt: password length exceeds 72 bytes"}
	refused := []string{"etcdserver: user name is empty", "etcdserver: permission denied", "etcdserver: revision of auth store is old", "etcdserver: invalid auth token"}
	return slices.Contains(costly, theirs.Text) && slices.Contains(refused, ours.Text)
}

// TestBetterThanEtcd tells each story of the list to both servers, and expects of each its own answer: what etcd mends
// one day falls out of the list here.
func TestBetterThanEtcd(t *testing.T) {
	for _, one := range betterThanEtcd() {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			if one.overTLS != nil {
				member.OverTLS(t, *one.overTLS)
			}
			flags := []string{"--bcrypt-cost=4"}
			if one.flags != nil {
				flags = append(flags, one.flags(t)...)
			}
			netcd, etcd := member.StartPair(t, flags...)
			for server, expected := range map[*member.Member]string{netcd: one.netcd, etcd: one.etcd} {
				if told := one.tell(t, server); told != expected {
					t.Errorf("%s tells %q, expected %q, for %s", server.Label, told, expected, one.why)
				}
			}
		})
	}
}
