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
	// searchTimeMax bounds the search of one piece. A search that takes longer is a failure, not a pass.
	searchTimeMax = time.Minute
	// pieceOperations are searched at once.
	pieceOperations = 2000
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
	return checked, linearize(linearizable, events, pieceOperations)
}

// linearize searches the order piece by piece: whoever was answered at an older revision comes before whoever was
// answered at a newer one, so a long history may be cut between any two revisions. The search takes the square of the
// length of what it is given.
func linearize(operations []*Operation, events []*mvccpb.Event, pieceMax int) error {
	slices.SortFunc(operations, func(a, b *Operation) int { return int(a.Answer.Revision - b.Answer.Revision) })
	if err := checkRevisionsFollowTime(operations); err != nil {
		return err
	}
	began := state{revision: 1}
	for len(operations) > 0 {
		piece := operations[:cutAfter(operations, pieceMax)]
		if err := search(piece, began); err != nil {
			return err
		}
		operations = operations[len(piece):]
		last := piece[len(piece)-1].Answer.Revision
		began, events = began.applyTo(last, events)
	}
	return nil
}

// cutAfter is the length of the first piece: pieceMax, or more if that is in the middle of a revision.
func cutAfter(operations []*Operation, pieceMax int) int {
	at := min(pieceMax, len(operations))
	for at < len(operations) && operations[at].Answer.Revision == operations[at-1].Answer.Revision {
		at++
	}
	return at
}

// checkRevisionsFollowTime checks what the pieces cannot see: that nothing of a newer revision had been answered
// before something of an older one was asked for. The operations are ascending by revision.
func checkRevisionsFollowTime(operations []*Operation) error {
	var latest, latestBefore *Operation // of the calls, up to this revision and before it
	for at, one := range operations {
		if at == 0 || one.Answer.Revision != operations[at-1].Answer.Revision {
			latestBefore = latest
		}
		if latestBefore != nil && one.Return < latestBefore.Call {
			return fmt.Errorf("the history is not linearizable: of these the second had its answer before the first was asked for:\n%v\n%v", latestBefore, one)
		}
		if latest == nil || one.Call > latest.Call {
			latest = one
		}
	}
	return nil
}

// search looks for an order of the operations that begins in this state.
func search(operations []*Operation, began state) error {
	var history []porcupine.Operation
	for _, one := range operations {
		history = append(history, porcupine.Operation{ClientId: one.Client, Input: one.Request, Output: one.Answer,
			Call: int64(one.Call), Return: int64(one.Return)})
	}
	furthest := began
	var mutex sync.Mutex
	model := porcupine.Model{
		Init: func() any { return began },
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
	result := porcupine.CheckOperationsTimeout(model, history, searchTimeMax)
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
		at, events = at.applyTo(one.Answer.Revision, events)
		if expected := at.read(one.Request.Key, one.Request.End); !slices.Equal(one.Answer.Pairs, expected) {
			return fmt.Errorf("the store held %v at that revision: %v", expected, one)
		}
	}
	return nil
}

// applyTo makes the changes up to the revision, and returns the events that are left.
func (s state) applyTo(revision int64, events []*mvccpb.Event) (state, []*mvccpb.Event) {
	for len(events) > 0 && events[0].Kv.ModRevision <= revision {
		s, events = s.apply(events[0]), events[1:]
	}
	return s, events
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
