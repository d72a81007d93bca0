// Package member starts and stops the servers that the tests talk to:
// netcd and the reference etcd, through the same flags, on loopback ports and their own data directories.
package member

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

const (
	// ServeWaitMax bounds the time from start until the first linearizable read is answered.
	ServeWaitMax = 60 * time.Second
	// StopWaitMax bounds a clean stop after SIGTERM.
	StopWaitMax = 30 * time.Second
	// AnswerBytesMax lets clients receive any answer that a server can send.
	AnswerBytesMax = 1<<31 - 1
)

// Member is one server process and what is needed to start it again on the same data.
type Member struct {
	// Label names the server in messages: "netcd" or "etcd".
	Label string
	// ClientURL and PeerURL are on loopback, unless the member has another place; http, unless its TLS says https.
	ClientURL, PeerURL string
	// DataDir holds the member's data, LogPath everything it wrote to stdout and stderr.
	DataDir, LogPath string

	place     Place
	user      *User
	binary    string
	extra     []string
	arguments []string
	// clientURLs and peerURLs are those that Listen gave.
	clientURLs, peerURLs string
	// etcdctl are flags that name what it needs to reach the member over TLS.
	etcdctl []string
	process *exec.Cmd
	exited  chan struct{}
}

// Options are what differs between the members of the tests.
type Options struct {
	Label  string
	Binary string
	// Dir is an existing directory; the data directory and the log are made in it.
	Dir string
	// Flags come after the common ones and so win over them.
	Flags []string
	// Arguments, if there are any, are all that it is started with, in place of the common flags and Flags.
	Arguments []string
	// Place is where it runs; without URLs on two free ports of loopback.
	Place Place
}

// Place is where a member runs and how clients reach it.
type Place struct {
	ClientURL, PeerURL string
	// TLS makes URLs that are not given https; nil is none.
	TLS *TLS
	// Command goes before the server's own command line.
	Command []string
	// Environment is added to ours.
	Environment []string
	// Flags are added to those of all members.
	Flags []string
	// Dial connects to the client URL; nil: from where we are.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// New describes a member that is not started yet.
func New(options Options) (*Member, error) {
	place := options.Place
	if place.ClientURL == "" {
		client, err := freePort()
		if err != nil {
			return nil, err
		}
		peer, err := freePort()
		if err != nil {
			return nil, err
		}
		clientScheme, peerScheme := place.TLS.schemes()
		place.ClientURL = fmt.Sprintf("%s://127.0.0.1:%d", clientScheme, client)
		place.PeerURL = fmt.Sprintf("%s://127.0.0.1:%d", peerScheme, peer)
	}
	return &Member{
		Label:     options.Label,
		ClientURL: place.ClientURL,
		PeerURL:   place.PeerURL,
		DataDir:   filepath.Join(options.Dir, options.Label+".data"),
		LogPath:   filepath.Join(options.Dir, options.Label+".log"),
		place:     place,
		binary:    options.Binary,
		extra:     slices.Concat(options.Flags, place.Flags),
		arguments: options.Arguments,
	}, nil
}

// Endpoint is host:port of the client URL.
func (m *Member) Endpoint() string { return hostOf(m.ClientURL) }

// PeerEndpoint is host:port of the peer URL.
func (m *Member) PeerEndpoint() string { return hostOf(m.PeerURL) }

// ClientTLS is how clients dial the member's client URL; nil without TLS.
func (m *Member) ClientTLS() *tls.Config {
	if m.place.TLS == nil {
		return nil
	}
	return m.place.TLS.Client
}

// Pid is the process id of the running server.
func (m *Member) Pid() int { return m.process.Process.Pid }

// AddFlags gives the next start more flags, which win over those before.
func (m *Member) AddFlags(flags ...string) { m.extra = append(m.extra, flags...) }

// Launch starts the process without waiting until it serves.
func (m *Member) Launch() error {
	log, err := os.OpenFile(m.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	line := slices.Concat(m.place.Command, []string{m.binary}, m.commandLine())
	process := exec.Command(line[0], line[1:]...)
	process.Stdout, process.Stderr = log, log
	process.Env = append(os.Environ(), m.place.Environment...)
	// Its own group, so that a kill reaches whatever a wrapper script started; and it never outlives us.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.binary, err)
	}
	exited := make(chan struct{})
	go func() {
		// The exit status of a killed server says nothing; ProcessState keeps it for those who ask.
		_ = process.Wait()
		close(exited)
	}()
	m.process, m.exited = process, exited
	return nil
}

func (m *Member) commandLine() []string {
	if m.arguments != nil {
		return m.arguments
	}
	clients, peers := cmp.Or(m.clientURLs, m.ClientURL), cmp.Or(m.peerURLs, m.PeerURL)
	return slices.Concat([]string{
		"--name=m1",
		"--data-dir=" + m.DataDir,
		"--listen-client-urls=" + clients,
		"--advertise-client-urls=" + clients,
		"--listen-peer-urls=" + peers,
		"--initial-advertise-peer-urls=" + peers,
		"--initial-cluster=m1=" + m.PeerURL,
	}, m.place.TLS.flags(), m.extra)
}

// Start launches the process and returns when it answers a linearizable read.
func (m *Member) Start() error {
	if err := m.Launch(); err != nil {
		return err
	}
	if err := m.AwaitServing(); err != nil {
		return errors.Join(err, m.Kill())
	}
	return nil
}

// AwaitServing returns when a linearizable read is answered, or an error with the end of the log.
func (m *Member) AwaitServing() error {
	connection, err := m.Dial()
	if err != nil {
		return err
	}
	defer connection.Close()
	kv := pb.NewKVClient(connection)
	deadline := time.Now().Add(ServeWaitMax)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if ctx, err = m.Identified(ctx, connection); err == nil {
			_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte("serving?"), Limit: 1})
		}
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-m.exited:
			return fmt.Errorf("%s exited before it served: %s", m.Label, m.LogTail())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve (%w): %s", m.Label, err, m.LogTail())
		}
	}
}

