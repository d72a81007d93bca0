// What the Auth service says while authentication is off and there are no users.
package compat

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"netcd.test/member"
)

func TestAuthWhileItIsOff(t *testing.T) {
	p := newPair(t, "auth while it is off")
	defer p.report()
	for _, call := range []Call{
		authCall("Authenticate", &pb.AuthenticateRequest{Name: "a", Password: "b"}, &pb.AuthenticateResponse{}),
		authCall("Authenticate", &pb.AuthenticateRequest{}, &pb.AuthenticateResponse{}),
		authCall("AuthStatus", &pb.AuthStatusRequest{}, &pb.AuthStatusResponse{}),
		authCall("AuthDisable", &pb.AuthDisableRequest{}, &pb.AuthDisableResponse{}),
		authCall("UserList", &pb.AuthUserListRequest{}, &pb.AuthUserListResponse{}),
		authCall("UserGet", &pb.AuthUserGetRequest{Name: "root"}, &pb.AuthUserGetResponse{}),
		authCall("UserGet", &pb.AuthUserGetRequest{}, &pb.AuthUserGetResponse{}),
		authCall("RoleList", &pb.AuthRoleListRequest{}, &pb.AuthRoleListResponse{}),
		authCall("RoleGet", &pb.AuthRoleGetRequest{Role: "root"}, &pb.AuthRoleGetResponse{}),
	} {
		p.compare(call)
	}
	// Clients that are given a user ask for a token first, and go on when there is no need of one.
	etcdctl, netcd, etcd := member.Reference("etcdctl"), newTarget(t, p.servers[0]), newTarget(t, p.servers[1])
	for _, arguments := range [][]string{{"--user=a:b", "put", "k", "v"}, {"--user=a:b", "get", "k"}, {"auth", "status"}, {"user", "list"}, {"role", "list"}} {
		p.compareCommand(t, etcdctl, step{arguments: arguments}, netcd, etcd)
	}
}
