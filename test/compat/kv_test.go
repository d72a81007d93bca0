// The differential run over KV and lease calls.
package compat

import (
	"fmt"
	"testing"

	"netcd.test/member"
)

// TestKV sends COMPAT_COUNT (3000) calls for each of COMPAT_RUNS (2) seeds from COMPAT_SEED (1) on.
func TestKV(t *testing.T) {
	forSeeds(t, "COMPAT_RUNS", 2, func(t *testing.T, seed uint64) {
		p := newPair(t, fmt.Sprintf("KV with COMPAT_SEED=%d", seed))
		defer p.report()
		g := newGenerator(seed)
		for range member.Number(t, "COMPAT_COUNT", member.Depth(3000)) {
			call := g.next()
			g.follow(call, p.compare(call))
		}
		requireAlive(p)
	})
}

// TestKVCases sends the cases that chance would seldom make.
func TestKVCases(t *testing.T) {
	p := newPair(t, "KV cases")
	defer p.report()
	for _, call := range kvCases() {
		p.compare(call)
	}
	requireAlive(p)
}

// requireAlive checks that no call ended a server.
func requireAlive(p *pair) {
	p.t.Helper()
	for _, server := range p.servers {
		select {
		case <-server.Exited():
			p.t.Fatalf("%s exited during the run: %s", server.Label, server.LogTail())
		default:
		}
	}
}
