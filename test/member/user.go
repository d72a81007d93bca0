// Users: what the helpers here do as somebody while authentication is on.
package member

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// User is a name and a password.
type User struct{ Name, Password string }

// LogIn returns a context with a token of the user; while authentication is off the context as it was.
func (u User) LogIn(ctx context.Context, connection *grpc.ClientConn) (context.Context, error) {
	answer, err := pb.NewAuthClient(connection).Authenticate(ctx, &pb.AuthenticateRequest{Name: u.Name, Password: u.Password})
	if strings.Contains(status.Convert(err).Message(), "authentication is not enabled") {
		return ctx, nil
	}
	if err != nil {
		return ctx, err
	}
	return metadata.AppendToOutgoingContext(ctx, "token", answer.Token), nil
}

// As lets a member's helpers log in: those of a member of a cluster with authentication need a user.
func (m *Member) As(user User) { m.user = &user }

// As is As of all members.
func (c *Cluster) As(user User) {
	for _, one := range c.Members {
		one.As(user)
	}
}

// Identified is the context of a call as the user that As gave, for a connection to this member.
func (m *Member) Identified(ctx context.Context, connection *grpc.ClientConn) (context.Context, error) {
	if m.user == nil {
		return ctx, nil
	}
	return m.user.LogIn(ctx, connection)
}