// Dial makes a client connection of its own; reconnects are quick, since tests restart servers.
func (m *Member) Dial(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return m.DialTarget("passthrough:///"+m.Endpoint(), options...)
}

// DialTarget is Dial for another target, which a resolver among the options makes endpoints of.
func (m *Member) DialTarget(target string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	if m.place.Dial != nil {
		options = append(options, grpc.WithContextDialer(m.place.Dial))
	}
	return grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(m.place.TLS.credentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quickBackoff, MinConnectTimeout: time.Second}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(AnswerBytesMax), grpc.MaxCallSendMsgSize(AnswerBytesMax)),
	}, options...)...)
}

// Kill ends the process group with SIGKILL and waits until it is gone.
func (m *Member) Kill() error { return m.signalGroup(syscall.SIGKILL) }

// Stop ends it cleanly with SIGTERM.
func (m *Member) Stop() error { return m.signalGroup(syscall.SIGTERM) }

// Pause stops the process without its knowledge (SIGSTOP) until Resume.
func (m *Member) Pause() error { return syscall.Kill(-m.Pid(), syscall.SIGSTOP) }

// Resume continues a process that was paused.
func (m *Member) Resume() error { return syscall.Kill(-m.Pid(), syscall.SIGCONT) }

// Running is false before the first start and when the process is gone.
func (m *Member) Running() bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

func (m *Member) signalGroup(signal syscall.Signal) error {
	if m.process == nil {
		return nil
	}
	if err := syscall.Kill(-m.Pid(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", m.Label, err)
	}
	select {
	case <-m.exited:
		return nil
	case <-time.After(StopWaitMax):
		return errors.Join(fmt.Errorf("%s ignores %s", m.Label, signal), syscall.Kill(-m.Pid(), syscall.SIGKILL))
	}
}

// Exited is closed when the process is gone.
func (m *Member) Exited() <-chan struct{} { return m.exited }

// ExitCode is the code of the process that has exited, -1 when a signal ended it.
func (m *Member) ExitCode() int { return m.process.ProcessState.ExitCode() }

// Log is everything that the server wrote.
func (m *Member) Log() (string, error) {
	text, err := os.ReadFile(m.LogPath)
	return string(text), err
}

// LogTail is the end of what the server wrote.
func (m *Member) LogTail() string {
	text, err := m.Log()
	if err != nil {
		return err.Error()
	}
	return text[max(0, len(text)-4000):]
}

// portsOfTests lies below the ports that the kernel gives to connections: one of those could hold a member's port
// when it starts again.
const portsOfTests = "20000-32000"

// FreePort is for programs of a test that listen by themselves.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// freePort takes the next free one of the range that NETCD_TEST_PORTS ("from-to") names, or of the tests' own.
func freePort() (int, error) {
	if span := os.Getenv("NETCD_TEST_PORTS"); span != "" {
		return portOfRange(span)
	}
	return portOfRange(portsOfTests)
}

var portsTaken atomic.Int64

func portOfRange(span string) (int, error) {
	var from, to int
	if _, err := fmt.Sscanf(span, "%d-%d", &from, &to); err != nil {
		return 0, fmt.Errorf("NETCD_TEST_PORTS=%q: %w", span, err)
	}
	// Packages are tested by processes side by side, so each begins at another place.
	for range to - from + 1 {
		port := from + (os.Getpid()*8+int(portsTaken.Add(1)))%(to-from+1)
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			listener.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port in %s", span)
}
