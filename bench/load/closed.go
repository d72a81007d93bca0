// Closed loops: so many clients, each with one request in flight, the latency of each request.
package main

import (
	"context"
	"fmt"
	"time"
)

// calls are the unary calls of a loop. A client makes them one after another.
type calls struct {
	method string
	// request is the i-th of the loop as it stands on the wire. It stays as it is until it is answered.
	request func(client, i int) ([]byte, error)
	// check, where there is one, looks at the answer to it.
	check func(client, i int, answer []byte) error
	// again, where there is one, says after which refusal a call is made again, which counts as the same.
	again func(message string) bool
}

// callers are the clients that make them.
type callers struct {
	calls
	// goesOn says whether the i-th call is made.
	goesOn         func(i int) bool
	next, inFlight int
	latencies      []time.Duration
}

// closedLoop makes so many calls, from o.clients on o.connections, and stops at the first error.
func closedLoop(o options, requests int, of calls) ([]time.Duration, time.Duration, error) {
	return makeCalls(o, of, func(i int) bool { return i < requests })
}

// untilDone makes calls until the context ends.
func untilDone(until context.Context, o options, of calls) ([]time.Duration, error) {
	latencies, _, err := makeCalls(o, of, func(int) bool { return until.Err() == nil })
	return latencies, err
}

// makeCalls makes calls as long as goesOn for the number of the next. The time begins when all are connected.
func makeCalls(o options, of calls, goesOn func(i int) bool) ([]time.Duration, time.Duration, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return nil, 0, err
	}
	defer loop.close()
	connections, err := loop.openAll(o)
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	all, err := start(connections, o, of, goesOn)
	if err == nil {
		err = loop.turnWhile(func() bool { return all.inFlight > 0 })
	}
	return all.latencies, time.Since(began), err
}

// openAll makes o.connections and waits until the server has greeted on each.
func (l *rawLoop) openAll(o options) ([]*rawConnection, error) {
	connections := make([]*rawConnection, min(max(1, o.connections), max(1, o.clients)))
	for at := range connections {
		var err error
		if connections[at], err = l.open(o.endpoint); err != nil {
			return nil, err
		}
		connections[at].token = o.token
		if err := l.turnWhile(func() bool { return !connections[at].greeted }); err != nil {
			return nil, err
		}
	}
	return connections, nil
}

// start lets every client make its first call; they go on in the turns of the connections' loop.
func start(connections []*rawConnection, o options, of calls, goesOn func(i int) bool) (*callers, error) {
	all := &callers{calls: of, goesOn: goesOn}
	for client := range max(1, o.clients) {
		if err := all.ask(connections[client%len(connections)], client); err != nil {
			return all, err
		}
	}
	return all, nil
}

// ask makes a client's next call, and when that is answered the one after it.
func (a *callers) ask(connection *rawConnection, client int) error {
	i := a.next
	if !a.goesOn(i) {
		return nil
	}
	a.next++
	request, err := a.request(client, i)
	if err != nil {
		return err
	}
	a.inFlight++
	began := time.Now()
	done := func(answer []byte) error {
		a.inFlight--
		a.latencies = append(a.latencies, connection.socket.at.Sub(began))
		if a.check != nil {
			if err := a.check(client, i, answer); err != nil {
				return err
			}
		}
		return a.ask(connection, client)
	}
	var refused func(message string) error
	if a.again != nil {
		refused = func(message string) error {
			if !a.again(message) {
				return fmt.Errorf("the server refused a call: %s", message)
			}
			return connection.call(a.method, request, done, refused)
		}
	}
	return connection.call(a.method, request, done, refused)
}
