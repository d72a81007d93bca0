// The checker itself: a right history passes, and each kind of damage is seen.
package history

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// A history of two clients: a put, a swap that writes two keys, a failed swap, a delete, reads, and operations
// without an answer of which some were done.
func goodHistory() ([]*Operation, []*mvccpb.Event) {
	at := func(from, to int, client int, request Request, answer Answer) *Operation {
		return &Operation{Client: client, Request: request, Answer: answer,
			Call: time.Duration(from), Return: time.Duration(to)}
	}
	lost := func(from, client int, request Request) *Operation {
		return &Operation{Client: client, Request: request, Call: time.Duration(from), Return: never, Problem: "timeout"}
	}
	first := Pair{Key: "a", Value: "1", Create: 2, Modify: 2, Version: 1}
	second := Pair{Key: "a", Value: "2", Create: 2, Modify: 3, Version: 2}
	copied := Pair{Key: "a'", Value: "2", Create: 3, Modify: 3, Version: 1}
	operations := []*Operation{
		at(0, 10, 0, Request{Kind: Put, Key: "a", Value: "1"}, Answer{Revision: 2}),
		at(5, 12, 1, Request{Kind: Read, Key: "a"}, Answer{Revision: 1}),
		at(20, 30, 0, Request{Kind: Swap, Key: "a", Copy: "a'", Value: "2", Expected: 2}, Answer{Revision: 3, Succeeded: true}),
		at(31, 40, 1, Request{Kind: Swap, Key: "a", Copy: "a'", Value: "x", Expected: 2}, Answer{Revision: 3, Pairs: []Pair{second}}),
		lost(41, 0, Request{Kind: Put, Key: "b", Value: "3"}),
		lost(41, 2, Request{Kind: Put, Key: "b", Value: "never"}),
		lost(42, 3, Request{Kind: Delete, Key: "a"}),
		lost(42, 4, Request{Kind: Delete, Key: "a"}),
		at(50, 60, 1, Request{Kind: Read, Key: "a", End: "z"}, Answer{Revision: 3, Pairs: []Pair{second, copied}}),
		at(70, 80, 1, Request{Kind: Delete, Key: "b"}, Answer{Revision: 6,
			Pairs: []Pair{{Key: "b", Value: "3", Create: 4, Modify: 4, Version: 1}}}),
		at(81, 82, 1, Request{Kind: Read, Key: "a", End: "z"}, Answer{Revision: 6, Pairs: []Pair{copied}}),
		at(83, 84, 1, Request{Kind: Read, Key: "a", Serializable: true}, Answer{Revision: 2, Pairs: []Pair{first}}),
	}
	event := func(kind mvccpb.Event_EventType, revision int64, key, value string, create, version int64) *mvccpb.Event {
		return &mvccpb.Event{Type: kind, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value),
			ModRevision: revision, CreateRevision: create, Version: version}}
	}
	return operations, []*mvccpb.Event{
		event(mvccpb.Event_PUT, 2, "a", "1", 2, 1),
		event(mvccpb.Event_PUT, 3, "a", "2", 2, 2),
		event(mvccpb.Event_PUT, 3, "a'", "2", 3, 1),
		event(mvccpb.Event_PUT, 4, "b", "3", 4, 1),
		event(mvccpb.Event_DELETE, 5, "a", "", 0, 0),
		event(mvccpb.Event_DELETE, 6, "b", "", 0, 0),
	}
}

func TestCheckAcceptsAGoodHistory(t *testing.T) {
	checked, err := Check(goodHistory())
	if err != nil {
		t.Fatal(err)
	}
	if expected := (Checked{Operations: 9, Learnt: 2, Dropped: 2, Serializable: 1}); checked != expected {
		t.Fatalf("%+v, expected %+v", checked, expected)
	}
}

