// Works on keys: waiting for a server, filling it, puts, ranges, compaction under puts.
package main

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// noKey is one that nobody puts, and that every user of a bench may read.
const noKey = "bench/none"

// await returns when a linearizable read is answered; extra.servesAtMs is the wall clock then.
func await(ctx context.Context, o options) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.seconds*float64(time.Second)))
	defer cancel()
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	began := time.Now()
	for {
		_, err := pb.NewKVClient(connections[0]).Range(ctx, &pb.RangeRequest{Key: []byte(noKey)})
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
	answer, err := pb.NewKVClient(connections[0]).Range(ctx, &pb.RangeRequest{Key: []byte(noKey)})
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

func puts(ctx context.Context, o options) (result, error) {
	latencies, took, err := closedLoop(o, o.requests, putCalls(o))
	return measured(o.requests, took, latencies), err
}

// putCalls write keys outside of the range that fill writes.
func putCalls(o options) calls {
	value := make([]byte, o.valueBytes)
	return calls{method: pb.KV_Put_FullMethodName, request: func(_, i int) ([]byte, error) {
		return framed(&pb.PutRequest{Key: fmt.Appendf(nil, "bench/puts/%d", i%1000), Value: value})
	}}
}

// ranges asks for the whole prefix.
func ranges(ctx context.Context, o options) (result, error) {
	request, err := framed(&pb.RangeRequest{Key: []byte(keyPrefix), RangeEnd: []byte(keyPrefixEnd), Limit: int64(o.limit), CountOnly: o.countOnly})
	if err != nil {
		return result{}, err
	}
	latencies, took, err := closedLoop(o, o.requests, calls{
		method:  pb.KV_Range_FullMethodName,
		request: func(int, int) ([]byte, error) { return request, nil },
		check: func(_, _ int, answer []byte) error {
			page, err := parsePage(answer)
			if err == nil && (page.count != o.keys || page.keys != min(o.limit, o.keys) || page.more != (page.keys < o.keys && !o.countOnly)) {
				err = fmt.Errorf("counted %d keys of %d, more: %v", page.count, o.keys, page.more)
			}
			return err
		},
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
	connections, err := dial(o, 1)
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
		latencies, err := untilDone(putting, o, putCalls(o))
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
