// Works on leases: keep-alives on streams, and many leases granted, attached and revoked.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
)

const leaseSeconds = 6000

// fieldTTL is of LeaseKeepAliveResponse.
const fieldTTL = 3

// keepAlive has o.clients streams over o.connections connections, each with a lease of its own that it
// keeps alive o.requests times, one after another.
func keepAlive(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	leases := pb.NewLeaseClient(connections[0])
	for client := range o.clients {
		if _, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: keptID(client), TTL: leaseSeconds}); err != nil {
			return result{}, err
		}
	}
	latencies := make([][]time.Duration, o.connections)
	problems := make([]error, o.connections)
	var all sync.WaitGroup
	began := time.Now()
	for connection := range o.connections {
		all.Add(1)
		go func() {
			defer all.Done()
			latencies[connection], problems[connection] = keepSomeAlive(ctx, o, connection)
		}()
	}
	all.Wait()
	took := time.Since(began)
	for client := range o.clients {
		_, err := leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: keptID(client)})
		problems = append(problems, err)
	}
	together := slices.Concat(latencies...)
	return measured(len(together), took, together), errors.Join(problems...)
}

func keptID(client int) int64 { return int64(1_000_000 + client) }

// keptLease is one client of a connection.
type keptLease struct {
	request []byte
	sent    time.Time
	left    int
}

// keepSomeAlive is the clients of one connection: each asks again when it was answered.
func keepSomeAlive(ctx context.Context, o options, first int) ([]time.Duration, error) {
	connection, err := openRaw(ctx, o.endpoint)
	if err != nil {
		return nil, err
	}
	kept := map[*rawStream]*keptLease{}
	for client := first; client < o.clients; client += o.connections {
		request, err := framed(&pb.LeaseKeepAliveRequest{ID: keptID(client)})
		if err != nil {
			return nil, err
		}
		stream, err := connection.open(pb.Lease_LeaseKeepAlive_FullMethodName)
		if err != nil {
			return nil, err
		}
		kept[stream] = &keptLease{request: request, sent: time.Now(), left: o.requests}
		if err := connection.send(stream, request); err != nil {
			return nil, err
		}
	}
	expected := len(kept) * o.requests
	latencies := make([]time.Duration, 0, expected)
	for len(latencies) < expected {
		if err := connection.frame(func(stream *rawStream, message []byte) error {
			lease := kept[stream]
			latencies = append(latencies, time.Since(lease.sent))
			if err := renewed(message); err != nil {
				return err
			}
			if lease.left--; lease.left == 0 {
				return nil
			}
			lease.sent = time.Now()
			return connection.send(stream, lease.request)
		}); err != nil {
			return nil, err
		}
	}
	return latencies, nil
}

// renewed is an error unless the lease has its whole time again.
func renewed(answer []byte) error {
	var ttl uint64
	err := fields(answer, func(field protowire.Number, number uint64, _ []byte) error {
		if field == fieldTTL {
			ttl = number
		}
		return nil
	})
	if err == nil && ttl != leaseSeconds {
		return fmt.Errorf("a lease has %d s", ttl)
	}
	return err
}

// leaseMany grants o.keys leases, attaches a key to each and revokes them; latencies are of all requests.
func leaseMany(ctx context.Context, o options) (result, error) {
	var latencies []time.Duration
	var took time.Duration
	for _, one := range []calls{
		{method: pb.Lease_LeaseGrant_FullMethodName, request: func(_, i int) ([]byte, error) {
			return framed(&pb.LeaseGrantRequest{ID: int64(i) + 1, TTL: leaseSeconds})
		}},
		{method: pb.KV_Put_FullMethodName, request: func(_, i int) ([]byte, error) {
			return framed(&pb.PutRequest{Key: fmt.Appendf(nil, "bench/leased/%d", i), Lease: int64(i) + 1})
		}},
		{method: pb.Lease_LeaseRevoke_FullMethodName, request: func(_, i int) ([]byte, error) {
			return framed(&pb.LeaseRevokeRequest{ID: int64(i) + 1})
		}},
	} {
		part, partTook, err := closedLoop(ctx, o, o.keys, one)
		if err != nil {
			return result{}, err
		}
		latencies, took = append(latencies, part...), took+partTook
	}
	return measured(3*o.keys, took, latencies), nil
}