// inPieces searches pieces of this length only.
func inPieces(operations []*Operation, events []*mvccpb.Event, pieceMax int) error {
	done, err := resolve(operations, events)
	if err != nil {
		return err
	}
	done = slices.DeleteFunc(done, func(one *Operation) bool { return one.Request.Serializable })
	return linearize(done, events, pieceMax)
}

// What the search of the whole refuses, the search in pieces must refuse, too.
func TestPiecesSeeWhatTheWholeShows(t *testing.T) {
	for changed := range 12 {
		for _, shift := range []int64{-1, 1} {
			operations, events := goodHistory()
			operations[changed].Answer.Revision += shift
			whole := inPieces(operations, events, len(operations))
			for pieceMax := 1; pieceMax < len(operations); pieceMax++ {
				operations, events := goodHistory()
				operations[changed].Answer.Revision += shift
				if pieces := inPieces(operations, events, pieceMax); (pieces == nil) != (whole == nil) {
					t.Errorf("operation %d, revision %+d: the whole: %v; pieces of %d: %v", changed, shift, whole, pieceMax, pieces)
				}
			}
		}
	}
}

func TestCheckSeesDamage(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(operations []*Operation, events []*mvccpb.Event) []*mvccpb.Event
		says string
	}{
		{"an acknowledged put is lost", func(_ []*Operation, events []*mvccpb.Event) []*mvccpb.Event {
			return events[1:]
		}, "acknowledged, and in the store's history at revision 0"},
		{"a put is at another revision than acknowledged", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[0].Answer.Revision = 3
			return nil
		}, "in the store's history at revision 2"},
		{"an acknowledged delete is lost", func(_ []*Operation, events []*mvccpb.Event) []*mvccpb.Event {
			return events[:5]
		}, "acknowledged, and not in the store's history"},
		{"a value is written twice", func(_ []*Operation, events []*mvccpb.Event) []*mvccpb.Event {
			events[3].Kv.Value = []byte("1")
			return nil
		}, "was written at revision 2 and at 4"},
		{"a deletion that nobody asked for", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[6].Request.Key, operations[7].Request.Key = "c", "c"
			return nil
		}, "no client asked for it"},
		{"a stale read", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[8].Answer = Answer{Revision: 2, Pairs: []Pair{{Key: "a", Value: "1", Create: 2, Modify: 2, Version: 1}}}
			return nil
		}, "not linearizable"},
		{"a read of half a transaction", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[8].Answer.Pairs = operations[8].Answer.Pairs[:1]
			return nil
		}, "not linearizable"},
		{"a read from the future", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[1].Answer = Answer{Revision: 3}
			return nil
		}, "not linearizable"},
		{"a wrong version", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[3].Answer.Pairs = slices.Clone(operations[3].Answer.Pairs)
			operations[3].Answer.Pairs[0].Version = 1
			return nil
		}, "not linearizable"},
		{"a swap that should have failed", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[2].Request.Expected = 1
			return nil
		}, "not linearizable"},
		{"a write whose call came late, but before its effect was seen", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[4].Call = 75
			return nil
		}, ""},
		{"a write that was done long before it was asked for", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[4].Call = 90
			return nil
		}, "not linearizable"},
		{"a serializable read of what never was", func(operations []*Operation, _ []*mvccpb.Event) []*mvccpb.Event {
			operations[11].Answer.Revision = 3
			return nil
		}, "the store held"},
	} {
		t.Run(damage.name, func(t *testing.T) {
			operations, events := goodHistory()
			if changed := damage.do(operations, events); changed != nil {
				events = changed
			}
			_, err := Check(operations, events)
			for pieceMax := 1; err == nil && pieceMax < len(operations); pieceMax++ {
				err = inPieces(operations, events, pieceMax)
			}
			if (err == nil) != (damage.says == "") || err != nil && !strings.Contains(err.Error(), damage.says) {
				t.Errorf("got %v, want %q", err, damage.says)
			}
		})
	}
}
