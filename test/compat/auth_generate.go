// A seeded generator of calls by different users, which follows the users, roles and tokens of the servers it talks to
// so that most calls meet something that is there.
package compat

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// asked is one call and who makes it.
type asked struct {
	who  account
	call Call
}

type rangeOfKeys struct{ key, end string }

type authGenerator struct {
	*generator
	jwt, enabled bool
	// passwords are those of the users that are there; noLogin: none that he could log in with.
	passwords map[string]string
	// without are the users who were made to have none.
	without map[string]bool
	roles   map[string][]rangeOfKeys
	// accounts are the newest of each user, retired those before.
	accounts map[string]account
	retired  []account
	// queue is what comes before anything by chance.
	queue []asked
	// changes counts what may have moved the auth revision.
	changes int64
	alarms  map[pb.AlarmType]bool
	names   int
	// certified is who calls without a token, by his certificate; "": nobody.
	certified string
	// wrong counts logins that fail, which netcd delays when there are many.
	wrong int
	// trapped counts grants that make etcd keep two permissions of the same range.
	trapped int
}

func newAuthGenerator(seed uint64, jwt bool) *authGenerator {
	return &authGenerator{generator: newGenerator(seed), jwt: jwt, passwords: map[string]string{}, without: map[string]bool{}, roles: map[string][]rangeOfKeys{},
		accounts: map[string]account{}, alarms: map[pb.AlarmType]bool{}}
}

const (
	noLogin = "\x00"
	// wrongLogins is how many of a run may fail.
	wrongLogins = 8
)

// next makes one call. A JWT of an older revision is renewed before a call that needs an administrator or is easier for
// one, and that of a user who is gone is not used, nor is his certificate: there netcd looks closer than etcd, see
// betterThanEtcd.
func (g *authGenerator) next() asked {
	for len(g.queue) == 0 {
		g.queue = append(g.queue, g.chance()...)
	}
	first := g.queue[0]
	if who := first.who; g.jwt && g.enabled && who != nobody && who.revision >= 0 {
		switch newest := g.accounts[who.name]; {
		case !g.canLogIn(who.name):
			first.who = nobody
		case !needsAdmin(first.call):
		case newest.revision == g.changes:
			first.who = newest
		default:
			return asked{call: authenticateCall(who.name, g.passwords[who.name])}
		}
	}
	if _, there := g.passwords[g.certified]; first.who == nobody && g.enabled && g.certified != "" && !there {
		first.who = withJunk("of nobody")
	}
	g.queue = g.queue[1:]
	return first
}

func (g *authGenerator) chance() []asked {
	if !g.enabled && g.oneIn(25) {
		return g.switchOn()
	}
	if len(g.alarms) > 0 && g.oneIn(8) {
		return g.disarm()
	}
	who := g.caller()
	switch n := g.random.IntN(1000); {
	case n < 200:
		if g.enabled && !g.oneIn(3) {
			who = g.accounts["root"]
		}
		return g.by(who, g.change())
	case n < 225:
		return g.logIn(g.user())
	case n < 300:
		return g.by(who, g.question())
	case n < 340:
		return g.by(who, g.watch())
	case n < 370:
		return g.by(who, keepAliveCall(g.lease()))
	case n < 400:
		return g.by(who, g.recipe())
	case n < 450:
		return g.by(who, g.maintenance())
	case n < 480:
		return g.by(who, g.cluster(who))
	default:
		call := g.generator.next()
		if g.enabled {
			straighten(call.Request.ProtoReflect())
		}
		return g.by(who, call)
	}
}

// straighten turns ranges round that end before they begin. Those hold nothing, and to whom etcd permits one depends on
// the shape of its tree of grants; with a single grant TestEmptyRanges compares them.
func straighten(message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	key, end := fields.ByName("key"), fields.ByName("range_end")
	if key != nil && end != nil {
		from, to := message.Get(key).Bytes(), message.Get(end).Bytes()
		if len(to) > 0 && !bytes.Equal(to, []byte{0}) && bytes.Compare(to, from) < 0 {
			message.Set(key, protoreflect.ValueOfBytes(to))
			message.Set(end, protoreflect.ValueOfBytes(from))
		}
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for at := range value.List().Len() {
				straighten(value.List().Get(at).Message())
			}
		default:
			straighten(value.Message())
		}
		return true
	})
}

func (g *authGenerator) by(who account, call Call) []asked { return []asked{{who: who, call: call}} }

// caller is mostly a user with his newest token.
func (g *authGenerator) caller() account {
	switch n := g.random.IntN(100); {
	case n < 8:
		return nobody
	case n < 14:
		return withJunk(pick(g.generator, "junk", "", ".", "a.b", "abcdefghijklmnop.1", "x.-1", "x.1", "x.y.z", "a.b.c", "Bearer x", "Bearer"))
	case n < 20 && len(g.retired) > 0:
		return pick(g.generator, g.retired...)
	case len(g.accounts) == 0:
		return nobody
	}
	who := g.accounts[pick(g.generator, slices.Sorted(maps.Keys(g.accounts))...)]
	if g.oneIn(7) {
		who.header = "authorization"
	}
	return who
}

