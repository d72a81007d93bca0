// The store's history: what the watchers saw must be it, each event once, in order, none missing.
package history

import (
	"context"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Watched counts what a comparison has looked at.
type Watched struct {
	Watchers, Streams, Events, Repeated int
}

// Compare checks that the first watcher, who saw all keys, has every revision and that its events make the store as it
// is at the revision; and that every other has exactly the part of it that it watched.
func Compare(ctx context.Context, kv pb.KVClient, watchers []*Watcher, revision int64) (Watched, error) {
	reference := watchers[0]
	if err := reference.checkAgainstStore(ctx, kv, revision); err != nil {
		return Watched{}, err
	}
	counted := Watched{Watchers: len(watchers)}
	for _, one := range watchers {
		for at := int64(2); at <= revision; at++ {
			var expected []string
			for _, event := range reference.revisions[at] {
				if one.contains(keyOf(event)) {
					expected = append(expected, event)
				}
			}
			if got := one.revisions[at]; !slices.Equal(got, expected) {
				return counted, fmt.Errorf("watch of [%q, %q): revision %d is %v, in the store %v", one.key, one.end, at, got, expected)
			}
			counted.Events += len(expected)
		}
		counted.Streams, counted.Repeated = counted.Streams+one.connects, counted.Repeated+one.repeated
	}
	if counted.Repeated == 0 || counted.Streams <= len(watchers) {
		return counted, fmt.Errorf("no watcher resumed, so nothing was tested: %+v", counted)
	}
	return counted, nil
}

// Events are what the watcher saw, ascending.
func (w *Watcher) Events() []*mvccpb.Event { return w.events }

func (w *Watcher) checkAgainstStore(ctx context.Context, kv pb.KVClient, revision int64) error {
	for at := int64(2); at <= revision; at++ {
		if len(w.revisions[at]) == 0 {
			return fmt.Errorf("the watcher of all keys has no event of revision %d", at)
		}
	}
	live := map[string]*mvccpb.KeyValue{}
	for _, event := range w.events {
		if event.Type == mvccpb.Event_DELETE {
			delete(live, string(event.Kv.Key))
		} else {
			live[string(event.Kv.Key)] = event.Kv
		}
	}
	answer, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: revision})
	if err != nil {
		return err
	}
	for _, stored := range answer.Kvs {
		seen := live[string(stored.Key)]
		if seen == nil || seen.String() != stored.String() {
			return fmt.Errorf("the store has %v, the events made it %v", stored, seen)
		}
	}
	if len(answer.Kvs) != len(live) {
		return fmt.Errorf("the store has %d keys, the events made %d", len(answer.Kvs), len(live))
	}
	return nil
}

// keyOf is the key in an event's text.
func keyOf(event string) string { return strings.Split(event, `"`)[1] }

func (w *Watcher) contains(key string) bool {
	first := w.key
	if first == "" {
		first = "\x00"
	}
	switch w.end {
	case "":
		return key == first
	case "\x00":
		return key >= first
	default:
		return key >= first && key < w.end
	}
}
