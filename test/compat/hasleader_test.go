// Streams and calls that ask for a leader (hasleader metadata) when the cluster loses its majority.
package compat

import (
	"context"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
)

// leaderLostMax bounds the time until a member knows that nobody leads, and a stream hears of it.
const leaderLostMax = 30 * time.Second

func TestStreamsThatNeedALeader(t *testing.T) {
	t.Parallel()
	need(t, clusters)
	member.Need(t, member.Etcd())
	theirs := leaderlessStory(t, "etcd", member.Etcd())
	ours := leaderlessStory(t, "netcd", member.Netcd())
	for at := range theirs {
		if ours[at] != theirs[at] {
			t.Errorf("netcd: %s\n etcd: %s", ours[at], theirs[at])
		}
	}
	t.Logf("%d outcomes compared: %q", len(theirs), theirs)
}

// leaderlessStory is what the last of three members says on streams that were open, and to calls made then.
func leaderlessStory(t *testing.T, label, binary string) []string {
	t.Helper()
	cluster := member.StartCluster(t, label, binary, 3)
	last := cluster.Members[0]
	if cluster.Leader(t) == last {
		last = cluster.Members[1]
	}
	connection := last.Connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*leaderLostMax)
	defer cancel()
	asking := metadata.AppendToOutgoingContext(ctx, "hasleader", "true")

	watching, err := openedWatch(asking, pb.NewWatchClient(connection))
	if err != nil {
		t.Fatalf("%s: watch: %v", label, err)
	}
	modest, err := openedWatch(ctx, pb.NewWatchClient(connection))
	if err != nil {
		t.Fatalf("%s: watch: %v", label, err)
	}
	renewing, err := pb.NewLeaseClient(connection).LeaseKeepAlive(asking)
	if err != nil {
		t.Fatal(err)
	}
	cluster.KillAllBut(t, last)
	told := []string{
		"watch that needs a leader: " + within(leaderLostMax, func() error { _, err := watching.Recv(); return err }),
		"keep-alive that needs a leader: " + within(leaderLostMax, func() error { _, err := renewing.Recv(); return err }),
		"watch that does not: " + within(2*time.Second, func() error { _, err := modest.Recv(); return err }),
	}
	kv, maintenance := pb.NewKVClient(connection), pb.NewMaintenanceClient(connection)
	serializable := &pb.RangeRequest{Key: []byte("k"), Serializable: true}
	for _, call := range []struct {
		name string
		make func() error
	}{
		{"range that needs a leader", func() error { _, err := kv.Range(asking, serializable); return err }},
		{"range that does not", func() error { _, err := kv.Range(ctx, serializable); return err }},
		{"status that needs a leader", func() error { _, err := maintenance.Status(asking, &pb.StatusRequest{}); return err }},
		{"new watch that needs a leader", func() error { _, err := openedWatch(asking, pb.NewWatchClient(connection)); return err }},
		{"new watch that does not", func() error { _, err := openedWatch(ctx, pb.NewWatchClient(connection)); return err }},
		{"new keep-alive that needs a leader", func() error {
			stream, err := pb.NewLeaseClient(connection).LeaseKeepAlive(asking)
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		}},
	} {
		told = append(told, call.name+": "+within(leaderLostMax, call.make))
	}
	return told
}

// openedWatch is a watch whose creation was answered.
func openedWatch(ctx context.Context, client pb.WatchClient) (pb.Watch_WatchClient, error) {
	stream, err := client.Watch(ctx)
	if err != nil {
		return nil, err
	}
	create := &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: create}); err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	return stream, nil
}

// within is code and text of what the call ended with, or that it did not end.
func within(limit time.Duration, call func() error) string {
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	select {
	case err := <-ended:
		return member.Outcome(err)
	case <-time.After(limit):
		return "goes on"
	}
}
