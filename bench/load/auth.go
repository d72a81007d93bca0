// Users: who makes the calls of a bench, and what it costs to log in and to be checked.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	tokenHeader = "token"
	rootName    = "root"
	// Whose keys are those of the benches.
	benchName = "bench"
	// A server that has just started refuses to log somebody in until it has a leader.
	loginWait, loginPause = time.Minute, 20 * time.Millisecond
	// What etcd says to who was checked under users and roles that have changed since: its clients ask again.
	oldRevision = "etcdserver: revision of auth store is old"
	// Logins in flight at most, where they come at a rate: a server that is slower gets no more of them.
	loginsMax = 32
	// fieldToken is of AuthenticateResponse.
	fieldToken = 2
)

// bearer puts the token into the metadata of every call, if there is one.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b == "" {
		return nil, nil
	}
	return map[string]string{tokenHeader: string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// identify logs o.user in, if there is one, for all calls that follow.
func (o *options) identify(ctx context.Context) error {
	if o.user == "" {
		return nil
	}
	name, password, _ := strings.Cut(o.user, ":")
	connections, err := dial(*o, 1)
	if err != nil {
		return err
	}
	defer closeAll(connections)
	ctx, cancel := context.WithTimeout(ctx, loginWait)
	defer cancel()
	for {
		answer, err := pb.NewAuthClient(connections[0]).Authenticate(ctx, &pb.AuthenticateRequest{Name: name, Password: password}, grpc.WaitForReady(true))
		if err == nil {
			o.token = answer.Token
			return nil
		}
		if code := grpcstatus.Code(err); (code != codes.Unavailable && code != codes.DeadlineExceeded) || ctx.Err() != nil {
			return fmt.Errorf("logging %s in: %w", name, err)
		}
		time.Sleep(loginPause)
	}
}

// tokenOf gives the token of o.user.
func tokenOf(_ context.Context, o options) (result, error) { return result{Token: o.token}, nil }

// withAuth makes calls of the Auth service, one after the other.
func withAuth(ctx context.Context, o options, calls ...func(context.Context, pb.AuthClient) error) (result, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	for _, call := range calls {
		if err := call(ctx, pb.NewAuthClient(connections[0])); err != nil {
			return result{}, err
		}
	}
	return result{}, nil
}

// authSetup makes root, and a user who may read and write the benches' keys and nothing else. Their passwords are their
// names. Auth stays off.
func authSetup(ctx context.Context, o options) (result, error) {
	keys := &authpb.Permission{PermType: authpb.Permission_READWRITE, Key: []byte("bench/"), RangeEnd: []byte("bench0")}
	return withAuth(ctx, o, addUser(rootName), addUser(benchName), addRole(rootName), addRole(benchName),
		grantRole(rootName, rootName), grantRole(benchName, benchName),
		func(ctx context.Context, auth pb.AuthClient) error {
			_, err := auth.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: benchName, Perm: keys})
			return err
		})
}

func addUser(name string) func(context.Context, pb.AuthClient) error {
	return func(ctx context.Context, auth pb.AuthClient) error {
		_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: name, Password: name, Options: &authpb.UserAddOptions{}})
		return err
	}
}

func addRole(name string) func(context.Context, pb.AuthClient) error {
	return func(ctx context.Context, auth pb.AuthClient) error {
		_, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: name})
		return err
	}
}

func grantRole(user, role string) func(context.Context, pb.AuthClient) error {
	return func(ctx context.Context, auth pb.AuthClient) error {
		_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: user, Role: role})
		return err
	}
}

func authOn(ctx context.Context, o options) (result, error) {
	return withAuth(ctx, o, func(ctx context.Context, auth pb.AuthClient) error {
		_, err := auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
		return err
	})
}

// authOff is root's, who gives himself as o.user.
func authOff(ctx context.Context, o options) (result, error) {
	return withAuth(ctx, o, func(ctx context.Context, auth pb.AuthClient) error {
		_, err := auth.AuthDisable(ctx, &pb.AuthDisableRequest{})
		return err
	})
}

// logins logs the same user in over and over for o.seconds, with the password that he had before.
func logins(ctx context.Context, o options) (result, error) {
	request, err := framed(&pb.AuthenticateRequest{Name: benchName, Password: benchName})
	if err != nil {
		return result{}, err
	}
	until, cancel := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer cancel()
	began := time.Now()
	latencies, err := untilDone(until, o, calls{
		method:  pb.Auth_Authenticate_FullMethodName,
		request: func(int, int) ([]byte, error) { return request, nil },
		check:   func(_, _ int, answer []byte) error { return hasToken(answer) },
	})
	return measured(len(latencies), time.Since(began), latencies), err
}

func hasToken(answer []byte) error {
	token := ""
	err := fields(answer, func(field protowire.Number, _ uint64, bytes []byte) error {
		if field == fieldToken {
			token = string(bytes)
		}
		return nil
	})
	if err == nil && token == "" {
		err = errors.New("a login gave no token")
	}
	return err
}

// loginPuts puts for o.seconds while users log in, o.rate times a second; 0 is never. Latencies are of the puts;
// extra.loginsPerSecond is how many logins the server has answered.
func loginPuts(ctx context.Context, o options) (result, error) {
	until, cancel := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer cancel()
	var done int64
	var failed error
	var beside sync.WaitGroup
	if o.rate > 0 {
		beside.Go(func() {
			done, failed = pacedLogins(until, o)
			cancel()
		})
	}
	began := time.Now()
	latencies, err := untilDone(until, o, putCalls(o))
	took := time.Since(began)
	cancel()
	beside.Wait()
	summary := measured(len(latencies), took, latencies)
	summary.Extra = map[string]float64{"loginsPerSecond": float64(done) / took.Seconds()}
	return summary, errors.Join(err, failed)
}

// pacedLogins logs in until the context ends or a login fails, and says how often it did.
func pacedLogins(until context.Context, o options) (int64, error) {
	connections, err := dial(options{endpoint: o.endpoint}, 1)
	if err != nil {
		return 0, err
	}
	defer closeAll(connections)
	going, stop := context.WithCancelCause(until)
	defer stop(nil)
	room := make(chan struct{}, loginsMax)
	var done atomic.Int64
	var flying sync.WaitGroup
	ticks := time.NewTicker(time.Second / time.Duration(o.rate))
	defer ticks.Stop()
	for going.Err() == nil {
		select {
		case <-going.Done():
			continue
		case <-ticks.C:
		}
		select {
		case room <- struct{}{}:
		default:
			continue
		}
		flying.Go(func() {
			// One that has begun is answered, so that the end loses none; what comes too late does not count.
			_, err := pb.NewAuthClient(connections[0]).Authenticate(context.WithoutCancel(until), &pb.AuthenticateRequest{Name: benchName, Password: benchName})
			if err != nil {
				stop(err)
			} else if until.Err() == nil {
				done.Add(1)
			}
			<-room
		})
	}
	flying.Wait()
	if cause := context.Cause(going); cause != context.Cause(until) {
		return done.Load(), cause
	}
	return done.Load(), nil
}
