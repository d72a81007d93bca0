// Works with etcd's own Go client, as an ordinary program uses it: many clients that share connections, random keys.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// putsSeed decides which keys are put, getsSeed which are asked for, the same for every server.
const putsSeed, getsSeed = 4, 5

// ordinary makes so many of etcd's clients, each with a connection of its own.
func ordinary(o options, dialOptions ...grpc.DialOption) ([]*clientv3.Client, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	clients := make([]*clientv3.Client, max(1, o.connections))
	for at := range clients {
		clients[at], err = clientv3.New(clientv3.Config{Endpoints: []string{o.endpoint}, TLS: config, Logger: zap.NewNop(), DialOptions: dialOptions})
		if err != nil {
			return nil, errors.Join(err, closeOrdinary(clients[:at]))
		}
	}
	return clients, nil
}

func closeOrdinary(clients []*clientv3.Client) error {
	var all error
	for _, client := range clients {
		all = errors.Join(all, client.Close())
	}
	return all
}

// chosen is the i-th random number below n.
func chosen(seed uint64, i, n int) int {
	return rand.New(rand.NewPCG(seed, uint64(i))).IntN(n)
}

// spaced is a key of the space that the work is about.
func (o options) spaced(i int) string { return fmt.Sprintf("%s%0*d", o.space, keyDigits, i) }

// clientPut puts to random keys of o.keys, and checks by the revision that each was written.
func clientPut(ctx context.Context, o options) (result, error) {
	before, err := currentRevision(ctx, o)
	if err != nil {
		return result{}, err
	}
	values := sync.Pool{New: func() any { return make([]byte, o.valueBytes) }}
	summary, err := manyClients(ctx, o, func(ctx context.Context, client *clientv3.Client, i int) error {
		key := o.spaced(chosen(putsSeed, i, o.keys))
		value := values.Get().([]byte)
		copy(value, key)
		_, err := client.Put(ctx, key, string(value))
		values.Put(value)
		return err
	})
	if err != nil {
		return summary, err
	}
	after, err := currentRevision(ctx, o)
	if err == nil && after-before != int64(o.requests) {
		err = fmt.Errorf("%d puts made %d revisions", o.requests, after-before)
	}
	return summary, err
}

// clientGet gets random keys of o.keys, or of those that the first o.written puts wrote.
func clientGet(ctx context.Context, o options) (result, error) {
	return manyClients(ctx, o, func(ctx context.Context, client *clientv3.Client, i int) error {
		number := chosen(getsSeed, i, o.keys)
		if o.written > 0 {
			number = chosen(putsSeed, chosen(getsSeed, i, o.written), o.keys)
		}
		key := o.spaced(number)
		answer, err := client.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(answer.Kvs) != 1 || string(answer.Kvs[0].Key) != key || len(answer.Kvs[0].Value) != o.valueBytes {
			return fmt.Errorf("%q: %d keys, not one with %d bytes", key, len(answer.Kvs), o.valueBytes)
		}
		return nil
	})
}

// manyClients makes o.requests calls, o.clients at a time over o.connections connections, until the first error.
func manyClients(ctx context.Context, o options, call func(ctx context.Context, client *clientv3.Client, i int) error) (result, error) {
	clients, err := ordinary(o)
	if err != nil {
		return result{}, err
	}
	// Every connection is made before the time begins.
	for _, client := range clients {
		if _, err := client.Get(ctx, "none"); err != nil {
			return result{}, errors.Join(err, closeOrdinary(clients))
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	latencies := make([]time.Duration, o.requests)
	var next atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	for caller := range o.clients {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < o.requests; i = int(next.Add(1)) - 1 {
				asked := time.Now()
				if err := call(ctx, clients[caller%len(clients)], i); err != nil {
					stop(err)
					return
				}
				latencies[i] = time.Since(asked)
			}
		})
	}
	running.Wait()
	took := time.Since(began)
	err = context.Cause(ctx)
	stop(nil)
	return measured(o.requests, took, latencies), errors.Join(err, closeOrdinary(clients))
}
