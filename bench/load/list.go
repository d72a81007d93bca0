// A LIST as Kubernetes sends it: pages with values, each from behind the last key of the one before, at the revision of
// the first; or everything in one Range.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"
)

// arrival is when the first byte of an answer came, and how many came in all. Only the call that it belongs to writes it.
type arrival struct {
	first time.Time
	bytes int
}

type arrivalKey struct{}

// arrivals notes them for calls whose context has one.
type arrivals struct{}

func (arrivals) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (arrivals) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (arrivals) HandleConn(context.Context, stats.ConnStats)                       {}

func (arrivals) HandleRPC(ctx context.Context, event stats.RPCStats) {
	arrived, wanted := ctx.Value(arrivalKey{}).(*arrival)
	if !wanted {
		return
	}
	switch event := event.(type) {
	case *stats.InHeader:
		arrived.first = time.Now()
	case *stats.InPayload:
		arrived.bytes += event.WireLength
	}
}

// clientList lists o.keys keys o.requests times in pages of o.limit; without a limit at once. Operations are keys,
// latencies times to the first byte of a page, and extra.bytesPerSecond is what came.
func clientList(ctx context.Context, o options) (result, error) {
	o.connections = 1
	clients, err := ordinary(o, grpc.WithStatsHandler(arrivals{}))
	if err != nil {
		return result{}, err
	}
	if _, err := clients[0].Get(ctx, "none"); err != nil {
		return result{}, errors.Join(err, closeOrdinary(clients))
	}
	list := lister{client: clients[0], options: o}
	began := time.Now()
	for range o.requests {
		if err := list.all(ctx); err != nil {
			return result{}, errors.Join(err, closeOrdinary(clients))
		}
	}
	took := time.Since(began)
	summary := measured(o.keys*o.requests, took, list.firsts)
	summary.Extra = map[string]float64{"bytesPerSecond": float64(list.bytes) / took.Seconds()}
	return summary, closeOrdinary(clients)
}

type lister struct {
	options
	client *clientv3.Client
	firsts []time.Duration
	bytes  int
}

// all reads every page and checks that each key came once, in order and with its value.
func (l *lister) all(ctx context.Context) error {
	end := l.spaced(l.keys)
	next, revision := l.spaced(0), int64(0)
	for read := 0; read < l.keys; {
		var arrived arrival
		asked := time.Now()
		answer, err := l.client.Get(context.WithValue(ctx, arrivalKey{}, &arrived), next,
			clientv3.WithRange(end), clientv3.WithLimit(int64(l.limit)), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		l.firsts = append(l.firsts, arrived.first.Sub(asked))
		l.bytes += arrived.bytes
		left := l.keys - read
		wanted := left
		if l.limit > 0 {
			wanted = min(l.limit, left)
		}
		if len(answer.Kvs) != wanted || answer.Count != int64(left) || answer.More != (wanted < left) {
			return fmt.Errorf("%d keys of %d, counted %d of %d, more: %v", len(answer.Kvs), wanted, answer.Count, left, answer.More)
		}
		for _, kv := range answer.Kvs {
			if string(kv.Key) != l.spaced(read) || len(kv.Value) != l.valueBytes {
				return fmt.Errorf("%q with %d bytes in place of %q", kv.Key, len(kv.Value), l.spaced(read))
			}
			read++
		}
		next = string(append(answer.Kvs[len(answer.Kvs)-1].Key, 0))
		revision = answer.Header.Revision
	}
	return nil
}
