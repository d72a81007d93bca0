// The rules of TestRightsInTheLogsOrder: who may do what, and how that changes.
package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// span is the keys of a permission or of a request: one, or those up to an end.
type span struct{ key, end string }

func (s span) String() string { return fmt.Sprintf("[%s,%s)", s.key, s.end) }

var (
	orderAll = span{"a", "c"}
	// orderKeys are what is read and written, orderSpans what permissions are given for.
	orderKeys  = []span{{"a", ""}, {"b", ""}}
	orderSpans = append(slices.Clone(orderKeys), orderAll)
	orderKinds = []authpb.Permission_Type{authpb.READ, authpb.WRITE, authpb.READWRITE}
)

// rules are the users and roles of an era. They are never changed.
type rules struct {
	enabled bool
	users   map[string]account
	roles   map[string]map[span]authpb.Permission_Type
}

type account struct {
	password string
	roles    map[string]bool
}

func firstRules() *rules {
	return &rules{
		enabled: true,
		users:   map[string]account{"alice": {"first", map[string]bool{"team": true}}, "bob": {"first", map[string]bool{"team": true, "guest": true}}},
		roles: map[string]map[span]authpb.Permission_Type{
			"team":  {{"a", "c"}: authpb.READWRITE},
			"guest": {{"a", ""}: authpb.READ},
		},
	}
}

func (r *rules) clone() *rules {
	after := &rules{enabled: r.enabled, users: maps.Clone(r.users), roles: maps.Clone(r.roles)}
	for name, of := range after.users {
		after.users[name] = account{of.password, maps.Clone(of.roles)}
	}
	for name, grants := range after.roles {
		after.roles[name] = maps.Clone(grants)
	}
	return after
}

// permit says whether somebody may read and write these keys; the name of nobody is empty.
func (r *rules) permit(user string, reads, writes []span) bool {
	may := func(all []span, kind authpb.Permission_Type) bool {
		return !slices.ContainsFunc(all, func(keys span) bool { return !r.holds(user, keys, kind) })
	}
	return !r.enabled || may(reads, authpb.READ) && may(writes, authpb.WRITE)
}

// holds says whether one permission holds these keys: between two keys there are others, so two of one key never do.
func (r *rules) holds(user string, keys span, kind authpb.Permission_Type) bool {
	for role := range r.users[user].roles {
		for given, granted := range r.roles[role] {
			within := given == keys || given.key <= keys.key && keys.end == "" && keys.key < given.end
			if within && (granted == kind || granted == authpb.READWRITE) {
				return true
			}
		}
	}
	return false
}

// change is one change of the rules.
type change struct {
	name  string
	after *rules
	// ofAccounts is what nobody may log in beside: who fails has to wait.
	ofAccounts bool
	make       func(s session) (*pb.ResponseHeader, error)
}

// draw draws a change that is possible. What was switched off is switched on again soon.
func draw(random *rand.Rand, now *rules, number int) change {
	if !now.enabled && random.IntN(2) == 0 {
		return switched(now, true)
	}
	pick := func(names []string) string { return names[random.IntN(len(names))] }
	user, role := pick([]string{"alice", "bob"}), pick([]string{"team", "guest"})
	keys, kind := orderSpans[random.IntN(len(orderSpans))], orderKinds[random.IntN(len(orderKinds))]
	_, hasUser := now.users[user]
	grants, hasRole := now.roles[role]
	_, granted := grants[keys]
	switch chance := random.IntN(20); {
	case !hasRole:
		return roleAdded(now, role)
	case !hasUser:
		return userAdded(now, user)
	case chance == 0:
		return roleDeleted(now, role)
	case chance == 1:
		return userDeleted(now, user)
	case chance == 2:
		return passwordChanged(now, user, fmt.Sprint("password ", number))
	case chance == 3 && now.enabled:
		return switched(now, false)
	case chance < 8:
		return roleOfUser(now, user, role)
	case chance < 13 && granted:
		return revoked(now, role, keys)
	default:
		return permitted(now, role, keys, kind)
	}
}

