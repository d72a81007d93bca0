// A closed loop: so many requests, so many in flight, the latency of each.
package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// closedLoop calls one for 0…requests-1 with so many clients in flight and stops at the first error.
func closedLoop(o options, requests int, one func(connection *grpc.ClientConn, i int) error) ([]time.Duration, time.Duration, error) {
	connections, err := dial(o, o.connections)
	if err != nil {
		return nil, 0, err
	}
	defer closeAll(connections)
	latencies := make([]time.Duration, requests)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	started := time.Now()
	for client := range max(1, o.clients) {
		all.Add(1)
		go func() {
			defer all.Done()
			connection := connections[client%len(connections)]
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= requests {
					return
				}
				began := time.Now()
				if err := one(connection, i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				latencies[i] = time.Since(began)
			}
		}()
	}
	all.Wait()
	took := time.Since(started)
	if err := failed.Load(); err != nil {
		return nil, took, *err
	}
	return latencies, took, nil
}

// untilDone repeats one from so many clients until the context ends.
func untilDone(ctx context.Context, o options, connections []*grpc.ClientConn, one func(connection *grpc.ClientConn, i int) error) ([]time.Duration, error) {
	var lock sync.Mutex
	var latencies []time.Duration
	var failed error
	var next atomic.Int64
	var all sync.WaitGroup
	for client := range max(1, o.clients) {
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				began := time.Now()
				err := one(connections[client%len(connections)], int(next.Add(1)))
				took := time.Since(began)
				lock.Lock()
				latencies = append(latencies, took)
				if err != nil {
					failed = err
				}
				stop := failed != nil
				lock.Unlock()
				if stop {
					return
				}
			}
		}()
	}
	all.Wait()
	return latencies, failed
}

func closeAll(connections []*grpc.ClientConn) {
	for _, connection := range connections {
		_ = connection.Close()
	}
}
