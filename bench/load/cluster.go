// Works on clusters: who leads, and a member that catches up while clients put.
package main

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// status tells whether the member leads: extra.leader is 1.
func status(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	answer, err := pb.NewMaintenanceClient(connections[0]).Status(ctx, &pb.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return result{}, err
	}
	leader := 0.0
	if answer.Leader == answer.Header.MemberId {
		leader = 1
	}
	return result{Extra: map[string]float64{"leader": leader}}, nil
}

// catchUp waits until o.follower serves o.revision from its own store, while clients put on the leader.
// Latencies are of the puts.
func catchUp(ctx context.Context, o options) (result, error) {
	behind := o
	behind.endpoint = o.follower
	followers, err := dial(behind, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(followers)
	putting, stop := context.WithCancel(ctx)
	var latencies []time.Duration
	putsDone := make(chan error, 1)
	go func() {
		var err error
		latencies, err = untilDone(putting, o, putCalls(o))
		putsDone <- err
	}()
	began := time.Now()
	for {
		answer, err := pb.NewKVClient(followers[0]).Range(ctx, &pb.RangeRequest{Key: []byte("none"), Serializable: true}, grpc.WaitForReady(true))
		if err == nil && answer.Header.Revision >= int64(o.revision) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	took := time.Since(began)
	stop()
	err = errors.Join(<-putsDone)
	return measured(max(1, len(latencies)), took, latencies), err
}
