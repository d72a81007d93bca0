// Closed loops: so many clients, each with one request in flight, the latency of each request.
package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// calls are the unary calls of a loop. A client makes them one after another.
type calls struct {
	method string
	// request is the i-th of the loop as it stands on the wire. It stays as it is until it is answered.
	request func(client, i int) ([]byte, error)
	// check, where there is one, looks at the answer to it.
	check func(client, i int, answer []byte) error
}

// closedLoop makes so many calls, from o.clients on o.connections, and stops at the first error.
func closedLoop(ctx context.Context, o options, requests int, of calls) ([]time.Duration, time.Duration, error) {
	return loop(ctx, o, of, func(i int) bool { return i < requests })
}

// untilDone makes calls until the second context ends.
func untilDone(ctx, until context.Context, o options, of calls) ([]time.Duration, error) {
	latencies, _, err := loop(ctx, o, of, func(int) bool { return until.Err() == nil })
	return latencies, err
}

// loop makes calls as long as goesOn for the number of the next. The time begins when all are connected.
func loop(ctx context.Context, o options, of calls, goesOn func(i int) bool) ([]time.Duration, time.Duration, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	connections := make([]*loopConnection, min(max(1, o.connections), max(1, o.clients)))
	var next atomic.Int64
	for at := range connections {
		raw, err := openRaw(ctx, o.endpoint)
		if err != nil {
			return nil, 0, err
		}
		connections[at] = &loopConnection{rawConnection: raw, calls: of, take: func() (int, bool) {
			i := int(next.Add(1)) - 1
			return i, goesOn(i)
		}}
	}
	var all sync.WaitGroup
	began := time.Now()
	for at, connection := range connections {
		all.Add(1)
		go func() {
			defer all.Done()
			// The others end with the context.
			if err := connection.run(at, max(1, o.clients), len(connections)); err != nil {
				fail(err)
			}
		}()
	}
	all.Wait()
	took := time.Since(began)
	var latencies []time.Duration
	for _, connection := range connections {
		latencies = append(latencies, connection.latencies...)
	}
	return latencies, took, context.Cause(ctx)
}

// loopConnection is the clients of one connection.
type loopConnection struct {
	*rawConnection
	calls     calls
	take      func() (i int, goesOn bool)
	latencies []time.Duration
}

// run is done when clients first, first+step, … have nothing more to ask.
func (l *loopConnection) run(first, clients, step int) error {
	for client := first; client < clients; client += step {
		if err := l.ask(client); err != nil {
			return err
		}
	}
	for len(l.streams) > 0 {
		if err := l.frame(nil); err != nil {
			return err
		}
	}
	return nil
}

// ask makes a client's next call, and when that is answered the one after it.
func (l *loopConnection) ask(client int) error {
	i, goesOn := l.take()
	if !goesOn {
		return nil
	}
	request, err := l.calls.request(client, i)
	if err != nil {
		return err
	}
	began := time.Now()
	return l.call(l.calls.method, request, func(answer []byte) error {
		l.latencies = append(l.latencies, time.Since(began))
		if l.calls.check != nil {
			if err := l.calls.check(client, i, answer); err != nil {
				return err
			}
		}
		return l.ask(client)
	})
}
