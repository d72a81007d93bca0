// Which features netcd has: comparisons of what comes later wait here, prepared, and are said aloud.
package compat

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// feature is something that an issue of the project brings.
type feature string

const (
	keysAndValues feature = "kv"
	watches       feature = "watch"
	leases        feature = "lease"
	locks         feature = "lock"
	clusters      feature = "cluster"
	users         feature = "auth"
)

// landed is where a feature is turned on, with the issue that brings it.
var landed = map[feature]bool{
	keysAndValues: true, // issue 3
	watches:       true, // issue 4
	leases:        true, // issue 4
	locks:         true, // issue 4
	clusters:      true, // issue 5
	users:         true, // issue 17
}

// has tells whether a feature is turned on; COMPAT_FEATURES=watch,lease turns more on for one run.
func has(wanted feature) bool {
	return landed[wanted] || slices.Contains(strings.Split(os.Getenv("COMPAT_FEATURES"), ","), string(wanted))
}

// need skips a test whose feature has not landed.
func need(t *testing.T, wanted feature) {
	t.Helper()
	if !has(wanted) {
		t.Skipf("SKIPPED: netcd does not have %s yet (COMPAT_FEATURES=%s turns it on)", wanted, wanted)
	}
}
