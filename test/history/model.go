// The sequential model: a store with revisions. Every answer must be exactly its answer in some order of the
// operations, and because the revision is part of the state there is hardly ever more than one order to try.
package history

import "slices"

// state is a store at a revision. It is never changed, because the search goes back to older ones.
type state struct {
	revision int64
	pairs    []Pair // ascending by key
}

// step is the model: whether the store can give this answer in this state, and the state after it.
func (s state) step(request Request, answer Answer) (bool, state) {
	switch request.Kind {
	case Put:
		after := s.put(request.Value, request.Key)
		return answer.Revision == after.revision && (answer.Learnt || slices.Equal(answer.Pairs, s.read(request.Key, ""))), after
	case Delete:
		after := s.remove(request.Key)
		before := s.read(request.Key, "")
		if answer.Learnt {
			return answer.Revision == after.revision && len(before) > 0, after
		}
		return answer.Revision == after.revision && slices.Equal(answer.Pairs, before), after
	case Swap:
		found := s.read(request.Key, "")
		if s.modified(request.Key) == request.Expected {
			after := s.put(request.Value, request.Key, request.Copy)
			return answer.Succeeded && answer.Revision == after.revision, after
		}
		return !answer.Succeeded && answer.Revision == s.revision && slices.Equal(answer.Pairs, found), s
	default:
		return answer.Revision == s.revision && slices.Equal(answer.Pairs, s.read(request.Key, request.End)), s
	}
}

func (s state) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.pairs, key, func(pair Pair, key string) int {
		switch {
		case pair.Key < key:
			return -1
		case pair.Key > key:
			return 1
		}
		return 0
	})
}

// read returns the pairs of [key, end), of key alone without an end.
func (s state) read(key, end string) []Pair {
	from, found := s.find(key)
	if end == "" {
		if !found {
			return nil
		}
		return s.pairs[from : from+1]
	}
	to, _ := s.find(end)
	return s.pairs[from:max(from, to)]
}

func (s state) modified(key string) int64 {
	if at, found := s.find(key); found {
		return s.pairs[at].Modify
	}
	return 0
}

// put writes the keys in one revision.
func (s state) put(value string, keys ...string) state {
	after := state{revision: s.revision + 1, pairs: slices.Clone(s.pairs)}
	for _, key := range keys {
		at, found := after.find(key)
		if !found {
			after.pairs = slices.Insert(after.pairs, at, Pair{Key: key, Create: after.revision})
		}
		written := &after.pairs[at]
		written.Value, written.Modify, written.Version = value, after.revision, written.Version+1
	}
	return after
}

func (s state) remove(key string) state {
	at, found := s.find(key)
	if !found {
		return s
	}
	return state{revision: s.revision + 1, pairs: slices.Delete(slices.Clone(s.pairs), at, at+1)}
}

func (s state) equal(other state) bool {
	return s.revision == other.revision && slices.Equal(s.pairs, other.pairs)
}
