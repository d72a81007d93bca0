// What the generator of calls by different users learns from the answers: who is there, with which password and token, and
// which ranges were granted.
package compat

import (
	"maps"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// follow learns from both answers. It keeps the servers together where etcd does what netcd does better.
func (g *authGenerator) follow(made asked, ours, theirs Answer) {
	g.generator.follow(made.call, theirs)
	if theirs.Code != 0 {
		g.refused(made, theirs)
		return
	}
	switch request := made.call.Request.(type) {
	case *pb.AuthenticateRequest:
		g.retire(request.Name)
		g.accounts[request.Name] = account{name: request.Name, netcd: tokenOf(ours), etcd: tokenOf(theirs),
			revision: g.revisionOf(tokenOf(theirs))}
		return
	case *pb.AuthEnableRequest:
		if !g.enabled {
			g.enabled = true
			for _, name := range slices.Sorted(maps.Keys(g.passwords)) {
				if g.canLogIn(name) {
					g.queue = append(g.queue, g.logIn(name)...)
				}
			}
		}
		return
	case *pb.AlarmRequest:
		g.alarm(request)
		return
	}
	if strings.HasPrefix(made.call.Method, "/etcdserverpb.Auth/") && !isQuestion(made.call) {
		g.changed(made)
	}
}

func (g *authGenerator) alarm(request *pb.AlarmRequest) {
	switch request.Action {
	case pb.AlarmRequest_ACTIVATE:
		g.alarms[request.Alarm] = true
	case pb.AlarmRequest_DEACTIVATE:
		delete(g.alarms, request.Alarm)
	}
}

// refused logs in again whom a server no longer knows, as clients do, though not always.
func (g *authGenerator) refused(made asked, theirs Answer) {
	outcome := theirs.Outcome()
	if (outcome == invalidToken || outcome == oldRevision) && g.canLogIn(made.who.name) && !g.oneIn(4) {
		g.queue = append(g.queue, g.logIn(made.who.name)...)
	}
}

func (g *authGenerator) retire(name string) {
	if before, had := g.accounts[name]; had {
		delete(g.accounts, name)
		g.retired = append(g.retired, before)
		g.retired = g.retired[max(0, len(g.retired)-20):]
	}
}

func (g *authGenerator) changed(made asked) {
	g.changes++
	switch request := made.call.Request.(type) {
	case *pb.AuthDisableRequest:
		g.enabled = false
	case *pb.AuthUserAddRequest:
		g.passwords[request.Name] = request.Password
		if g.without[request.Name] = request.Options.GetNoPassword(); g.without[request.Name] {
			g.passwords[request.Name] = noLogin
		}
		g.welcome(request.Name)
	case *pb.AuthUserChangePasswordRequest:
		g.passwords[request.Name] = g.passwordAfter(request)
		g.welcome(request.Name)
	case *pb.AuthUserDeleteRequest:
		delete(g.passwords, request.Name)
		g.retire(request.Name)
	case *pb.AuthRoleAddRequest:
		g.roles[request.Name] = nil
	case *pb.AuthRoleDeleteRequest:
		delete(g.roles, request.Role)
	case *pb.AuthRoleRevokePermissionRequest:
		g.roles[request.Role] = slices.DeleteFunc(g.roles[request.Role], func(one rangeOfKeys) bool {
			return one == rangeOfKeys{string(request.Key), string(request.RangeEnd)}
		})
	case *pb.AuthRoleGrantPermissionRequest:
		g.permitted(made.who, request)
	}
}

// passwordAfter is what a user can log in with after a change: who is without one stays so.
func (g *authGenerator) passwordAfter(request *pb.AuthUserChangePasswordRequest) string {
	switch {
	case g.without[request.Name]:
		return noLogin
	case request.Password != "":
		return request.Password
	case request.HashedPassword == hashOfSecret:
		return "secret"
	default:
		return noLogin
	}
}

func (g *authGenerator) welcome(name string) {
	if g.enabled && g.canLogIn(name) && !g.oneIn(5) {
		g.queue = append(g.queue, g.logIn(name)...)
	}
}

// permitted takes back at once what etcd keeps twice: who is granted a range again, beside another of the same key, has
// both permissions there, and in netcd the newer.
func (g *authGenerator) permitted(who account, request *pb.AuthRoleGrantPermissionRequest) {
	given := rangeOfKeys{string(request.Perm.Key), string(request.Perm.RangeEnd)}
	before := g.roles[request.Name]
	if !slices.Contains(before, given) {
		g.roles[request.Name] = append(before, given)
		return
	}
	if slices.ContainsFunc(before, func(one rangeOfKeys) bool { return one.key == given.key && one != given }) {
		g.trapped++
		g.queue = slices.Insert(g.queue, 0, asked{who: who, call: forbidCall(request.Name, given.key, given.end)})
	}
}

// revisionOf is the count of changes at which a JWT was given, -1 for other tokens.
func (g *authGenerator) revisionOf(token string) int64 {
	if !g.jwt {
		return -1
	}
	if claims := claimsOf(token); claims.Username == "" {
		panic("no claims in " + token)
	}
	return g.changes
}
