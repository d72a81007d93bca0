// Works on clusters: who leads, and a member that catches up while clients put, from the log or by a copy of the store.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// status tells whether the member leads: extra.leader is 1.
func status(ctx context.Context, o options) (result, error) {
	connections, err := dial(o, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(connections)
	answer, err := pb.NewMaintenanceClient(connections[0]).Status(ctx, &pb.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return result{}, err
	}
	leader := 0.0
	if answer.Leader == answer.Header.MemberId {
		leader = 1
	}
	return result{Extra: map[string]float64{"leader": leader}}, nil
}

// catchUp waits until o.follower serves o.revision from its own store, while clients put on the leader, o.rate puts a
// second together. Latencies are of the puts.
func catchUp(ctx context.Context, o options) (result, error) {
	behind := o
	behind.endpoint = o.follower
	followers, err := dial(behind, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(followers)
	putting, stop := context.WithCancel(ctx)
	var latencies []time.Duration
	putsDone := make(chan error, 1)
	go func() {
		var err error
		latencies, err = pacedPuts(putting, o)
		putsDone <- err
	}()
	began := time.Now()
	for {
		answer, err := pb.NewKVClient(followers[0]).Range(ctx, &pb.RangeRequest{Key: []byte("none"), Serializable: true}, grpc.WaitForReady(true))
		if err == nil && answer.Header.Revision >= int64(o.revision) {
			break
		}
		select {
		case err := <-putsDone:
			stop()
			return result{}, errors.Join(err, errors.New("puts ended before the member had caught up"))
		case <-time.After(10 * time.Millisecond):
		}
	}
	took := time.Since(began)
	stop()
	err = <-putsDone
	return measured(max(1, len(latencies)), took, latencies), err
}

// pacedPuts puts until the context ends, each of o.clients at its times; one that is late puts at once.
func pacedPuts(until context.Context, o options) ([]time.Duration, error) {
	connections, err := dial(o, o.connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	perClient := make([][]time.Duration, o.clients)
	failures := make([]error, o.clients)
	interval := time.Duration(o.clients) * time.Second / time.Duration(o.rate)
	var clients sync.WaitGroup
	for client := range o.clients {
		clients.Go(func() {
			kv := pb.NewKVClient(connections[client%len(connections)])
			request := &pb.PutRequest{Key: fmt.Appendf(nil, "bench/puts/%d", client), Value: make([]byte, o.valueBytes)}
			ticks := time.NewTicker(interval)
			defer ticks.Stop()
			for until.Err() == nil {
				began := time.Now()
				// One that has begun is answered, so that the end loses none.
				if _, failures[client] = kv.Put(context.WithoutCancel(until), request); failures[client] != nil {
					return
				}
				perClient[client] = append(perClient[client], time.Since(began))
				<-ticks.C
			}
		})
	}
	clients.Wait()
	return slices.Concat(perClient...), errors.Join(failures...)
}

// copiesMetric counts, by sender, the stores that a member has received.
const copiesMetric = "etcd_network_snapshot_receive_success{"

// copies tells how many copies of a store the member has received since it started: extra.copies.
func copies(ctx context.Context, o options) (result, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.endpoint+"/metrics", nil)
	if err != nil {
		return result{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return result{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return result{}, fmt.Errorf("metrics: %s", answer.Status)
	}
	total := 0.0
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), copiesMetric) {
			continue
		}
		_, number, _ := strings.Cut(lines.Text(), "} ")
		received, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return result{}, err
		}
		total += received
	}
	return result{Extra: map[string]float64{"copies": total}}, lines.Err()
}