func switched(now *rules, enabled bool) change {
	after := now.clone()
	after.enabled = enabled
	return change{name: fmt.Sprint("authentication: ", enabled), after: after, make: func(s session) (*pb.ResponseHeader, error) {
		if enabled {
			answer, err := s.auth().AuthEnable(s, &pb.AuthEnableRequest{})
			return answer.GetHeader(), err
		}
		answer, err := s.auth().AuthDisable(s, &pb.AuthDisableRequest{})
		return answer.GetHeader(), err
	}}
}

func roleAdded(now *rules, role string) change {
	after := now.clone()
	after.roles[role] = map[span]authpb.Permission_Type{}
	return change{name: "adding role " + role, after: after, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().RoleAdd(s, &pb.AuthRoleAddRequest{Name: role})
		return answer.GetHeader(), err
	}}
}

func roleDeleted(now *rules, role string) change {
	after := now.clone()
	delete(after.roles, role)
	for _, of := range after.users {
		delete(of.roles, role)
	}
	return change{name: "deleting role " + role, after: after, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().RoleDelete(s, &pb.AuthRoleDeleteRequest{Role: role})
		return answer.GetHeader(), err
	}}
}

func userAdded(now *rules, user string) change {
	after := now.clone()
	after.users[user] = account{"again", map[string]bool{}}
	return change{name: "adding " + user, after: after, ofAccounts: true, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().UserAdd(s, &pb.AuthUserAddRequest{Name: user, Password: "again"})
		return answer.GetHeader(), err
	}}
}

func userDeleted(now *rules, user string) change {
	after := now.clone()
	delete(after.users, user)
	return change{name: "deleting " + user, after: after, ofAccounts: true, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().UserDelete(s, &pb.AuthUserDeleteRequest{Name: user})
		return answer.GetHeader(), err
	}}
}

func passwordChanged(now *rules, user, password string) change {
	after := now.clone()
	after.users[user] = account{password, after.users[user].roles}
	return change{name: "changing the password of " + user, after: after, ofAccounts: true, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().UserChangePassword(s, &pb.AuthUserChangePasswordRequest{Name: user, Password: password})
		return answer.GetHeader(), err
	}}
}

// roleOfUser takes the role from a user who has it, and gives it to one who has not.
func roleOfUser(now *rules, user, role string) change {
	after := now.clone()
	if now.users[user].roles[role] {
		delete(after.users[user].roles, role)
		return change{name: "taking role " + role + " from " + user, after: after, make: func(s session) (*pb.ResponseHeader, error) {
			answer, err := s.auth().UserRevokeRole(s, &pb.AuthUserRevokeRoleRequest{Name: user, Role: role})
			return answer.GetHeader(), err
		}}
	}
	after.users[user].roles[role] = true
	return change{name: "giving role " + role + " to " + user, after: after, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().UserGrantRole(s, &pb.AuthUserGrantRoleRequest{User: user, Role: role})
		return answer.GetHeader(), err
	}}
}

func permitted(now *rules, role string, keys span, kind authpb.Permission_Type) change {
	after := now.clone()
	after.roles[role][keys] = kind
	return change{name: fmt.Sprint("giving role ", role, " ", kind, " on ", keys), after: after, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().RoleGrantPermission(s, &pb.AuthRoleGrantPermissionRequest{Name: role, Perm: permission(keys, kind)})
		return answer.GetHeader(), err
	}}
}

func revoked(now *rules, role string, keys span) change {
	after := now.clone()
	delete(after.roles[role], keys)
	return change{name: fmt.Sprint("taking from role ", role, " ", keys), after: after, make: func(s session) (*pb.ResponseHeader, error) {
		answer, err := s.auth().RoleRevokePermission(s, &pb.AuthRoleRevokePermissionRequest{Role: role, Key: []byte(keys.key), RangeEnd: []byte(keys.end)})
		return answer.GetHeader(), err
	}}
}

func permission(keys span, kind authpb.Permission_Type) *authpb.Permission {
	return &authpb.Permission{PermType: kind, Key: []byte(keys.key), RangeEnd: []byte(keys.end)}
}
