// The KV and the watch generator against a cluster, through all its members, while its leader changes.
package compat

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"netcd.test/member"
)

// TestKVThroughFollowers sends COMPAT_CROWD_COUNT (900) calls for each of COMPAT_CROWD_RUNS (1) seeds.
func TestKVThroughFollowers(t *testing.T) {
	need(t, clusters)
	forSeeds(t, "COMPAT_CROWD_RUNS", 1, func(t *testing.T, seed uint64) {
		p := newCrowdPair(t, fmt.Sprintf("KV through followers with COMPAT_SEED=%d", seed), seed)
		defer p.report()
		g := newGenerator(seed)
		steps := member.Number(t, "COMPAT_CROWD_COUNT", member.Depth(uint64(900)))
		for step := range steps {
			if key := p.crowd.disturb(p, step, steps, g.revision); key != nil {
				call := rangeCall(&pb.RangeRequest{Key: key})
				g.follow(call, p.compare(call))
			}
			call := g.next()
			g.follow(call, p.compare(call))
		}
		requireAlive(p)
	})
}

// TestWatchThroughFollowers makes COMPAT_CROWD_COUNT (900) / 3 steps; every stream stays with the member that it was
// opened on.
func TestWatchThroughFollowers(t *testing.T) {
	need(t, clusters)
	forSeeds(t, "COMPAT_CROWD_RUNS", 1, func(t *testing.T, seed uint64) {
		run := &watchRun{pair: newCrowdPair(t, fmt.Sprintf("watch through followers with COMPAT_SEED=%d", seed), seed), g: newGenerator(seed)}
		steps := member.Number(t, "COMPAT_CROWD_COUNT", member.Depth(uint64(900))) / 3
		for step := range steps {
			if step == steps/6*3 {
				// Streams of the leader would end with it.
				run.closeStreamsOf(run.crowd.connections[run.crowd.cluster.Leader(t)])
			}
			if key := run.crowd.disturb(run.pair, step, steps, run.g.revision); key != nil {
				call := rangeCall(&pb.RangeRequest{Key: key})
				run.g.follow(call, run.compare(call))
			}
			run.step()
		}
		run.end(t)
	})
}
