// Package crash kills a member in the middle of load and checks that what it acknowledged is there.
// This file is the load: workers with one write in flight each, who remember every attempt.
package crash

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	// keysPerWorker single keys and one pair of keys are written by each worker and nobody else.
	keysPerWorker = 4
	// writeWaitMax bounds one write; the member dies under it long before.
	writeWaitMax = 10 * time.Second
)

// attempt is one write that was sent: acknowledged with a revision, or of unknown fate.
type attempt struct {
	value        string
	acknowledged bool
	revision     int64
	// marks says what a transaction does to the worker's marker: true puts it, false deletes it.
	marks bool
}

// worker owns its keys, so the order of its attempts on a key is the order of the key's versions.
type worker struct {
	id       int
	sequence int
	// attempts by key; a transaction is an attempt on both keys of the pair.
	attempts map[string][]*attempt
}

func newWorker(id int) *worker { return &worker{id: id, attempts: map[string][]*attempt{}} }

func (w *worker) key(n int) string { return fmt.Sprintf("w/%03d/%d", w.id, n) }
func (w *worker) left() string     { return fmt.Sprintf("w/%03d/left", w.id) }
func (w *worker) right() string    { return fmt.Sprintf("w/%03d/right", w.id) }
func (w *worker) marker() string   { return fmt.Sprintf("m/%03d", w.id) }
func (w *worker) record(a *attempt, keys ...string) {
	for _, key := range keys {
		w.attempts[key] = append(w.attempts[key], a)
	}
}

// run writes until a write fails, which is when the member was killed, or until the context ends.
func (w *worker) run(ctx context.Context, kv pb.KVClient) {
	for ctx.Err() == nil {
		if err := w.write(kv); err != nil {
			return
		}
	}
}

func (w *worker) write(kv pb.KVClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWaitMax)
	defer cancel()
	w.sequence++
	made := &attempt{value: fmt.Sprintf("%d.%d", w.id, w.sequence)}
	var header *pb.ResponseHeader
	if w.sequence%3 == 0 {
		made.marks = w.sequence%2 == 0
		w.record(made, w.left(), w.right())
		answer, err := kv.Txn(ctx, w.pairTxn(made))
		if err != nil {
			return err
		}
		header = answer.Header
	} else {
		key := w.key(w.sequence % keysPerWorker)
		w.record(made, key)
		answer, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(made.value)})
		if err != nil {
			return err
		}
		header = answer.Header
	}
	made.acknowledged, made.revision = true, header.Revision
	return nil
}

// pairTxn writes both keys of the pair and puts or deletes the marker, all in one revision.
func (w *worker) pairTxn(made *attempt) *pb.TxnRequest {
	put := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(made.value)}}}
	}
	mark := put(w.marker())
	if !made.marks {
		mark = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(w.marker())}}}
	}
	return &pb.TxnRequest{Success: []*pb.RequestOp{put(w.left()), put(w.right()), mark}}
}

// load runs all workers until stop is closed or the member is gone, over a few connections.
func load(workers []*worker, connections []*grpc.ClientConn, stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for i, worker := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			worker.run(ctx, pb.NewKVClient(connections[i%len(connections)]))
		}()
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	select {
	case <-stop:
		cancel()
	case <-ended:
	}
	<-ended
}
