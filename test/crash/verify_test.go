// The checker itself: each kind of damage must be seen.
package crash

import (
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func TestMatchAttempts(t *testing.T) {
	attempts := func() []*attempt {
		return []*attempt{{value: "1", acknowledged: true, revision: 5}, {value: "2"}, {value: "3", acknowledged: true, revision: 9}}
	}
	versions := func(values ...string) []*mvccpb.KeyValue {
		revisions := map[string]int64{"1": 5, "2": 7, "3": 9, "x": 10}
		var made []*mvccpb.KeyValue
		for i, value := range values {
			made = append(made, &mvccpb.KeyValue{Value: []byte(value), Version: int64(i) + 1, CreateRevision: 5, ModRevision: revisions[value]})
		}
		return made
	}
	moved := versions("1", "3")
	moved[1].ModRevision = 8
	gap := versions("1", "3")
	gap[1].Version = 3
	for _, check := range []struct {
		name     string
		versions []*mvccpb.KeyValue
		says     string
	}{
		{"all", versions("1", "2", "3"), ""},
		{"the unknown one is not there", versions("1", "3"), ""},
		{"the first is lost", versions(), "is not there"},
		{"the last is lost", versions("1", "2"), "is not there"},
		{"one is there twice", versions("1", "3", "3"), "twice"},
		{"a value that nobody wrote", versions("1", "2", "3", "x"), "never written"},
		{"another revision than acknowledged", moved, "was acknowledged at revision 9"},
		{"a gap in versions", gap, "stands at place 2"},
	} {
		t.Run(check.name, func(t *testing.T) {
			err := matchAttempts("k", attempts(), check.versions)
			if (err == nil) != (check.says == "") || err != nil && !strings.Contains(err.Error(), check.says) {
				t.Errorf("got %v, want %q", err, check.says)
			}
		})
	}
}
