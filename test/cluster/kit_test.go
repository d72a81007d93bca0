// What the tests of clusters have in common: outcomes as text, calls through one member, calls that pass with time.
package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	callTimeout = 10 * time.Second
	// A call may be refused while links are young or a learner lags; it is asked for again for so long.
	settleMax = 60 * time.Second
)

// story is what a scenario tells of a cluster, without ids and ports.
type story []string

func (s *story) tell(format string, values ...any) { *s = append(*s, fmt.Sprintf(format, values...)) }

// outcome is code and text of an error, or OK.
func outcome(err error) string {
	if err == nil {
		return "OK"
	}
	return fmt.Sprintf("%v: %s", status.Code(err), status.Convert(err).Message())
}

// settled repeats a call while it is refused with a text that passes with time.
func settled(t *testing.T, passing string, call func() error) string {
	t.Helper()
	deadline := time.Now().Add(settleMax)
	for {
		err := call()
		if status.Convert(err).Message() != passing || time.Now().After(deadline) {
			return outcome(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func otherThan(members []*member.Member, given ...*member.Member) *member.Member {
	for _, one := range members {
		taken := false
		for _, other := range given {
			taken = taken || one == other
		}
		if !taken {
			return one
		}
	}
	return nil
}

func dial(t *testing.T, one *member.Member) (pb.MaintenanceClient, pb.ClusterClient) {
	t.Helper()
	connection, err := one.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return pb.NewMaintenanceClient(connection), pb.NewClusterClient(connection)
}

// put writes through one member; a code other than OK is the outcome.
func put(t *testing.T, through *member.Member, key, value string) error {
	t.Helper()
	connection, err := through.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*callTimeout)
	defer cancel()
	_, err = pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
	return err
}

// get reads a key; serializable: what this member has.
func get(t *testing.T, from *member.Member, key string, serializable bool) (string, error) {
	t.Helper()
	connection, err := from.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*callTimeout)
	defer cancel()
	answer, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte(key), Serializable: serializable})
	if err != nil {
		return "", err
	}
	if len(answer.Kvs) == 0 {
		return "", status.Error(codes.NotFound, key)
	}
	return string(answer.Kvs[0].Value), nil
}
