// Works on leases: keep-alives on streams, and many leases granted, attached and revoked.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const leaseSeconds = 6000

// keepAlive has o.clients streams over o.connections connections, each with a lease of its own that it
// keeps alive o.requests times, one after another.
func keepAlive(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, o.connections)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	latencies := make([][]time.Duration, o.clients)
	problems := make([]error, o.clients)
	var all sync.WaitGroup
	began := time.Now()
	for client := range o.clients {
		all.Add(1)
		go func() {
			defer all.Done()
			latencies[client], problems[client] = keepOneAlive(ctx, connections[client%len(connections)], int64(1_000_000+client), o.requests)
		}()
	}
	all.Wait()
	took := time.Since(began)
	var together []time.Duration
	for _, one := range latencies {
		together = append(together, one...)
	}
	return measured(len(together), took, together), errors.Join(problems...)
}

func keepOneAlive(ctx context.Context, connection *grpc.ClientConn, id int64, times int) ([]time.Duration, error) {
	leases := pb.NewLeaseClient(connection)
	if _, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: leaseSeconds}); err != nil {
		return nil, err
	}
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	latencies := make([]time.Duration, 0, times)
	for range times {
		began := time.Now()
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			return nil, err
		}
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if answer.TTL != leaseSeconds {
			return nil, fmt.Errorf("lease %d has %d s", id, answer.TTL)
		}
		latencies = append(latencies, time.Since(began))
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	_, err = leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
	return latencies, err
}

// leaseMany grants o.keys leases, attaches a key to each and revokes them; latencies are of all requests.
func leaseMany(ctx context.Context, o options) (result, error) {
	var latencies []time.Duration
	var took time.Duration
	for _, one := range []func(connection *grpc.ClientConn, i int) error{
		func(connection *grpc.ClientConn, i int) error {
			_, err := pb.NewLeaseClient(connection).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(i) + 1, TTL: leaseSeconds})
			return err
		},
		func(connection *grpc.ClientConn, i int) error {
			_, err := pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "bench/leased/%d", i), Lease: int64(i) + 1})
			return err
		},
		func(connection *grpc.ClientConn, i int) error {
			_, err := pb.NewLeaseClient(connection).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: int64(i) + 1})
			return err
		},
	} {
		part, partTook, err := closedLoop(o, o.keys, one)
		if err != nil {
			return result{}, err
		}
		latencies, took = append(latencies, part...), took+partTook
	}
	return measured(3*o.keys, took, latencies), nil
}
