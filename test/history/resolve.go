// What became of the operations whose answer never came: the store's history knows. It is complete (Compare has
// shown that every revision is in it), so what is not in it was not done, and what is in it has its revision. Without
// this the search would have to try every such operation at every place.
package history

import (
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// fates is the store's history, arranged by what tells an operation.
type fates struct {
	// wrote is the revision that put a value; deleted are the revisions that only deleted a key, ascending.
	wrote   map[string]int64
	deleted map[string][]int64
}

func fatesOf(events []*mvccpb.Event) (fates, error) {
	known := fates{wrote: map[string]int64{}, deleted: map[string][]int64{}}
	for _, event := range events {
		key, revision := string(event.Kv.Key), event.Kv.ModRevision
		if event.Type == mvccpb.Event_DELETE {
			known.deleted[key] = append(known.deleted[key], revision)
			continue
		}
		value := string(event.Kv.Value)
		if before, again := known.wrote[value]; again && before != revision {
			return known, fmt.Errorf("%s=%s was written at revision %d and at %d", key, value, before, revision)
		}
		known.wrote[value] = revision
	}
	return known, nil
}

// resolve returns the operations that were done, each with its revision. An acknowledged write that is not in the
// store's history, or not where its answer says, is an error.
func resolve(operations []*Operation, events []*mvccpb.Event) ([]*Operation, error) {
	known, err := fatesOf(events)
	if err != nil {
		return nil, err
	}
	if err := known.claim(operations); err != nil {
		return nil, err
	}
	var done []*Operation
	var deletes []*Operation
	for _, one := range operations {
		switch {
		case !one.unknown():
			done = append(done, one)
		case one.Request.Kind == Delete:
			deletes = append(deletes, one)
		case one.Request.Kind != Read && known.wrote[one.Request.Value] > 0:
			done = append(done, one.learnt(known.wrote[one.Request.Value]))
		}
	}
	return known.giveDeletes(done, deletes)
}

// claim checks every acknowledged write, and takes away the deletions that were acknowledged.
func (f fates) claim(operations []*Operation) error {
	for _, one := range operations {
		if one.unknown() || !one.wrote() {
			continue
		}
		key, revision := one.Request.Key, one.Answer.Revision
		if one.Request.Kind != Delete {
			if f.wrote[one.Request.Value] != revision {
				return fmt.Errorf("acknowledged, and in the store's history at revision %d (0: not at all): %v", f.wrote[one.Request.Value], one)
			}
			continue
		}
		at := slices.Index(f.deleted[key], revision)
		if at < 0 {
			return fmt.Errorf("acknowledged, and not in the store's history: %v", one)
		}
		f.deleted[key] = slices.Delete(f.deleted[key], at, at+1)
	}
	return nil
}

// giveDeletes gives the deletions that nobody was told of to the deletes without an answer. Any of them may be done at
// any time after its call, so the one called first takes the first: if any assignment is right, this one is.
func (f fates) giveDeletes(done, deletes []*Operation) ([]*Operation, error) {
	slices.SortFunc(deletes, func(a, b *Operation) int { return int(a.Call - b.Call) })
	for _, one := range deletes {
		left := f.deleted[one.Request.Key]
		if len(left) > 0 {
			done = append(done, one.learnt(left[0]))
			f.deleted[one.Request.Key] = left[1:]
		}
	}
	for key, left := range f.deleted {
		if len(left) > 0 {
			return nil, fmt.Errorf("%s was deleted at revisions %v, and no client asked for it", key, left)
		}
	}
	return done, nil
}

func (o *Operation) learnt(revision int64) *Operation {
	copied := *o
	copied.Answer = Answer{Revision: revision, Learnt: true, Succeeded: true}
	copied.Return = never
	return &copied
}
