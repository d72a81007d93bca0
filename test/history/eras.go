// What may be done changes while it is done: whether all that was done, and all that was refused, fits the order in which
// the changes stand in the log.
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Change is one change of what may be done. Changes are made one after another; era n is the time after the n-th of them,
// in the log's order, and before the next.
type Change struct {
	Name         string
	Call, Return time.Duration
}

// Deed is what somebody asked for, and what became of it.
type Deed struct {
	Name string
	// Return is Never where no answer came.
	Call, Return time.Duration
	// Revision is the one that a write made, or the newest that there was when something was read or refused to nobody.
	Revision int64
	Kind     DeedKind
	// Stale is what was asked of what a member has: it may be older than what was answered before.
	Stale bool
	// Permitted says whether it was, in this era.
	Permitted func(era int) bool
}

// DeedKind is what a deed's revision means.
type DeedKind int

const (
	// Written is a write: it is what made the revision.
	Written DeedKind = iota
	// Seen is a read: it was done at the revision, and before the next.
	Seen
	// Told is an event that a watcher was told of: at the revision or any time later.
	Told
	// Refused was not done. It has no revision.
	Refused
)

// Never is the time of an answer that did not come.
const Never = never

// Judge checks that there is a place in the log for every change such that everything that was done was permitted where
// it was done, and nothing was refused that was permitted all the time. Time counts too: what was asked for after a
// change had been answered is of its era or of a later one, what was answered before a change was asked for is of one
// before.
func Judge(changes []Change, deeds []*Deed) error {
	placed := map[place][]*Deed{}
	for _, deed := range deeds {
		first, last := span(changes, deed)
		if deed.Kind == Refused {
			if !slices.ContainsFunc(numbers(first, last), func(era int) bool { return !deed.Permitted(era) }) {
				return fmt.Errorf("%s was refused, and permitted in all of the eras %d to %d (%s)", deed.Name, first, last, named(changes, last))
			}
			continue
		}
		at := place{deed.Revision, deed.Kind == Seen}
		placed[at] = append(placed[at], deed)
	}
	places := make([]place, 0, len(placed))
	for at := range placed {
		places = append(places, at)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(number(a.after), number(b.after)))
	})
	// The earliest era in which the log can be by now, and what says so.
	now, because := 0, &Deed{Name: "the beginning"}
	for _, at := range places {
		next, reason := now, because
		if !at.after {
			// All of it is in the era of the write.
			era, blocked := earliest(changes, placed[at], now)
			if blocked != nil {
				return contradiction(changes, blocked, now, because)
			}
			if era > now {
				next, reason = era, placed[at][0]
			}
		} else {
			for _, deed := range placed[at] {
				era, blocked := earliest(changes, []*Deed{deed}, now)
				if blocked != nil {
					return contradiction(changes, blocked, now, because)
				}
				if era > next {
					next, reason = era, deed
				}
			}
		}
		now, because = next, reason
	}
	return nil
}

// place is where in the log something was done: in the write that made a revision, or between that and the next.
type place struct {
	revision int64
	after    bool
}

// earliest is the first era from this one on in which all of these may have been done; else those that may not.
func earliest(changes []Change, deeds []*Deed, from int) (int, []*Deed) {
	for era := from; ; era++ {
		at := slices.IndexFunc(deeds, func(deed *Deed) bool { return !fits(changes, deed, era) })
		if at < 0 {
			return era, nil
		}
		if era == len(changes) {
			return 0, blocking(changes, deeds, from)
		}
	}
}

// blocking is one of the deeds that fits no era from this one on, or all where it takes several of them.
func blocking(changes []Change, deeds []*Deed, from int) []*Deed {
	for at, deed := range deeds {
		if !slices.ContainsFunc(numbers(from, len(changes)), func(era int) bool { return fits(changes, deed, era) }) {
			return deeds[at : at+1]
		}
	}
	return deeds
}

func fits(changes []Change, deed *Deed, era int) bool {
	first, last := span(changes, deed)
	if deed.Kind == Told {
		// It may have been told in any era after the one in which it was written.
		return slices.ContainsFunc(numbers(era, last), deed.Permitted)
	}
	return first <= era && era <= last && deed.Permitted(era)
}

// span is the eras that there were between a deed's call and its return.
func span(changes []Change, deed *Deed) (first, last int) {
	for at, change := range changes {
		if !deed.Stale && change.Return < deed.Call {
			first = at + 1
		}
		if change.Call <= deed.Return {
			last = at + 1
		}
	}
	return first, last
}

func contradiction(changes []Change, deeds []*Deed, now int, because *Deed) error {
	var names []string
	for _, deed := range deeds {
		first, last := span(changes, deed)
		names = append(names, fmt.Sprintf("%s at revision %d in eras %d to %d", deed.Name, deed.Revision, first, last))
	}
	return fmt.Errorf("not permitted in any of them: %s; the log is in era %d (%s) at the earliest since %s at revision %d",
		strings.Join(names, " and "), now, named(changes, now), because.Name, because.Revision)
}

func named(changes []Change, era int) string {
	if era == 0 {
		return "before all changes"
	}
	return "after " + changes[era-1].Name
}

func numbers(first, last int) []int {
	var all []int
	for at := first; at <= last; at++ {
		all = append(all, at)
	}
	return all
}

func number(flag bool) int {
	if flag {
		return 1
	}
	return 0
}
