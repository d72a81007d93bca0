// Clients that put and get while a test does things to the members, and what all their calls came to.
package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// A call under load that takes longer counts as lost.
	loadCallMax       = 30 * time.Second
	leaderChangedText = "Unavailable: etcdserver: leader changed"
)

// answers counts calls by what was called and outcome.
type answers struct {
	mutex   sync.Mutex
	counted map[string]int
	slowest map[string]time.Duration
}

func newAnswers() *answers {
	return &answers{counted: map[string]int{}, slowest: map[string]time.Duration{}}
}

func (a *answers) note(call string, took time.Duration, err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	told := call + ": " + member.Outcome(err)
	a.counted[told]++
	a.slowest[told] = max(a.slowest[told], took)
}

// check logs all outcomes, once the clients have ended, and is an error for each that may not be.
func (a *answers) check(t *testing.T, mayBe func(told string) bool) {
	t.Helper()
	for _, told := range slices.Sorted(maps.Keys(a.counted)) {
		t.Logf("%6d times %s (slowest %v)", a.counted[told], told, a.slowest[told].Round(time.Millisecond))
		if !mayBe(told) {
			t.Errorf("%d calls ended with %s", a.counted[told], told)
		}
	}
}

// timed makes a call and notes what came of it.
func timed(ctx context.Context, got *answers, call string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, loadCallMax)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	got.note(call, time.Since(began), err)
	return err
}

// store is a client's way to the keys; its calls are noted under its name.
type store struct {
	name string
	put  func(ctx context.Context, key, value string) error
	get  func(ctx context.Context, key string) ([]*mvccpb.KeyValue, error)
}

// plain is what gRPC's own client does, which asks once.
func plain(kv pb.KVClient) store {
	return store{
		put: func(ctx context.Context, key, value string) error {
			_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
			return err
		},
		get: func(ctx context.Context, key string) ([]*mvccpb.KeyValue, error) {
			answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
			return answer.GetKvs(), err
		},
	}
}

// retried is what etcd's client does, which asks again where it may: its user sees no error at all.
func retried(client *clientv3.Client) store {
	return store{
		name: "client's ",
		put: func(ctx context.Context, key, value string) error {
			_, err := client.Put(ctx, key, value)
			return err
		},
		get: func(ctx context.Context, key string) ([]*mvccpb.KeyValue, error) {
			answer, err := client.Get(ctx, key)
			if err != nil {
				return nil, err
			}
			return answer.Kvs, nil
		},
	}
}

// putAndGet writes a key, which is this client's alone, and reads it back until loading ends; every call is waited for.
func putAndGet(loading, ctx context.Context, through store, key string, got *answers) {
	for at := 0; loading.Err() == nil; at++ {
		value := fmt.Sprint(at)
		err := timed(ctx, got, through.name+"put", func(ctx context.Context) error { return through.put(ctx, key, value) })
		if err != nil {
			continue
		}
		_ = timed(ctx, got, through.name+"get", func(ctx context.Context) error {
			found, err := through.get(ctx, key)
			if err == nil && (len(found) != 1 || string(found[0].Value) != value) {
				err = fmt.Errorf("%s is %v after %s was put", key, found, value)
			}
			return err
		})
	}
}
