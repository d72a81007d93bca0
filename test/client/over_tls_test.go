package client

import (
	"testing"

	"netcd.test/member"
)

// TestOverTLS runs the suites again over TLS, with certificates on both sides and authentication: the client is who its
// certificate names.
func TestOverTLS(t *testing.T) {
	suites := map[string]func(t *testing.T){
		"lease": TestLease, "recipes": TestRecipes, "contention": TestContention, "session": TestSessionEnds, "election": TestElection, "watch": TestWatch,
	}
	if member.FullDepth() {
		// What waits for time to pass, or for elections.
		suites["expiry"], suites["failover"], suites["restart"] = TestLeaseExpiry, TestLeaseOverFailover, TestWatchOverRestart
	}
	for name, suite := range suites {
		t.Run(name, func(t *testing.T) {
			member.OverTLS(t, member.Secure{User: "root", Auth: true})
			suite(t)
		})
	}
}
