// A cluster over sockets of one machine: clients, peers, probes, calls between members, joining, and what stays on disk.
package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestClusterOverUnixSockets tells the same story of netcd and etcd.
func TestClusterOverUnixSockets(t *testing.T) {
	member.Need(t, member.Reference("etcdctl"))
	netcd := overUnixSockets(t, "netcd", member.Netcd())
	if etcd := overUnixSockets(t, "etcd", member.Etcd()); netcd != etcd {
		t.Fatalf("netcd:\n%s\netcd:\n%s", netcd, etcd)
	}
}

// sockets is a cluster that runs in a directory of its own: in etcd's form `unix://host:port` there is no place for a
// path, and the file is `host:port` in the working directory.
type sockets struct {
	story
	t         *testing.T
	directory string
}

func overUnixSockets(t *testing.T, label, binary string) string {
	// Not of the test: a socket's path may have 107 bytes.
	directory, err := os.MkdirTemp("", "unix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	told := &sockets{t: t, directory: directory}
	places := []member.Place{told.place(1), told.place(2), told.place(3)}
	running := member.StartClusterAt(t, label, binary, places, "--strict-reconfig-check=false")
	told.files("running")
	told.etcdctl("--endpoints=unix://localhost:11,unix://localhost:21,unix://localhost:31", "member", "list")
	told.etcdctl("--endpoints=unix://"+directory+"/localhost:11", "put", "k", "v")
	told.etcdctl("--endpoints=unix://localhost:31", "get", "k")
	told.lease(running.Members)
	for _, name := range []string{"localhost:13", "localhost:23", "localhost:33"} {
		told.health(name)
	}

	told.do(running.Members[1].Stop())
	told.do(running.Members[2].Kill())
	told.files("one stopped, one killed")
	told.do(running.Members[1].Launch())
	told.do(running.Members[2].Start())
	told.do(running.Members[1].AwaitServing())
	told.etcdctl("--endpoints=unix://localhost:21", "get", "k")

	joining := running.JoinAt(t, told.place(4))
	_, members := dial(t, running.Members[0])
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	_, err = members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{joining.PeerURL}})
	told.do(err)
	running.Start(t, joining)
	told.do(joining.AwaitServing())
	told.etcdctl("--endpoints=unix://localhost:41", "get", "k")
	stopped := make(chan error)
	for _, one := range running.Members {
		go func() { stopped <- one.Stop() }()
	}
	for range running.Members {
		told.do(<-stopped)
	}
	told.files("stopped")
	return strings.Join(told.story, "\n")
}

// place is where member `number` runs: clients at 11, 21…, peers at 12, 22…, metrics at 13, 23….
func (s *sockets) place(number int) member.Place {
	return member.Place{
		ClientURL: fmt.Sprintf("unix://localhost:%d1", number),
		PeerURL:   fmt.Sprintf("unix://localhost:%d2", number),
		Command: []string{"/bin/sh", "-c", fmt.Sprintf(
			`cd "$0" && exec "$@" --listen-metrics-urls=unix://localhost:%d3`, number), s.directory},
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.directory, address))
		},
	}
}

func (s *sockets) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sockets) etcdctl(arguments ...string) {
	s.t.Helper()
	command := exec.Command(member.Reference("etcdctl"), arguments...)
	command.Dir = s.directory
	output, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v: %s", arguments, err, output)
	}
	s.tell("%v: %s", arguments[1:], output)
}

func (s *sockets) files(when string) {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.directory, "localhost:*"))
	s.do(err)
	for at, file := range found {
		found[at] = filepath.Base(file)
	}
	s.tell("%s: %v", when, found)
}

// lease renews one through every member: those that do not lead ask the leader at its peer URL.
func (s *sockets) lease(members []*member.Member) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), callTimeout)
	defer cancel()
	_, err := pb.NewLeaseClient(members[0].Connect(s.t)).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 7, TTL: 100})
	s.do(err)
	for _, one := range members {
		s.etcdctl("--endpoints=unix://"+one.Endpoint(), "lease", "keep-alive", "--once", "7")
	}
}

// health asks a metrics listener.
func (s *sockets) health(name string) {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.directory, name))
		},
	}}
	answer, err := client.Get("http://localhost/health")
	s.do(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	s.do(err)
	s.tell("%s: %d %s", name, answer.StatusCode, body)
}
