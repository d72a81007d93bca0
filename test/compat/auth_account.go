// Who calls: nobody, somebody with a token that is none, or a user who has logged in to both servers.
package compat

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"netcd.test/member"
)

// account has the token of a user from each server: both choose their own.
type account struct {
	name, netcd, etcd string
	// header is where the token goes; "": into `token`.
	header string
	// revision is the number of changes at which a JWT was given, and -1 for other tokens.
	revision int64
}

var nobody = account{}

// withJunk is an account whose token neither server has given.
func withJunk(token string) account {
	return account{name: "junk " + token, netcd: token, etcd: token, header: "token", revision: -1}
}

func (who account) String() string {
	if who == nobody {
		return ""
	}
	return " as " + who.name
}

// calls is the call with the token.
func (who account) calls(call Call, token string) Call {
	switch {
	case who == nobody:
		return call
	case who.header == "authorization":
		call.Metadata = append([]string{"authorization", "Bearer " + token}, call.Metadata...)
	default:
		call.Metadata = append([]string{"token", token}, call.Metadata...)
	}
	return call
}

// logIn asks both servers for a token, and compares whether they give one.
func (p *pair) logIn(name, password string) account {
	p.t.Helper()
	call := authenticateCall(name, password)
	ours, theirs := p.ask(nobody, call)
	who := account{name: name, netcd: tokenOf(ours), etcd: tokenOf(theirs), revision: -1}
	p.judge(nobody, call, ours, theirs)
	return who
}

func tokenOf(answer Answer) string {
	if answer.Code != 0 {
		return ""
	}
	return answer.Messages[0].(*pb.AuthenticateResponse).Token
}

// expect compares both answers with what is known.
func (p *pair) expect(who account, call Call, outcome string) {
	p.t.Helper()
	if theirs := p.compareAs(who, call); theirs.Outcome() != outcome {
		p.t.Errorf("%s%s: etcd answers %s, expected %s", call, who, theirs.Outcome(), outcome)
	}
}

// must is expect of success.
func (p *pair) must(who account, calls ...Call) {
	p.t.Helper()
	for _, call := range calls {
		p.expect(who, call, "OK")
	}
}

// What servers with authentication say.
const (
	emptyName    = "InvalidArgument: etcdserver: user name is empty"
	denied       = "PermissionDenied: etcdserver: permission denied"
	invalidToken = "Unauthenticated: etcdserver: invalid auth token"
	oldRevision  = "InvalidArgument: etcdserver: revision of auth store is old"
	badLogin     = "InvalidArgument: etcdserver: authentication failed, invalid user ID or password"
	invalidRules = "InvalidArgument: etcdserver: invalid auth management"
)

const rootPassword = "rootpw"

// enableCalls make the user root and switch authentication on; while it is off anybody may do that.
func enableCalls() []Call {
	return []Call{userAddCall("root", rootPassword), grantRoleCall("root", "root"), enableCall()}
}

// withUser are the calls that make a user with a role of his own, which has the permissions.
func withUser(name, password string, permissions ...Call) []Call {
	calls := []Call{roleAddCall(name), userAddCall(name, password), grantRoleCall(name, name)}
	return append(calls, permissions...)
}

// startWithAuth is newPair with authentication on; who is root there.
func startWithAuth(t *testing.T, what string, users []Call, flags ...string) (p *pair, root account) {
	t.Helper()
	p = newPair(t, what, append([]string{"--bcrypt-cost=4"}, flags...)...)
	p.must(nobody, users...)
	p.must(nobody, enableCalls()...)
	return p, p.logIn("root", rootPassword)
}

// onServer makes the calls to one server and returns how the last of them ended.
func onServer(t *testing.T, server *member.Member, metadata []string, calls ...Call) string {
	t.Helper()
	connection := server.Connect(t)
	defer connection.Close()
	outcome := "nothing asked"
	for _, call := range calls {
		call.Metadata = append(call.Metadata, metadata...)
		outcome = call.Send(connection).Outcome()
	}
	return outcome
}

// loggedIn is the metadata of a user of one server.
func loggedIn(t *testing.T, server *member.Member, name, password string) []string {
	t.Helper()
	connection := server.Connect(t)
	defer connection.Close()
	answer, err := pb.NewAuthClient(connection).Authenticate(context.Background(), &pb.AuthenticateRequest{Name: name, Password: password})
	if err != nil {
		t.Fatalf("%s: %s does not log in: %v", server.Label, name, err)
	}
	return []string{"token", answer.Token}
}

func authCall(name string, request, answer proto.Message) Call {
	return Call{Method: "/etcdserverpb.Auth/" + name, Request: request, Answer: func() proto.Message { return proto.Clone(answer) }}
}
