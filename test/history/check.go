// The check of a recording: linearizability with Porcupine, and serializable reads against the store's history.
package history

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

const (
	// CheckTimeMax bounds the search. A search that takes longer is a failure, not a pass.
	CheckTimeMax = 2 * time.Minute
	// operationsTold bounds what an error says of the place where the search ended.
	operationsTold = 12
)

// Checked counts what a check has looked at.
type Checked struct {
	// Operations were put in an order, Learnt of them without an answer; Dropped had none and were not done.
	Operations, Learnt, Dropped int
	// Serializable reads were compared with the store's history.
	Serializable int
}

// Check puts the operations in an order in which a store that began empty at revision 1 gives every answer, and
// every operation lies between its call and its return. events is the store's whole history, ascending.
func Check(operations []*Operation, events []*mvccpb.Event) (Checked, error) {
	done, err := resolve(operations, events)
	if err != nil {
		return Checked{}, err
	}
	checked := Checked{Dropped: len(operations) - len(done)}
	var linearizable, serializable []*Operation
	for _, one := range done {
		if one.Answer.Learnt {
			checked.Learnt++
		}
		if one.Request.Serializable {
			serializable = append(serializable, one)
		} else {
			linearizable = append(linearizable, one)
		}
	}
	checked.Operations, checked.Serializable = len(linearizable), len(serializable)
	if err := checkSerializable(serializable, events); err != nil {
		return checked, err
	}
	return checked, linearize(linearizable)
}

func linearize(operations []*Operation) error {
	var history []porcupine.Operation
	for _, one := range operations {
		history = append(history, porcupine.Operation{ClientId: one.Client, Input: one.Request, Output: one.Answer,
			Call: int64(one.Call), Return: int64(one.Return)})
	}
	var furthest state
	var mutex sync.Mutex
	model := porcupine.Model{
		Init: func() any { return state{revision: 1} },
		Step: func(before, request, answer any) (bool, any) {
			possible, after := before.(state).step(request.(Request), answer.(Answer))
			mutex.Lock()
			defer mutex.Unlock()
			if possible && after.revision > furthest.revision {
				furthest = after
			}
			return possible, after
		},
		Equal: func(a, b any) bool { return a.(state).equal(b.(state)) },
		Hash:  func(s any) uint64 { return uint64(s.(state).revision) },
	}
	result := porcupine.CheckOperationsTimeout(model, history, CheckTimeMax)
	if result == porcupine.Ok {
		return nil
	}
	mutex.Lock()
	defer mutex.Unlock()
	return fmt.Errorf("the history is not linearizable (%v); the best order ends in %v; about there:\n%s",
		result, furthest, around(operations, furthest.revision))
}

// around tells the operations that a reader of the error wants to see: those of the revision and of the next.
func around(operations []*Operation, revision int64) string {
	var told []string
	for _, one := range operations {
		if one.Answer.Revision == revision || one.Answer.Revision == revision+1 {
			told = append(told, one.String())
		}
	}
	slices.Sort(told)
	return strings.Join(told[:min(len(told), operationsTold)], "\n")
}

// checkSerializable compares every such read with the store as it was at the revision of its answer.
func checkSerializable(reads []*Operation, events []*mvccpb.Event) error {
	slices.SortFunc(reads, func(a, b *Operation) int { return int(a.Answer.Revision - b.Answer.Revision) })
	at := state{revision: 1}
	for _, one := range reads {
		for len(events) > 0 && events[0].Kv.ModRevision <= one.Answer.Revision {
			at = at.apply(events[0])
			events = events[1:]
		}
		if expected := at.read(one.Request.Key, one.Request.End); !slices.Equal(one.Answer.Pairs, expected) {
			return fmt.Errorf("the store held %v at that revision: %v", expected, one)
		}
	}
	return nil
}

// apply makes one event's change.
func (s state) apply(event *mvccpb.Event) state {
	after := state{revision: event.Kv.ModRevision, pairs: slices.Clone(s.pairs)}
	at, found := after.find(string(event.Kv.Key))
	if found {
		after.pairs = slices.Delete(after.pairs, at, at+1)
	}
	if event.Type == mvccpb.Event_PUT {
		after.pairs = slices.Insert(after.pairs, at, pairsOf(event.Kv)...)
	}
	return after
}
