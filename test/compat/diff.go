// Sends calls to both servers, counts compared answers and reports differences so that they can be replayed.
package compat

import (
	"fmt"
	"sync"
	"testing"

	"netcd.test/member"

	"google.golang.org/grpc"
)

// differencesShownMax stops a run whose servers have parted: what follows would only repeat it.
const differencesShownMax = 12

// pair is netcd and etcd under the same calls.
type pair struct {
	t           *testing.T
	netcd, etcd *grpc.ClientConn
	what        string
	servers     []*member.Member
	// crowd is set when netcd is a cluster, whose members take turns.
	crowd       *crowd
	compared    int
	differences int
	// codes counts etcd's answers by gRPC code: a run in which all fail proves little.
	codes map[uint32]int
}

func newPair(t *testing.T, what string, flags ...string) *pair {
	t.Helper()
	netcd, etcd := member.StartPair(t, flags...)
	p := &pair{t: t, what: what, codes: map[uint32]int{}, servers: []*member.Member{netcd, etcd}}
	for _, side := range []struct {
		server     *member.Member
		connection **grpc.ClientConn
	}{{netcd, &p.netcd}, {etcd, &p.etcd}} {
		connection := side.server.Connect(t)
		*side.connection = connection
	}
	return p
}

// compare sends the call to both and reports a difference. The answer of etcd is returned, so that a
// generator can follow revisions.
func (p *pair) compare(call Call) Answer {
	p.t.Helper()
	return p.compareAs(nobody, call)
}

// compareAs is compare for a caller, whose token each server has given him itself.
func (p *pair) compareAs(who account, call Call) Answer {
	p.t.Helper()
	ours, theirs := p.ask(who, call)
	return p.judge(who, call, ours, theirs)
}

// ask sends the call to both.
func (p *pair) ask(who account, call Call) (ours, theirs Answer) {
	p.turn()
	var both sync.WaitGroup
	both.Go(func() { ours = who.calls(call, who.netcd).Send(p.netcd) })
	both.Go(func() { theirs = who.calls(call, who.etcd).Send(p.etcd) })
	both.Wait()
	return ours, theirs
}

// judge compares two answers and returns that of etcd, normalized.
func (p *pair) judge(who account, call Call, ours, theirs Answer) Answer {
	p.t.Helper()
	ours, theirs = normalized(call, ours), normalized(call, theirs)
	p.compared++
	p.codes[theirs.Code]++
	if !equal(ours, theirs) {
		p.differ(call.String()+who.String(), ours.String(), theirs.String())
	}
	return theirs
}

// turn chooses the member of netcd that gets the next call.
func (p *pair) turn() {
	if p.crowd != nil {
		p.netcd = p.crowd.next()
	}
}

func (p *pair) differ(what, ours, theirs string) {
	p.t.Helper()
	p.differences++
	p.t.Errorf("difference %d in %s, call %d: %s\n  netcd: %s\n  etcd:  %s",
		p.differences, p.what, p.compared-1, what, ours, theirs)
	if p.differences >= differencesShownMax {
		p.report()
		p.t.Fatalf("%d differences: stopped", p.differences)
	}
}

func (p *pair) report() {
	p.t.Logf("%s: %d answers compared (%d ok; by code: %v), %d differences",
		p.what, p.compared, p.codes[0], p.codes, p.differences)
	if p.crowd != nil {
		p.crowd.report()
	}
}

// forSeeds runs it for as many seeds as `variable` says, from COMPAT_SEED (1) on.
func forSeeds(t *testing.T, variable string, fallback uint64, run func(t *testing.T, seed uint64)) {
	first := member.Number(t, "COMPAT_SEED", uint64(1))
	for seed := first; seed < first+member.Number(t, variable, fallback); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) })
	}
}
