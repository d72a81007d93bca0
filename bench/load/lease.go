// Works on leases: keep-alives on streams, and many leases granted, attached and revoked.
package main

import (
	"context"
	"errors"
	"fmt"
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
	latencies, took, err := keptAlive(o)
	for client := range o.clients {
		_, revoked := leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: keptID(client)})
		err = errors.Join(err, revoked)
	}
	return measured(len(latencies), took, latencies), err
}

func keptID(client int) int64 { return int64(1_000_000 + client) }

// keptLease is one client of a connection.
type keptLease struct {
	request []byte
	sent    time.Time
	left    int
}

// keptAlive is the clients' work: each asks again when it was answered.
func keptAlive(o options) ([]time.Duration, time.Duration, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return nil, 0, err
	}
	defer loop.close()
	connections, err := loop.openAll(o)
	if err != nil {
		return nil, 0, err
	}
	latencies := make([]time.Duration, 0, o.clients*o.requests)
	began := time.Now()
	for client := range o.clients {
		connection := connections[client%len(connections)]
		stream, err := connection.open(pb.Lease_LeaseKeepAlive_FullMethodName)
		if err != nil {
			return nil, 0, err
		}
		request, err := framed(&pb.LeaseKeepAliveRequest{ID: keptID(client)})
		if err != nil {
			return nil, 0, err
		}
		lease := &keptLease{request: request, sent: time.Now(), left: o.requests}
		stream.each = func(answer []byte) error {
			latencies = append(latencies, connection.socket.at.Sub(lease.sent))
			if err := renewed(answer); err != nil {
				return err
			}
			if lease.left--; lease.left == 0 {
				return nil
			}
			lease.sent = time.Now()
			return connection.send(stream, lease.request)
		}
		if err := connection.send(stream, request); err != nil {
			return nil, 0, err
		}
	}
	err = loop.turnWhile(func() bool { return len(latencies) < o.clients*o.requests })
	return latencies, time.Since(began), err
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
		part, partTook, err := closedLoop(o, o.keys, one)
		if err != nil {
			return result{}, err
		}
		latencies, took = append(latencies, part...), took+partTook
	}
	return measured(3*o.keys, took, latencies), nil
}
