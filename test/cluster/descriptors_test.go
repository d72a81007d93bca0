// More connections than a member has descriptors for: clients wait, and the cluster has what it needs for itself.
package cluster

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	descriptors = 1024
	// idlePerMember is what each member is offered; it can have 874 of them, and its writers' own.
	idlePerMember = 2000
	idleValue     = 1 << 20
	// idleWrites are enough for every member to need two more files of the log.
	idleWrites = 140
)

// idlePause says how many writes are made, and what is waited between two: with NETCD_IDLE_FOR, a duration, one a second
// for so long.
func idlePause(t *testing.T) (writes int, pause time.Duration) {
	t.Helper()
	given := os.Getenv("NETCD_IDLE_FOR")
	if given == "" {
		return idleWrites, 0
	}
	whole, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	return max(idleWrites, int(whole/time.Second)), time.Second
}

func TestIdleConnectionsLeaveTheClusterItsDescriptors(t *testing.T) {
	place := member.Place{Command: []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, descriptors), "sh"}}
	cluster := member.StartClusterAt(t, "netcd", member.Netcd(), []member.Place{place, place, place})
	leader := cluster.Leader(t)
	term := termOf(t, leader)
	var writers []pb.KVClient
	for _, one := range cluster.Members {
		writers = append(writers, pb.NewKVClient(one.Connect(t)))
		if err := put(t, one, "before", "x"); err != nil {
			t.Fatal(err)
		}
	}
	write := func(at int) error {
		value := bytes.Repeat([]byte{byte(at)}, idleValue)
		_, err := writers[at%len(writers)].Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", at%16), Value: value})
		return err
	}
	// Each writer has its connection before the others come.
	for at := range writers {
		if err := write(at); err != nil {
			t.Fatal(err)
		}
	}
	var idle []net.Conn
	for _, one := range cluster.Members {
		idle = append(idle, connectIdle(t, one)...)
	}
	writes, pause := idlePause(t)
	most := 0
	for at := range writes {
		if err := write(at); err != nil {
			t.Fatalf("write %d: %v", at, err)
		}
		for _, one := range cluster.Members {
			most = max(most, openFiles(t, one))
		}
		time.Sleep(pause)
	}
	for _, one := range cluster.Members {
		for _, path := range []string{"/version", "/members"} {
			askPeerPort(t, one, path)
		}
		if names := walFiles(t, one); len(names) < 2 {
			t.Errorf("%s opened no other file of the log meanwhile: %v", one.Label, names)
		}
	}
	if most < descriptors-150 || most > descriptors {
		t.Errorf("a member had %d files open at most, of %d", most, descriptors)
	}
	for _, connection := range idle {
		connection.Close()
	}
	// Who comes now is served: Leader asks over connections of its own.
	if now := termOf(t, cluster.Leader(t)); now != term {
		t.Errorf("the leader changed: term %d, then %d", term, now)
	}
	t.Logf("%d writes, at most %d of %d descriptors used", writes, most, descriptors)
}

// connectIdle returns when the member has taken as many connections as it can; the others wait in the kernel.
func connectIdle(t *testing.T, one *member.Member) []net.Conn {
	t.Helper()
	var all []net.Conn
	for range idlePerMember {
		connection, err := net.Dial("tcp", one.Endpoint())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, connection)
	}
	if err := one.AwaitLog("all connections that there are descriptors for are taken"); err != nil {
		t.Fatal(err)
	}
	return all
}

func termOf(t *testing.T, one *member.Member) uint64 {
	t.Helper()
	status, err := one.Status()
	if err != nil {
		t.Fatal(err)
	}
	return status.RaftTerm
}

func openFiles(t *testing.T, one *member.Member) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", one.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// askPeerPort asks over a connection of its own, as another member would.
func askPeerPort(t *testing.T, one *member.Member, path string) {
	t.Helper()
	client := http.Client{Timeout: callTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(one.PeerURL + path)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%s%s: %d %s %v", filepath.Base(one.LogPath), path, answer.StatusCode, body, err)
	}
}
