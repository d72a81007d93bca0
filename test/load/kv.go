// Works on keys: waiting for a server, filling it, puts, ranges, compaction under puts.
package main

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// await returns when a linearizable read is answered; extra.servesAtMs is the wall clock then.
func await(ctx context.Context, o options) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer cancel()
	connection, err := grpc.NewClient("passthrough:///"+o.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
			Backoff: backoff.Config{BaseDelay: 2 * time.Millisecond, Multiplier: 1, MaxDelay: 2 * time.Millisecond}}))
	if err != nil {
		return result{}, err
	}
	defer connection.Close()
	began := time.Now()
	for {
		_, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("serving?")})
		if err == nil {
			return result{Operations: 1, Seconds: time.Since(began).Seconds(),
				Extra: map[string]float64{"servesAtMs": float64(time.Now().UnixMicro()) / 1000}}, nil
		}
		if ctx.Err() != nil {
			return result{}, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func revision(ctx context.Context, o options) (result, error) {
	now, err := currentRevision(ctx, o)
	return result{Extra: map[string]float64{"revision": float64(now)}}, err
}

func currentRevision(ctx context.Context, o options) (int64, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return 0, err
	}
	defer closeAll(connections)
	answer, err := pb.NewKVClient(connections[0]).Range(ctx, &pb.RangeRequest{Key: []byte("none")})
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

// fill writes all keys in transactions; operations are keys, latencies of transactions.
func fill(ctx context.Context, o options) (result, error) {
	value := make([]byte, o.valueBytes)
	latencies, took, err := closedLoop(o, (o.keys+o.txn-1)/o.txn, func(connection *grpc.ClientConn, i int) error {
		txn := &pb.TxnRequest{}
		for k := i * o.txn; k < min((i+1)*o.txn, o.keys); k++ {
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: key(k), Value: value}}})
		}
		_, err := pb.NewKVClient(connection).Txn(ctx, txn)
		return err
	})
	return measured(o.keys, took, latencies), err
}

func puts(ctx context.Context, o options) (result, error) {
	latencies, took, err := closedLoop(o, o.requests, putOne(ctx, o))
	return measured(o.requests, took, latencies), err
}

// putOne writes keys outside of the range that fill writes.
func putOne(ctx context.Context, o options) func(connection *grpc.ClientConn, i int) error {
	value := make([]byte, o.valueBytes)
	return func(connection *grpc.ClientConn, i int) error {
		_, err := pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "bench/puts/%d", i%1000), Value: value})
		return err
	}
}

// ranges asks for the whole prefix, or for spans of so many keys that begin at different places.
func ranges(ctx context.Context, o options) (result, error) {
	latencies, took, err := closedLoop(o, o.requests, func(connection *grpc.ClientConn, i int) error {
		request := &pb.RangeRequest{Key: []byte(keyPrefix), RangeEnd: []byte(keyPrefixEnd), Limit: int64(o.limit), CountOnly: o.countOnly}
		expected := o.keys
		if o.span > 0 {
			first := i * 7919 % (o.keys - o.span + 1)
			request.Key, request.RangeEnd = key(first), key(first+o.span)
			expected = o.span
		}
		answer, err := pb.NewKVClient(connection).Range(ctx, request)
		if err == nil && answer.Count != int64(expected) {
			err = fmt.Errorf("counted %d keys of %d", answer.Count, expected)
		}
		return err
	})
	return measured(o.requests, took, latencies), err
}

// compact removes everything superseded, physically, while clients put. Latencies are of the puts;
// extra.compactSeconds is the time of the compaction.
func compact(ctx context.Context, o options) (result, error) {
	now, err := currentRevision(ctx, o)
	if err != nil {
		return result{}, err
	}
	connections, err := dial(o, o.connections+1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	putting, stop := context.WithCancel(ctx)
	type outcome struct {
		latencies []time.Duration
		err       error
	}
	done := make(chan outcome, 1)
	go func() {
		latencies, err := untilDone(putting, o, connections[1:], putOne(ctx, o))
		done <- outcome{latencies, err}
	}()
	began := time.Now()
	_, err = pb.NewKVClient(connections[0]).Compact(ctx, &pb.CompactionRequest{Revision: now, Physical: true})
	took := time.Since(began)
	stop()
	put := <-done
	if err == nil {
		err = put.err
	}
	summary := measured(len(put.latencies), took, put.latencies)
	summary.Extra = map[string]float64{"compactSeconds": took.Seconds()}
	return summary, err
}