func (g *authGenerator) canLogIn(name string) bool {
	password, there := g.passwords[name]
	return there && password != noLogin
}

// logIn has a right password, but for a few.
func (g *authGenerator) logIn(name string) []asked {
	password := g.passwords[name]
	if g.enabled && (!g.canLogIn(name) || g.oneIn(100)) {
		if g.wrong >= wrongLogins {
			return nil
		}
		g.wrong++
		password += "x"
	}
	return []asked{{call: authenticateCall(name, password)}}
}

// switchOn makes root what he must be, whatever became of him.
func (g *authGenerator) switchOn() []asked {
	var calls []asked
	for _, call := range []Call{userAddCall("root", rootPassword), grantRoleCall("root", "root"), enableCall()} {
		calls = append(calls, asked{who: nobody, call: call})
	}
	return calls
}

func (g *authGenerator) disarm() []asked {
	var calls []asked
	for _, alarm := range slices.Sorted(maps.Keys(g.alarms)) {
		calls = append(calls, g.by(g.accounts["root"], alarmCall(pb.AlarmRequest_DEACTIVATE, 0, alarm))...)
	}
	return calls
}

// change is one of users, roles, permissions or of authentication itself.
func (g *authGenerator) change() Call {
	switch n := g.random.IntN(100); {
	case n < 12:
		return g.userAdd()
	case n < 15:
		return userDeleteCall(g.user())
	case n < 22:
		return g.changePassword()
	case n < 40:
		return grantRoleCall(g.user(), g.role())
	case n < 45:
		return revokeRoleCall(g.user(), g.role())
	case n < 54:
		return roleAddCall(g.role())
	case n < 56:
		return roleDeleteCall(g.role())
	case n < 88:
		return g.permit()
	case n < 97:
		return g.forbid()
	case n < 99:
		return enableCall()
	default:
		return disableCall()
	}
}

func (g *authGenerator) user() string {
	if g.oneIn(20) {
		return pick(g.generator, "", "nope", "root", "root")
	}
	return pick(g.generator, "u1", "u2", "u3", "u4", "u:5/ü")
}

func (g *authGenerator) role() string {
	if g.oneIn(20) {
		return pick(g.generator, "", "nope", "root", "root")
	}
	return pick(g.generator, "r1", "r2", "r3", "r4", "r5/:ö")
}

// password is now and then empty or longer than bcrypt takes. Root keeps one that he can log in with.
func (g *authGenerator) password(name string) string {
	if name != "root" && g.oneIn(20) {
		return pick(g.generator, "", strings.Repeat("p", 72), strings.Repeat("p", 73))
	}
	return fmt.Sprintf("pw%d", g.random.IntN(1000))
}

func (g *authGenerator) userAdd() Call {
	request := &pb.AuthUserAddRequest{Name: g.user()}
	request.Password = g.password(request.Name)
	if g.oneIn(20) {
		request.HashedPassword = "bm8gaGFzaA=="
	}
	if request.Name != "root" && g.oneIn(12) {
		request.Options = &authpb.UserAddOptions{NoPassword: true}
		if !g.oneIn(3) {
			request.Password = ""
		}
	}
	return userAddRequest(request)
}

// hashOfSecret is bcrypt of `secret` at the least cost, as a client may send it.
const hashOfSecret = "JDJhJDA0JGxzZEVGZDRQa2pWa1pRTkQzdG43UC5TZWh2NHRPbDh0RWdhUHQwakRYU2daWmtPVUJCWWFl"

func (g *authGenerator) changePassword() Call {
	request := &pb.AuthUserChangePasswordRequest{Name: g.user()}
	request.Password = g.password(request.Name)
	if request.Name != "root" && g.oneIn(15) {
		request.Password = ""
		request.HashedPassword = pick(g.generator, "", "no base64!", hashOfSecret)
	}
	return changePasswordRequest(request)
}

func (g *authGenerator) permit() Call {
	if g.oneIn(60) {
		return permitRequest(g.role(), nil)
	}
	what := authpb.Permission_Type(g.random.IntN(3))
	if g.oneIn(40) {
		what = pick(g.generator, authpb.Permission_Type(3), 99, -1)
	}
	role, key := g.role(), g.key()
	// Mostly something new, else what was granted before, or another range that begins there.
	given := g.roles[role]
	if len(given) > 0 && g.oneIn(4) {
		key = []byte(pick(g.generator, given...).key)
	}
	end := g.rangeEnd(key)
	switch {
	case g.oneIn(10):
		key, end = []byte{0}, []byte{0}
	case len(given) > 0 && g.oneIn(6):
		again := pick(g.generator, given...)
		key, end = []byte(again.key), []byte(again.end)
	}
	return permitRequest(role, &authpb.Permission{PermType: what, Key: key, RangeEnd: end})
}

// forbid takes mostly something that was granted.
func (g *authGenerator) forbid() Call {
	role := g.role()
	if given := g.roles[role]; len(given) > 0 && !g.oneIn(5) {
		one := pick(g.generator, given...)
		return forbidCall(role, one.key, one.end)
	}
	key := g.key()
	return forbidCall(role, string(key), string(g.rangeEnd(key)))
}
