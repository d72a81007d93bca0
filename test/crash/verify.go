// Checks a store against what the workers remember: the versions of every key are read back one by one.
package crash

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// verifyWaitMax bounds one read of the check.
const verifyWaitMax = 30 * time.Second

// readBack is what has been read back of every key so far, oldest version first.
type readBack struct {
	versions map[string][]*mvccpb.KeyValue
	// revision of the store at the last check.
	revision int64
}

func newReadBack() *readBack {
	return &readBack{versions: map[string][]*mvccpb.KeyValue{}, revision: 1}
}

// verify reads what is new since the last check and compares all of it with the attempts.
func (r *readBack) verify(kv pb.KVClient, workers []*worker) error {
	revision, err := currentRevision(kv)
	if err != nil {
		return err
	}
	if revision < r.revision {
		return fmt.Errorf("the store went back from revision %d to %d", r.revision, revision)
	}
	for _, worker := range workers {
		for key, attempts := range worker.attempts {
			if err := r.extend(kv, key); err != nil {
				return err
			}
			if err := matchAttempts(key, attempts, r.versions[key]); err != nil {
				return err
			}
		}
		if err := r.checkPair(kv, worker); err != nil {
			return err
		}
	}
	r.revision = revision
	return r.checkRevisions(workers)
}

// extend walks back from the key's current version to the last one known.
func (r *readBack) extend(kv pb.KVClient, key string) error {
	known := r.versions[key]
	var fresh []*mvccpb.KeyValue
	for at := int64(0); ; {
		found, err := read(kv, key, at)
		if err != nil {
			return fmt.Errorf("%s at revision %d: %w", key, at, err)
		}
		if found == nil {
			if len(known) > 0 {
				return fmt.Errorf("%s had %d versions and has lost them", key, len(known))
			}
			break
		}
		if len(known) > 0 && found.ModRevision <= known[len(known)-1].ModRevision {
			if found.ModRevision != known[len(known)-1].ModRevision {
				return fmt.Errorf("%s has lost its version of revision %d", key, known[len(known)-1].ModRevision)
			}
			break
		}
		fresh = append(fresh, found)
		if at = found.ModRevision - 1; at < 1 {
			return fmt.Errorf("%s was modified at revision %d", key, found.ModRevision)
		}
	}
	for i := len(fresh) - 1; i >= 0; i-- {
		known = append(known, fresh[i])
	}
	r.versions[key] = known
	return nil
}

// matchAttempts checks that the versions are the attempts in order: every acknowledged one exactly once at
// its revision, every other at most once, nothing else, and no gap in versions.
func matchAttempts(key string, attempts []*attempt, versions []*mvccpb.KeyValue) error {
	next := 0
	for i, version := range versions {
		if version.Version != int64(i)+1 || version.CreateRevision != versions[0].ModRevision {
			return fmt.Errorf("%s: version %d of revision %d, created at %d, stands at place %d", key, version.Version, version.ModRevision, version.CreateRevision, i+1)
		}
		for next < len(attempts) && attempts[next].value != string(version.Value) {
			if attempts[next].acknowledged {
				return fmt.Errorf("%s: acknowledged value %s of revision %d is not there", key, attempts[next].value, attempts[next].revision)
			}
			next++
		}
		if next == len(attempts) {
			return fmt.Errorf("%s: value %q of revision %d is there twice or was never written", key, version.Value, version.ModRevision)
		}
		if attempts[next].acknowledged && attempts[next].revision != version.ModRevision {
			return fmt.Errorf("%s: value %s was acknowledged at revision %d and is at %d", key, version.Value, attempts[next].revision, version.ModRevision)
		}
		next++
	}
	for ; next < len(attempts); next++ {
		if attempts[next].acknowledged {
			return fmt.Errorf("%s: acknowledged value %s of revision %d is not there", key, attempts[next].value, attempts[next].revision)
		}
	}
	return nil
}

// checkPair checks that transactions are whole: both keys have the same versions, and the marker is as the
// last of them left it.
func (r *readBack) checkPair(kv pb.KVClient, w *worker) error {
	left, right := r.versions[w.left()], r.versions[w.right()]
	if len(left) != len(right) {
		return fmt.Errorf("worker %d: half a transaction: %d and %d versions", w.id, len(left), len(right))
	}
	for i := range left {
		if left[i].ModRevision != right[i].ModRevision || string(left[i].Value) != string(right[i].Value) {
			return fmt.Errorf("worker %d: half a transaction at revision %d", w.id, left[i].ModRevision)
		}
	}
	marked, err := read(kv, w.marker(), 0)
	if err != nil {
		return err
	}
	var expected bool
	if len(left) > 0 {
		last := string(left[len(left)-1].Value)
		for _, made := range w.attempts[w.left()] {
			if made.value == last {
				expected = made.marks
			}
		}
		if expected && (marked == nil || string(marked.Value) != last || marked.ModRevision != left[len(left)-1].ModRevision) {
			return fmt.Errorf("worker %d: the marker of %s is %v", w.id, last, marked)
		}
	}
	if !expected && marked != nil {
		return fmt.Errorf("worker %d: the marker should be deleted and is %v", w.id, marked)
	}
	return nil
}

// checkRevisions checks that every revision up to the current one is one write of a worker.
func (r *readBack) checkRevisions(workers []*worker) error {
	seen := map[int64]bool{}
	for _, worker := range workers {
		for key := range worker.attempts {
			for _, version := range r.versions[key] {
				if seen[version.ModRevision] && key != worker.right() && key != worker.left() {
					return fmt.Errorf("revision %d was given to two writes, one of them to %s", version.ModRevision, key)
				}
				seen[version.ModRevision] = true
			}
		}
	}
	if int64(len(seen)) != r.revision-1 {
		return fmt.Errorf("the store is at revision %d but %d writes are in it", r.revision, len(seen))
	}
	return nil
}

func read(kv pb.KVClient, key string, at int64) (*mvccpb.KeyValue, error) {
	ctx, cancel := context.WithTimeout(context.Background(), verifyWaitMax)
	defer cancel()
	answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(key), Revision: at, Serializable: true})
	if err != nil || len(answer.Kvs) == 0 {
		return nil, err
	}
	return answer.Kvs[0], nil
}

func currentRevision(kv pb.KVClient) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), verifyWaitMax)
	defer cancel()
	answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("none")})
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}
