// What the tests of clusters have in common: outcomes as text, calls through one member, calls that pass with time.
package cluster

import (
	"context"
	"fmt"
	"slices"
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

// settled repeats a call while it is refused with a text that passes with time.
func settled(t *testing.T, passing string, call func() error) string {
	t.Helper()
	deadline := time.Now().Add(settleMax)
	for {
		err := call()
		if status.Convert(err).Message() != passing || time.Now().After(deadline) {
			return member.Outcome(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func otherThan(members []*member.Member, given ...*member.Member) *member.Member {
	for _, one := range members {
		if !slices.Contains(given, one) {
			return one
		}
	}
	return nil
}

func dial(t *testing.T, one *member.Member) (pb.MaintenanceClient, pb.ClusterClient) {
	t.Helper()
	connection := one.Connect(t)
	return pb.NewMaintenanceClient(connection), pb.NewClusterClient(connection)
}

// asked makes a call to one member, over a connection that is closed with it: the test may kill the member next.
func asked(t *testing.T, one *member.Member, call func(ctx context.Context, kv pb.KVClient) error) error {
	t.Helper()
	connection := one.Connect(t)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*callTimeout)
	defer cancel()
	return call(ctx, pb.NewKVClient(connection))
}

// put writes through one member; a code other than OK is the outcome.
func put(t *testing.T, through *member.Member, key, value string) error {
	t.Helper()
	return asked(t, through, func(ctx context.Context, kv pb.KVClient) error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
		return err
	})
}

// get reads a key; serializable: what this member has.
func get(t *testing.T, from *member.Member, key string, serializable bool) (value string, err error) {
	t.Helper()
	err = asked(t, from, func(ctx context.Context, kv pb.KVClient) error {
		answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(key), Serializable: serializable})
		if err != nil {
			return err
		}
		if len(answer.Kvs) == 0 {
			return status.Error(codes.NotFound, key)
		}
		value = string(answer.Kvs[0].Value)
		return nil
	})
	return value, err
}
