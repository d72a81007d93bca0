// Many users: made through the API or written into a database of etcd's, and changed while others put.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// changePause is between two changes, so that puts are made with and without one.
const changePause = 20 * time.Millisecond

func manyUser(i int) string { return fmt.Sprintf("user%06d", i) }
func manyRole(i int) string { return fmt.Sprintf("role%06d", i) }

// rolesOf are the two roles of a user. As long as there are fewer users than pairs, no two users have the same.
func (o options) rolesOf(user int) [2]string {
	first := user % o.roles
	second := (first + 1 + user/o.roles%(o.roles-1)) % o.roles
	names := [2]string{manyRole(first), manyRole(second)}
	slices.Sort(names[:])
	return names
}

// permission is a range of a role's; no two touch.
func permission(role, i int, kind authpb.Permission_Type) *authpb.Permission {
	start := fmt.Sprintf("many/%s/%06d", manyRole(role), i)
	return &authpb.Permission{PermType: kind, Key: []byte(start), RangeEnd: []byte(start + "z")}
}

// authFill makes the users and roles through the API; auth must be on and o.user be root.
func authFill(_ context.Context, o options) (result, error) {
	began := time.Now()
	operations := 0
	for _, part := range []struct {
		method string
		count  int
		of     func(i int) proto.Message
	}{
		{pb.Auth_RoleAdd_FullMethodName, o.roles, func(i int) proto.Message { return &pb.AuthRoleAddRequest{Name: manyRole(i)} }},
		{pb.Auth_RoleGrantPermission_FullMethodName, o.roles * o.ranges, func(i int) proto.Message {
			role := i % o.roles
			return &pb.AuthRoleGrantPermissionRequest{Name: manyRole(role), Perm: permission(role, i/o.roles, authpb.Permission_READWRITE)}
		}},
		{pb.Auth_UserAdd_FullMethodName, o.users, func(i int) proto.Message {
			return &pb.AuthUserAddRequest{Name: manyUser(i), Options: &authpb.UserAddOptions{NoPassword: true}}
		}},
		{pb.Auth_UserGrantRole_FullMethodName, 2 * o.users, func(i int) proto.Message {
			return &pb.AuthUserGrantRoleRequest{User: manyUser(i / 2), Role: o.rolesOf(i / 2)[i%2]}
		}},
	} {
		_, _, err := closedLoop(o, part.count, calls{
			method:  part.method,
			request: func(_, i int) ([]byte, error) { return framed(part.of(i)) },
			again:   func(message string) bool { return message == oldRevision },
		})
		if err != nil {
			return result{}, err
		}
		operations += part.count
	}
	return measured(operations, time.Since(began), nil), nil
}

// authSeed writes what authFill makes into the database of an etcd that is stopped: etcd compiles all users anew at each
// change, so that the API would take hours.
func authSeed(_ context.Context, o options) (result, error) {
	database, err := bbolt.Open(o.database, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	err = database.Update(func(tx *bbolt.Tx) error {
		roles, users, auth := tx.Bucket([]byte("authRoles")), tx.Bucket([]byte("authUsers")), tx.Bucket([]byte("auth"))
		if roles == nil || users == nil || auth == nil {
			return errors.New("the database has no users and roles")
		}
		for i := range o.roles {
			role := &authpb.Role{Name: []byte(manyRole(i))}
			for at := range o.ranges {
				role.KeyPermission = append(role.KeyPermission, permission(i, at, authpb.Permission_READWRITE))
			}
			sort.Slice(role.KeyPermission, func(a, b int) bool {
				return bytes.Compare(role.KeyPermission[a].Key, role.KeyPermission[b].Key) < 0
			})
			if err := putMessage(roles, role.Name, role); err != nil {
				return err
			}
		}
		for i := range o.users {
			names := o.rolesOf(i)
			user := &authpb.User{Name: []byte(manyUser(i)), Roles: names[:], Options: &authpb.UserAddOptions{NoPassword: true}}
			if err := putMessage(users, user.Name, user); err != nil {
				return err
			}
		}
		revision := binary.BigEndian.Uint64(auth.Get([]byte("authRevision"))) + 1
		return auth.Put([]byte("authRevision"), binary.BigEndian.AppendUint64(nil, revision))
	})
	return measured(o.users+o.roles, time.Since(began), nil), errors.Join(err, database.Close())
}

func putMessage(bucket *bbolt.Bucket, key []byte, message proto.Message) error {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	return bucket.Put(key, encoded)
}

// authChanges changes a range of a role, o.requests times, while a user puts whom that does not concern. o.user is root.
// Latencies are of the puts; extra.changeMs is a change's, at the median.
func authChanges(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	putter := o
	putter.user = benchName + ":" + benchName
	if err := putter.identify(ctx); err != nil {
		return result{}, err
	}
	putting, stop := context.WithCancel(ctx)
	defer stop()
	puts := putCalls(o)
	puts.again = func(message string) bool { return message == oldRevision }
	var latencies []time.Duration
	putsDone := make(chan error, 1)
	began := time.Now()
	go func() {
		var err error
		latencies, err = untilDone(putting, putter, puts)
		putsDone <- err
	}()
	var changes []time.Duration
	for i := range o.requests {
		// Each of them changes something.
		kind := []authpb.Permission_Type{authpb.Permission_READ, authpb.Permission_READWRITE}[i%2]
		asked := time.Now()
		_, err = pb.NewAuthClient(connections[0]).RoleGrantPermission(ctx,
			&pb.AuthRoleGrantPermissionRequest{Name: manyRole(0), Perm: permission(0, 0, kind)})
		if err != nil {
			break
		}
		changes = append(changes, time.Since(asked))
		time.Sleep(changePause)
	}
	stop()
	took := time.Since(began)
	err = errors.Join(err, <-putsDone)
	summary := measured(len(latencies), took, latencies)
	slices.Sort(changes)
	summary.Extra = map[string]float64{"changeMs": percentile(changes, 0.5)}
	return summary, err
}
