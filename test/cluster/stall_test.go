// Disks that stall: a library made of stall/stall.c is preloaded into every member.
package cluster

import (
	"context"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// stalls holds the file of each member that stalls its disk while it exists.
type stalls struct {
	library string
	files   []string
}

// newStalls compiles the library. nil: there is no compiler, or the server does not take preloaded libraries, as etcd.
func newStalls(t *testing.T, binary string, size int) *stalls {
	t.Helper()
	// Programs of Go call the kernel without a library.
	if _, err := buildinfo.ReadFile(binary); err == nil {
		t.Logf("SKIPPED: disks that stall: %s does not call libc", binary)
		return nil
	}
	if _, err := exec.LookPath("cc"); err != nil {
		leftOut(t, "disks that stall", "cc is missing: run scripts/setup-reference.sh")
		return nil
	}
	directory := t.TempDir()
	made := &stalls{library: filepath.Join(directory, "stall.so")}
	source := filepath.Join(member.Root(), "test/cluster/stall/stall.c")
	compile := exec.Command("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", made.library, source, "-ldl")
	if output, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, output)
	}
	for at := range size {
		made.files = append(made.files, filepath.Join(directory, string(rune('1'+at))))
	}
	return made
}

// environment is what a member needs so that its disk can be stalled.
func (s *stalls) environment(at int) []string {
	if s == nil {
		return nil
	}
	return []string{"LD_PRELOAD=" + s.library, "NETCD_TEST_STALL=" + s.files[at]}
}

func (s *stalls) stall(at int) error { return os.WriteFile(s.files[at], nil, 0o600) }

// end lets all disks go on.
func (s *stalls) end() error {
	if s == nil {
		return nil
	}
	for _, file := range s.files {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func TestLeaderWhoseDiskStallsGivesUp(t *testing.T) {
	disks := newStalls(t, member.Netcd(), 3)
	if disks == nil {
		t.Skip("SKIPPED: its disks cannot be stalled")
	}
	places := make([]member.Place, 3)
	for at := range places {
		places[at].Environment = disks.environment(at)
	}
	running := member.StartClusterAt(t, "netcd", member.Netcd(), places)
	stalled := running.Leader(t)
	if err := disks.stall(slices.Index(running.Members, stalled)); err != nil {
		t.Fatal(err)
	}
	first := otherThan(running.Members, stalled)
	rest := []*member.Member{first, otherThan(running.Members, stalled, first)}
	// The others have it durably; the leader has something to write.
	if err := put(t, first, "under", "way"); err != nil {
		t.Fatal(err)
	}
	// One of the rest.
	running.Leader(t, rest...)
	keptAlive(t, rest)
	if err := disks.end(); err != nil {
		t.Fatal(err)
	}
	if err := put(t, stalled, "disk", "back"); err != nil {
		t.Fatal(err)
	}
	sameContent(t, running)
}

// keptAlive grants a lease through one member and keeps it alive through the other; only a leader that applies can.
func keptAlive(t *testing.T, members []*member.Member) {
	t.Helper()
	var clients []pb.LeaseClient
	for _, one := range members {
		connection := one.Connect(t)
		clients = append(clients, pb.NewLeaseClient(connection))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*callTimeout)
	defer cancel()
	granted, err := clients[0].LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := clients[1].LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: granted.ID}); err != nil {
		t.Fatal(err)
	}
	kept, err := stream.Recv()
	if err != nil || kept.TTL != 60 {
		t.Fatalf("kept alive: %v, %v", kept, err)
	}
}
