// Package netlab makes a network of its own for a test: a namespace for every host, one switch that joins them, and
// no way out. Single directions between two hosts can be cut. Needs root, iproute2 and nftables.
package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"netcd.test/member"

	"golang.org/x/sys/unix"
)

const (
	namePrefix = "netcd-lab-"
	clientPort = 2379
	peerPort   = 2380
	// rules drop what comes from the addresses of the set, silently, as a cut cable would.
	rules = `table inet lab {
		set cut { type ipv4_addr; }
		chain input { type filter hook input priority 0; ip saddr @cut drop; }
	}`
)

// Host is one namespace of a lab.
type Host struct {
	Address   string
	namespace string
}

// Lab is a network that lives as long as its test.
type Lab struct {
	Hosts []*Host
	wires string
}

var labsMade atomic.Int64

// Missing says why no lab can be made here; "" if one can.
func Missing() string {
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is missing: run scripts/setup-reference.sh"
		}
	}
	probe := fmt.Sprintf("%s%d-probe", namePrefix, os.Getpid())
	if err := run("", "ip", "netns", "add", probe); err != nil {
		return "no network namespaces: " + err.Error()
	}
	filtered := run(rules, "ip", "netns", "exec", probe, "nft", "-f", "-")
	if err := errors.Join(filtered, run("", "ip", "netns", "delete", probe)); err != nil {
		return "no packet filter: " + err.Error()
	}
	return ""
}

// New makes a lab with so many hosts; it is taken down at the end of the test.
func New(t testing.TB, size int) *Lab {
	t.Helper()
	if err := sweep(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s%d-%d", namePrefix, os.Getpid(), labsMade.Add(1))
	lab := &Lab{wires: name + "-wires"}
	t.Cleanup(func() {
		if err := lab.remove(); err != nil {
			t.Error(err)
		}
	})
	if err := lab.addWires(); err != nil {
		t.Fatal(err)
	}
	for at := range size {
		if err := lab.addHost(fmt.Sprintf("%s-h%d", name, at+1), at+1); err != nil {
			t.Fatal(err)
		}
	}
	return lab
}

func (l *Lab) addWires() error {
	return all(
		[]string{"ip", "netns", "add", l.wires},
		[]string{"ip", "-n", l.wires, "link", "add", "switch", "type", "bridge"},
		[]string{"ip", "-n", l.wires, "link", "set", "switch", "up"})
}

func (l *Lab) addHost(namespace string, number int) error {
	host := &Host{Address: fmt.Sprintf("10.77.0.%d", number), namespace: namespace}
	port := fmt.Sprintf("port%d", number)
	l.Hosts = append(l.Hosts, host)
	if err := all(
		[]string{"ip", "netns", "add", namespace},
		[]string{"ip", "-n", namespace, "link", "set", "lo", "up"},
		[]string{"ip", "-n", l.wires, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace},
		[]string{"ip", "-n", l.wires, "link", "set", port, "master", "switch", "up"},
		[]string{"ip", "-n", namespace, "address", "add", host.Address + "/24", "dev", "eth0"},
		[]string{"ip", "-n", namespace, "link", "set", "eth0", "up"}); err != nil {
		return err
	}
	return run(rules, "ip", "netns", "exec", namespace, "nft", "-f", "-")
}

func (l *Lab) remove() error {
	var names [][]string
	for _, host := range l.Hosts {
		names = append(names, []string{"ip", "netns", "delete", host.namespace})
	}
	return all(append(names, []string{"ip", "netns", "delete", l.wires})...)
}

// Cut drops all that goes from one host to another, in this direction only.
func (l *Lab) Cut(from, to *Host) error {
	return run("", "ip", "netns", "exec", to.namespace, "nft", "add", "element", "inet", "lab", "cut", "{", from.Address, "}")
}

// Heal ends all cuts.
func (l *Lab) Heal() error {
	for _, host := range l.Hosts {
		if err := run("", "ip", "netns", "exec", host.namespace, "nft", "flush", "set", "inet", "lab", "cut"); err != nil {
			return err
		}
	}
	return nil
}

// Place is a member on this host. Clients reach it from within, so that cuts divide members only.
func (h *Host) Place() member.Place {
	return member.Place{
		ClientURL: fmt.Sprintf("http://127.0.0.1:%d", clientPort),
		PeerURL:   fmt.Sprintf("http://%s:%d", h.Address, peerPort),
		Command:   []string{"ip", "netns", "exec", h.namespace},
		Dial:      h.dial,
	}
}

// dial connects inside the namespace: a socket stays in the namespace of the thread that made it.
func (h *Host) dial(ctx context.Context, address string) (net.Conn, error) {
	runtime.LockOSThread()
	ours, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer ours.Close()
	theirs, err := os.Open("/run/netns/" + h.namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter %s: %w", h.namespace, err)
	}
	connection, err := new(net.Dialer).DialContext(ctx, "tcp4", address)
	if back := unix.Setns(int(ours.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread must not run anything else; and were it to end, the kernel would kill the members started from it.
		panic(fmt.Sprintf("leave %s: %v", h.namespace, back))
	}
	runtime.UnlockOSThread()
	return connection, err
}

// sweep removes what test processes that were killed left behind.
func sweep() error {
	listed, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(listed)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "-")
		pid, err := strconv.Atoi(owner)
		if !strings.HasPrefix(name, namePrefix) || err != nil || unix.Kill(pid, 0) == nil {
			continue
		}
		if err := run("", "ip", "netns", "delete", name); err != nil {
			return err
		}
	}
	return nil
}

func all(commands ...[]string) error {
	for _, command := range commands {
		if err := run("", command[0], command[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func run(input, program string, arguments ...string) error {
	command := exec.Command(program, arguments...)
	command.Stdin = strings.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", program, arguments, err, output)
	}
	return nil
}
