// The judge of eras: what fits passes, and each thing that does not is seen.
package history

import (
	"strings"
	"testing"
	"time"
)

// Two changes: a right is taken between 10 and 20, and given again between 50 and 60.
var taken = []Change{{"taking", 10, 20}, {"giving", 50, 60}}

func permittedBut(eras ...int) func(int) bool {
	return func(era int) bool {
		for _, other := range eras {
			if era == other {
				return false
			}
		}
		return true
	}
}

func deedAt(name string, kind DeedKind, from, to time.Duration, revision int64, permitted func(int) bool) *Deed {
	return &Deed{Name: name, Kind: kind, Call: from, Return: to, Revision: revision, Permitted: permitted}
}

func TestJudge(t *testing.T) {
	app, other := permittedBut(1), permittedBut(0, 2)
	stale := deedAt("a stale read", Seen, 30, 31, 4, app)
	stale.Stale = true
	for _, one := range []struct {
		name  string
		deeds []*Deed
		says  string
	}{
		{"nothing", nil, ""},
		{"before, between and after", []*Deed{
			deedAt("1", Written, 0, 5, 2, app), deedAt("2", Refused, 25, 30, 0, app), deedAt("3", Written, 61, 62, 3, app)}, ""},
		{"while it is taken", []*Deed{deedAt("1", Written, 12, 15, 2, app), deedAt("2", Refused, 12, 15, 0, app)}, ""},
		{"a write that came late", []*Deed{deedAt("late", Written, 25, 30, 2, app)}, "not permitted in any of them: late at revision 2 in eras 1 to 1;"},
		{"a write without an answer that may have been done early", []*Deed{deedAt("1", Written, 15, Never, 2, app)}, ""},
		{"a write without an answer, behind one that only the new rights permit", []*Deed{
			deedAt("new", Written, 15, 25, 2, other), deedAt("1", Written, 15, Never, 3, app)}, ""},
		{"the same, where the rights are not given again", []*Deed{
			deedAt("new", Written, 15, 25, 2, other), deedAt("1", Written, 15, Never, 3, permittedBut(1, 2))},
			"1 at revision 3 in eras 0 to 2; the log is in era 1 (after taking) at the earliest since new at revision 2"},
		{"a write behind a read that only the new rights permit", []*Deed{
			deedAt("new", Seen, 12, 18, 2, other), deedAt("old", Written, 12, 18, 3, app)}, "old at revision 3"},
		{"a write before such a read", []*Deed{deedAt("new", Seen, 12, 18, 3, other), deedAt("old", Written, 12, 18, 3, app)}, ""},
		{"reads of both kinds at one revision", []*Deed{deedAt("new", Seen, 12, 18, 3, other), deedAt("old", Seen, 12, 18, 3, app)}, ""},
		{"a write whose revision is older, and that was asked for later", []*Deed{
			deedAt("new", Seen, 12, 18, 5, other), deedAt("1", Written, 61, 62, 4, app)}, "new at revision 5"},
		{"a read of what a member has", []*Deed{stale}, ""},
		{"the same of what all have", []*Deed{deedAt("read", Seen, 30, 31, 4, app)}, "read at revision 4"},
		{"an event from before", []*Deed{deedAt("1", Written, 0, 5, 2, app), deedAt("event", Told, 0, 30, 2, app)}, ""},
		{"an event from after", []*Deed{deedAt("1", Written, 21, 25, 2, other), deedAt("event", Told, 0, 30, 2, app)}, "1 at revision 2 in eras 1 to 1 and event at revision 2 in eras 0 to 1;"},
		{"an event that was told when it was permitted again", []*Deed{
			deedAt("1", Written, 21, 25, 2, other), deedAt("event", Told, 0, 61, 2, app)}, ""},
		{"a refusal without a reason", []*Deed{deedAt("refusal", Refused, 0, 5, 0, app)}, "refusal was refused, and permitted in all of the eras 0 to 0"},
		{"a refusal long after", []*Deed{deedAt("refusal", Refused, 61, 70, 0, app)}, "refusal was refused, and permitted in all of the eras 2 to 2"},
	} {
		t.Run(one.name, func(t *testing.T) {
			err := Judge(taken, one.deeds)
			if (err == nil) != (one.says == "") || err != nil && !strings.Contains(err.Error(), one.says) {
				t.Errorf("got %v, want %q", err, one.says)
			}
		})
	}
}
