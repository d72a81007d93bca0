// Package history records what clients of a cluster asked and were answered, and checks it: operations against a
// sequential model of the store (Porcupine searches the order), watchers' events against the store's own history.
package history

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Kind is what an operation does.
type Kind int

const (
	// Put writes one key and asks for the pair before it.
	Put Kind = iota
	// Delete removes one key and asks for the pair before it.
	Delete
	// Swap is a transaction: it writes Key and Copy if Key's mod revision is Expected, else it reads Key.
	Swap
	// Read is a range over [Key, End).
	Read
)

func (k Kind) String() string { return [...]string{"put", "delete", "swap", "read"}[k] }

// Request is an operation as a client asks for it.
type Request struct {
	Kind Kind
	// Key is what it is about; a Read with End reads [Key, End), a Swap also writes Copy.
	Key, End, Copy string
	// Value is written by no other request of the history, so that it tells who wrote a pair.
	Value string
	// Expected is the mod revision that a Swap demands; 0: the key is not there.
	Expected int64
	// Serializable reads are answered from what the member has.
	Serializable bool
}

// Answer is what the client learnt.
type Answer struct {
	// Revision of the answer's header; 0: no answer came, and nobody knows whether it was done.
	Revision int64
	// Learnt says that no answer came, and that Revision was found in the store's history.
	Learnt bool
	// Succeeded is a Swap's.
	Succeeded bool
	// Pairs are a Read's, the pair before a Put or Delete, or what a Swap found instead of what it expected.
	Pairs []Pair
}

// Pair is a key with what the store holds under it.
type Pair struct {
	Key, Value              string
	Create, Modify, Version int64
}

func (p Pair) String() string {
	return fmt.Sprintf("%s=%s (created %d, modified %d, version %d)", p.Key, p.Value, p.Create, p.Modify, p.Version)
}

// Operation is a request with its answer and the time between, since the beginning of the recording.
type Operation struct {
	Client       int
	Request      Request
	Answer       Answer
	Call, Return time.Duration
	// Through names the member, Problem is the error instead of an answer.
	Through, Problem string
}

func (o *Operation) String() string {
	told := fmt.Sprintf("client %d through %s, %v to %v: %v %s", o.Client, o.Through, o.Call, o.Return, o.Request.Kind, o.Request.Key)
	if o.Request.Value != "" {
		told += "=" + o.Request.Value
	}
	if o.Request.Kind == Swap {
		told += fmt.Sprintf(" if modified at %d", o.Request.Expected)
	}
	if o.unknown() {
		return told + " → no answer: " + o.Problem
	}
	told += fmt.Sprintf(" → revision %d", o.Answer.Revision)
	if o.Answer.Learnt {
		told += ", learnt after " + o.Problem
	}
	if o.Request.Kind == Swap {
		told += fmt.Sprintf(", succeeded %t", o.Answer.Succeeded)
	}
	for _, pair := range o.Answer.Pairs {
		told += ", " + pair.String()
	}
	return told
}

func (o *Operation) unknown() bool { return o.Answer.Revision == 0 }

// wrote says that the store's revision went up with it.
func (o *Operation) wrote() bool {
	switch o.Request.Kind {
	case Put:
		return !o.unknown()
	case Delete:
		return o.Answer.Learnt || len(o.Answer.Pairs) > 0
	case Swap:
		return o.Answer.Succeeded
	default:
		return false
	}
}

// never is the return of an operation without an answer: it may be done at any time.
const never = time.Duration(math.MaxInt64)

// pairsOf are the pairs that the store answered, ascending by key; nil stands for none.
func pairsOf(stored ...*mvccpb.KeyValue) []Pair {
	var pairs []Pair
	for _, kv := range stored {
		if kv != nil {
			pairs = append(pairs, Pair{Key: string(kv.Key), Value: string(kv.Value),
				Create: kv.CreateRevision, Modify: kv.ModRevision, Version: kv.Version})
		}
	}
	slices.SortFunc(pairs, func(a, b Pair) int { return strings.Compare(a.Key, b.Key) })
	return pairs
}
