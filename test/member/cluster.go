// Several members of one cluster, started for a test.
package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// LeaderWaitMax bounds the time until all members that run know the same leader.
const LeaderWaitMax = 60 * time.Second

// Cluster is the members that were started as one cluster, m1 first, and those that joined.
type Cluster struct {
	Members []*Member

	label, binary string
	flags         []string
	// authority is set where the test is over TLS.
	authority *Authority
	// like is a cluster of before, whose URLs this one has.
	like *Cluster
}

// StartCluster starts members m1… of one binary; they are killed at the end of the test.
func StartCluster(t testing.TB, label, binary string, size int, flags ...string) *Cluster {
	t.Helper()
	return StartClusterAt(t, label, binary, make([]Place, size), flags...)
}

// StartClusterAt is StartCluster with a place for each member.
func StartClusterAt(t testing.TB, label, binary string, places []Place, flags ...string) *Cluster {
	t.Helper()
	return startCluster(t, &Cluster{label: label, binary: binary, flags: flags}, places)
}

// StartClusterLike ends the members of another cluster and starts one of another binary with the same URLs, and so
// with the same ids.
func StartClusterLike(t testing.TB, like *Cluster, label, binary string, size int) *Cluster {
	t.Helper()
	like.KillAllBut(t)
	return startCluster(t, &Cluster{label: label, binary: binary, flags: like.flags, like: like}, make([]Place, size))
}

func startCluster(t testing.TB, cluster *Cluster, places []Place) *Cluster {
	t.Helper()
	Need(t, cluster.binary)
	cluster.authority = issuer(t)
	for _, place := range places {
		cluster.describe(t, place)
	}
	for _, one := range cluster.Members {
		one.extra = append(one.extra, "--initial-cluster="+cluster.Initial())
		cluster.launch(t, one)
	}
	for _, one := range cluster.Members {
		if err := one.AwaitServing(); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Members[0].enableAuth(t)
	return cluster
}

// Join describes one more member, whose URL the caller adds to the cluster before it starts the member.
func (c *Cluster) Join(t testing.TB) *Member {
	t.Helper()
	return c.JoinAt(t, Place{})
}

// JoinAt is Join with a place for the member.
func (c *Cluster) JoinAt(t testing.TB, place Place) *Member {
	t.Helper()
	joined := c.describe(t, place)
	joined.extra = append(joined.extra, "--initial-cluster="+c.Initial(), "--initial-cluster-state=existing")
	return joined
}

// Start launches a member that Join described.
func (c *Cluster) Start(t testing.TB, one *Member) {
	t.Helper()
	c.launch(t, one)
}

// Initial is the members' value of --initial-cluster.
func (c *Cluster) Initial() string {
	var parts []string
	for at, one := range c.Members {
		parts = append(parts, fmt.Sprintf("m%d=%s", at+1, one.PeerURL))
	}
	return strings.Join(parts, ",")
}

// Endpoints are host:port of all client URLs.
func (c *Cluster) Endpoints() string {
	var all []string
	for _, one := range c.Members {
		all = append(all, one.Endpoint())
	}
	return strings.Join(all, ",")
}

func (c *Cluster) describe(t testing.TB, place Place) *Member {
	t.Helper()
	name := fmt.Sprintf("m%d", len(c.Members)+1)
	directory := t.TempDir()
	if c.like != nil && len(c.Members) < len(c.like.Members) {
		twin := c.like.Members[len(c.Members)]
		place.ClientURL, place.PeerURL = twin.ClientURL, twin.PeerURL
	}
	one, err := New(Options{Label: c.label + "-" + name, Binary: c.binary, Dir: directory, Place: place})
	if err != nil {
		t.Fatal(err)
	}
	one.extra = slices.Concat([]string{"--name=" + name}, c.flags, one.extra)
	one.secure(t, c.authority)
	c.Members = append(c.Members, one)
	return one
}

func (c *Cluster) launch(t testing.TB, one *Member) {
	t.Helper()
	if err := one.Launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := one.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s's log:\n%s", one.Label, one.LogTail())
		}
	})
}

// KillAllBut ends all members at once, except those that are spared.
func (c *Cluster) KillAllBut(t testing.TB, spared ...*Member) {
	t.Helper()
	for _, one := range c.Members {
		if slices.Contains(spared, one) {
			continue
		}
		if err := one.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

// Leader waits until all of the members given (none: all) know the same leader, and returns it.
func (c *Cluster) Leader(t testing.TB, among ...*Member) *Member {
	t.Helper()
	if len(among) == 0 {
		among = c.Members
	}
	deadline := time.Now().Add(LeaderWaitMax)
	for {
		leader, err := agreed(among)
		if err == nil {
			return leader
		}
		if time.Now().After(deadline) {
			t.Fatalf("no leader after %v: %v", LeaderWaitMax, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func agreed(members []*Member) (*Member, error) {
	byID := map[uint64]*Member{}
	leaders := map[uint64]bool{}
	for _, one := range members {
		status, err := one.Status()
		if err != nil {
			return nil, err
		}
		byID[status.Header.MemberId] = one
		leaders[status.Leader] = true
	}
	for id := range leaders {
		if leader := byID[id]; leader != nil && len(leaders) == 1 {
			return leader, nil
		}
	}
	return nil, fmt.Errorf("leaders %v", leaders)
}

// Status asks the member for its Maintenance.Status.
func (m *Member) Status() (*pb.StatusResponse, error) {
	connection, err := m.Dial()
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if ctx, err = m.Identified(ctx, connection); err != nil {
		return nil, err
	}
	return pb.NewMaintenanceClient(connection).Status(ctx, &pb.StatusRequest{})
}

// AwaitLog waits until the member has logged a line with this text.
func (m *Member) AwaitLog(text string) error {
	deadline := time.Now().Add(ServeWaitMax)
	for time.Now().Before(deadline) {
		log, err := m.Log()
		if err != nil {
			return err
		}
		if strings.Contains(log, text) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New(m.Label + " never logged " + text)
}
