// netcd as a cluster of three under calls that are spread over its members: every answer must be what a single
// server would say, whoever is asked and whoever leads.
package compat

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	crowdSize = 3
	// leaderlessMax bounds the time in which a read is refused because there is no leader.
	leaderlessMax = 30 * time.Second
	// strikeDelayMax is how long after a call was sent its leader is killed at most.
	strikeDelayMax = 2 * time.Millisecond
)

type crowd struct {
	t           *testing.T
	cluster     *member.Cluster
	connections map[*member.Member]*grpc.ClientConn
	random      *rand.Rand
	down        *member.Member
	// moves and kills count leader changes, asked counts calls through followers and leaders.
	moves, kills int
	asked        map[*member.Member]int
}

// newCrowdPair starts three members of netcd and one of etcd, whose answers are the same as those of a cluster.
func newCrowdPair(t *testing.T, what string, seed uint64) *pair {
	t.Helper()
	member.Need(t, member.Etcd())
	c := &crowd{t: t, cluster: member.StartCluster(t, "netcd", member.Netcd(), crowdSize), random: rand.New(rand.NewPCG(seed, 0x63726f7764)),
		connections: map[*member.Member]*grpc.ClientConn{}, asked: map[*member.Member]int{}}
	etcd := member.StartEtcd(t)
	p := &pair{t: t, what: what, codes: map[uint32]int{}, servers: append([]*member.Member{etcd}, c.cluster.Members...), crowd: c}
	for _, one := range p.servers {
		connection := one.Connect(t)
		c.connections[one] = connection
	}
	p.etcd = c.connections[etcd]
	c.cluster.Leader(t)
	return p
}

// next is the connection for the next call: to any member that runs, once that has applied all that was answered.
func (c *crowd) next() *grpc.ClientConn {
	running := c.running()
	one := running[c.random.IntN(len(running))]
	c.asked[one]++
	connection := c.connections[one]
	c.catchUp(connection)
	return connection
}

func (c *crowd) running() []*member.Member {
	var running []*member.Member
	for _, one := range c.cluster.Members {
		if one != c.down {
			running = append(running, one)
		}
	}
	return running
}

// catchUp reads through the member; it is repeated while a leader is elected. Returns the store's revision.
func (c *crowd) catchUp(connection *grpc.ClientConn) int64 {
	c.t.Helper()
	deadline := time.Now().Add(leaderlessMax)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
		answer, err := pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("caught up?"), CountOnly: true})
		cancel()
		if err == nil {
			return answer.Header.Revision
		}
		if status.Code(err) != codes.Unavailable || time.Now().After(deadline) {
			c.t.Fatalf("a read to catch up: %v", err)
		}
	}
}

// moveLeader makes another member the leader by request; the next call follows at once.
func (c *crowd) moveLeader() {
	c.t.Helper()
	leader := c.cluster.Leader(c.t, c.running()...)
	running := c.running()
	to := running[c.random.IntN(len(running))]
	for to == leader {
		to = running[c.random.IntN(len(running))]
	}
	target, err := to.Status()
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	request := &pb.MoveLeaderRequest{TargetID: target.Header.MemberId}
	if _, err := pb.NewMaintenanceClient(c.connections[leader]).MoveLeader(ctx, request); err != nil {
		c.t.Fatalf("move the leader to %s: %v", to.Label, err)
	}
	c.moves++
}

// strike kills the leader while a put through a follower is on its way. What became of the put is read from the
// store's revision: if it is lost, it is made again.
func (c *crowd) strike(p *pair, revision int64, request *pb.PutRequest) {
	c.t.Helper()
	leader := c.cluster.Leader(c.t)
	c.down = leader
	running := c.running()
	through := c.connections[running[c.random.IntN(len(running))]]
	ended := make(chan Answer, 1)
	call := putCall(request)
	go func() { ended <- call.Send(through) }()
	time.Sleep(time.Duration(c.random.Int64N(int64(strikeDelayMax))))
	if err := leader.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.kills++
	answer := <-ended
	if found := c.catchUp(through); answer.Code == 0 && found != revision+1 {
		c.t.Errorf("a put was acknowledged, and the store is at %d instead of %d", found, revision+1)
	} else if answer.Code != 0 && found == revision {
		c.t.Logf("the put under the kill was lost and is made again: %s", answer)
		if answer = call.Send(through); answer.Code != 0 {
			c.t.Errorf("the put made again: %s", answer)
		}
	}
	if theirs := call.Send(p.etcd); theirs.Code != 0 {
		c.t.Fatalf("etcd: %s", theirs)
	}
}

// restore starts the killed member again; it is asked from now on.
func (c *crowd) restore() {
	c.t.Helper()
	if err := c.down.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.down = nil
}

// disturb does what belongs to this step of a run: leaders move at every sixth of it, the leader is killed at half
// of it and is back a sixth later. Returns the key that was written, if any.
func (c *crowd) disturb(p *pair, step, steps uint64, revision int64) []byte {
	sixth := max(1, steps/6)
	if step == 0 || step%sixth != 0 {
		return nil
	}
	switch step / sixth {
	case 3:
		key := []byte("struck")
		c.strike(p, revision, &pb.PutRequest{Key: key, Value: []byte("by a kill")})
		return key
	case 4:
		c.restore()
	default:
		c.moveLeader()
	}
	return nil
}

func (c *crowd) report() {
	for _, one := range c.cluster.Members {
		c.t.Logf("%s was asked %d times", one.Label, c.asked[one])
	}
	c.t.Logf("%d moves and %d kills of the leader", c.moves, c.kills)
}
