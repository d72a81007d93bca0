// Works on connections as such: handshakes, connections that do nothing, and an answer so large that only bytes count.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
)

// handshakeMax is the longest that one may take.
const handshakeMax = time.Minute

// An HTTP/2 client's first words; a server has finished the handshake when it answers them.
var greeting = http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// handshakes makes o.requests connections, o.clients at a time, and closes each when the server has greeted. All of them
// are full, or with o.resumed none but each client's first, which does not count.
func handshakes(_ context.Context, o options) (result, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return result{}, err
	}
	if config == nil {
		return result{}, errors.New("handshakes need a CA")
	}
	// The one curve that every client and server has. A chain is the client's to check and costs the server nothing.
	config.CurvePreferences = []tls.CurveID{tls.X25519}
	config.InsecureSkipVerify = true
	latencies := make([]time.Duration, o.requests)
	failures := make([]error, o.clients)
	var ready, running sync.WaitGroup
	var next atomic.Int64
	begin := make(chan struct{})
	ready.Add(o.clients)
	for client := range o.clients {
		running.Go(func() {
			own := config.Clone()
			if o.resumed {
				own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				_, failures[client] = shake(o.endpoint, own)
			}
			ready.Done()
			<-begin
			for i := int(next.Add(1)) - 1; i < o.requests && failures[client] == nil; i = int(next.Add(1)) - 1 {
				began := time.Now()
				resumed, err := shake(o.endpoint, own)
				if err == nil && resumed != o.resumed {
					err = fmt.Errorf("resumed: %v", resumed)
				}
				latencies[i], failures[client] = time.Since(began), err
			}
		})
	}
	ready.Wait()
	began := time.Now()
	close(begin)
	running.Wait()
	return measured(o.requests, time.Since(began), latencies), errors.Join(failures...)
}

// shake makes one connection and says whether it took up a session.
func shake(endpoint string, config *tls.Config) (bool, error) {
	plain, err := net.DialTimeout("tcp", endpoint, handshakeMax)
	if err != nil {
		return false, err
	}
	defer plain.Close()
	connection := tls.Client(plain, config)
	var answer [frameHeadBytes]byte
	err = errors.Join(plain.SetDeadline(time.Now().Add(handshakeMax)), connection.Handshake())
	if err == nil {
		_, err = io.WriteString(connection, greeting)
	}
	if err == nil {
		_, err = io.ReadFull(connection, answer[:])
	}
	return connection.ConnectionState().DidResume, err
}

// idle opens o.connections, makes a range on each, keeps them for work of another process, and makes one more: to hold
// connections that the server has closed would cost it nothing.
func idle(_ context.Context, o options) (result, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	o.clients = o.connections
	connections, err := loop.openAll(o)
	if err != nil {
		return result{}, err
	}
	if err := loop.rangeOnEach(connections, o); err != nil {
		return result{}, err
	}
	if err := holdOpen(); err != nil {
		return result{}, err
	}
	return result{Operations: o.connections}, loop.rangeOnEach(connections, o)
}

func (l *rawLoop) rangeOnEach(connections []*rawConnection, o options) error {
	request, err := framed(&pb.RangeRequest{Key: []byte(noKey)})
	if err != nil {
		return err
	}
	all, err := start(connections, o, calls{
		method:  pb.KV_Range_FullMethodName,
		request: func(int, int) ([]byte, error) { return request, nil },
	}, func(i int) bool { return i < len(connections) })
	if err != nil {
		return err
	}
	return l.turnWhile(func() bool { return all.inFlight > 0 })
}

// readAll asks for everything that fill wrote in one Range, o.requests times on one connection. Operations are keys,
// extra.bytesPerSecond is what came. Of the answer only the length is looked at.
func readAll(_ context.Context, o options) (result, error) {
	loop, err := newRawLoop(o)
	if err != nil {
		return result{}, err
	}
	defer loop.close()
	connections, err := loop.openAll(o)
	if err != nil {
		return result{}, err
	}
	request, err := framed(&pb.RangeRequest{Key: []byte(keyPrefix), RangeEnd: []byte(keyPrefixEnd)})
	if err != nil {
		return result{}, err
	}
	total := 0
	began := time.Now()
	for range o.requests {
		bytes, err := loop.readOnce(connections[0], pb.KV_Range_FullMethodName, request)
		if err != nil {
			return result{}, err
		}
		if least := o.keys * (len(key(0)) + o.valueBytes); bytes < least {
			return result{}, fmt.Errorf("%d bytes, where %d keys have at least %d", bytes, o.keys, least)
		}
		total += bytes
	}
	took := time.Since(began)
	summary := measured(o.keys*o.requests, took, nil)
	summary.Extra = map[string]float64{"bytesPerSecond": float64(total) / took.Seconds()}
	return summary, nil
}

// readOnce makes a call and throws its answer away as it comes; how many bytes it had.
func (l *rawLoop) readOnce(connection *rawConnection, method string, request []byte) (int, error) {
	stream, err := connection.open(method)
	if err != nil {
		return 0, err
	}
	bytes, ended := 0, false
	stream.raw = func(data []byte) { bytes += len(data) }
	stream.last = true
	stream.answer = []byte{}
	stream.done = func([]byte) error { ended = true; return nil }
	if err := connection.send(stream, request); err != nil {
		return 0, err
	}
	err = l.turnWhile(func() bool { return !ended })
	return bytes, err
}
