// Strangers that do not want to be served: the member serves the others meanwhile, has its memory back afterwards, and
// does not fill its log with them.
package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"netcd.test/member"
)

const (
	// silentMax bounds how long a client that says nothing is waited for: 10 s, and what a busy machine adds.
	silentMax = 40 * time.Second
	// servedMax bounds a good client's handshake and request while the others are there.
	servedMax = 10 * time.Second
	// rssGrowthMax bounds what a member has more when the strangers have gone: its allocators keep some.
	rssGrowthMax = 160 << 20
	// refusalsPerSecondMax is how many lines there are at most about connections that were not taken.
	refusalsPerSecondMax = 20
)

// attacked is a member that strangers come to.
type attacked struct {
	*member.Member
	files *member.Certificates
	// ports are all that TLS is served on.
	ports []string
	hello []byte
}

func newAttacked(t *testing.T) *attacked {
	t.Helper()
	files := member.NewCertificates(t)
	metrics, err := member.FreeURL("https")
	if err != nil {
		t.Fatal(err)
	}
	netcd := member.StartAt(t, "netcd", member.Netcd(), member.Place{TLS: files.Mutual()}, "--listen-metrics-urls="+metrics)
	host := func(url string) string { return strings.TrimPrefix(url, "https://") }
	return &attacked{Member: netcd, files: files, ports: []string{netcd.Endpoint(), host(netcd.PeerURL), host(metrics)},
		hello: clientHello(t, files)}
}

// clientHello is what a client of Go says first.
func clientHello(t *testing.T, files *member.Certificates) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	config := files.Config(files.Client)
	config.ServerName = "localhost"
	go func() { _ = tls.Client(theirs, config).Handshake() }()
	said := make([]byte, 4096)
	count, err := ours.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return said[:count]
}

// TestTLSAttacks has all of them come to one member, one kind after the other, while good clients are served.
func TestTLSAttacks(t *testing.T) {
	member.Need(t, "openssl")
	a := newAttacked(t)
	random := rand.New(rand.NewPCG(member.Number[uint64](t, "COMPAT_SEED", 1), 7))
	good := a.serveOthers(t)
	// What a member takes once is there before it is measured.
	a.refused(t, member.Depth(500))
	before := rss(t, a.Member)
	started := time.Now()

	halfOpen := a.halfOpen(t, member.Depth(10_000))
	slow := a.oneByteASecond(t)
	for range member.Depth(3000) {
		a.say(t, random.IntN(len(a.ports)), fuzzed(random, a.hello))
	}
	for _, records := range badRecords(a.hello) {
		for port := range a.ports {
			a.ends(t, port, records)
		}
	}
	a.renegotiation(t)
	a.refused(t, member.Depth(3000))
	halfOpen()
	slow()
	good()

	took := time.Since(started)
	lines := len(rejections(t, a.Member))
	if most := refusalsPerSecondMax * (int(took/time.Second) + 20); lines > most {
		t.Errorf("%d lines about refused connections in %v", lines, took)
	}
	a.remembers(t, before)
	t.Logf("%d lines in %v; RSS %d MiB, at first %d MiB", lines, took, rss(t, a.Member)>>20, before>>20)
}

// serveOthers has good clients go on, on an old connection and on new ones, until the function that it returns is called.
func (a *attacked) serveOthers(t *testing.T) (end func()) {
	t.Helper()
	old := pb.NewKVClient(a.Connect(t))
	stop := make(chan struct{})
	var group sync.WaitGroup
	work := func(what string, once func(context.Context) error) {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				ctx, cancel := context.WithTimeout(context.Background(), servedMax)
				if err := once(ctx); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				cancel()
			}
		})
	}
	work("a put on an open connection", func(ctx context.Context) error {
		_, err := old.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
		return err
	})
	work("a new connection", func(ctx context.Context) error {
		transport := &http.Transport{TLSClientConfig: a.files.Config(a.files.Client), DisableKeepAlives: true}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.ClientURL+"/health", nil)
		if err != nil {
			return err
		}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err == nil && !bytes.Contains(body, []byte(`"true"`)) {
			err = fmt.Errorf("%s", body)
		}
		return err
	})
	return func() {
		close(stop)
		group.Wait()
	}
}

// halfOpen connects so often, as descriptors allow, and says nothing or half a hello. The function that it returns
// waits until the member has ended all.
func (a *attacked) halfOpen(t *testing.T, count int) (await func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	count = min(count, int(limit.Cur)/2)
	var open []net.Conn
	for i := range count {
		connection, err := net.Dial("tcp", a.ports[i%len(a.ports)])
		if err != nil {
			t.Fatalf("half-open connection %d: %v", i, err)
		}
		if i%2 == 0 {
			// Whoever was ended for others cannot write any more.
			_, _ = connection.Write(a.hello[:len(a.hello)/2])
		}
		open = append(open, connection)
	}
	last := time.Now()
	return func() {
		for i, connection := range open {
			if err := connection.SetReadDeadline(last.Add(silentMax)); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, connection); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("half-open connection %d of %d is open after %v", i, count, silentMax)
			}
			connection.Close()
		}
	}
}

// oneByteASecond asks for much and reads next to nothing.
func (a *attacked) oneByteASecond(t *testing.T) (end func()) {
	t.Helper()
	kv := pb.NewKVClient(a.Connect(t))
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("large"), Value: make([]byte, 1<<20)}); err != nil {
		t.Fatal(err)
	}
	plain, err := net.Dial("tcp", a.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowConn{Conn: plain}
	config := a.files.Config(a.files.Client)
	config.ServerName = "127.0.0.1"
	connection := tls.Client(slow, config)
	if err := connection.Handshake(); err != nil {
		t.Fatal(err)
	}
	body := `{"key":"bGFyZ2U="}`
	request := fmt.Sprintf("POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := io.WriteString(connection, strings.Repeat(request, 50)); err != nil {
		t.Fatal(err)
	}
	slow.slow = true
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, connection)
		close(done)
	}()
	return func() {
		plain.Close()
		<-done
	}
}

// slowConn reads a byte a second as soon as it is slow.
type slowConn struct {
	net.Conn
	slow bool
}

func (s *slowConn) Read(into []byte) (int, error) {
	if s.slow {
		time.Sleep(time.Second)
		into = into[:1]
	}
	return s.Conn.Read(into)
}

// say sends something and goes.
func (a *attacked) say(t *testing.T, port int, what []byte) {
	t.Helper()
	connection, err := net.Dial("tcp", a.ports[port])
	if err != nil {
		t.Fatal(err)
	}
	// A server that has had enough resets.
	_, _ = connection.Write(what)
	connection.Close()
}

// ends sends something that the member has to end the connection for.
func (a *attacked) ends(t *testing.T, port int, what badRecord) {
	t.Helper()
	connection, err := net.Dial("tcp", a.ports[port])
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(silentMax)); err != nil {
		t.Fatal(err)
	}
	_, _ = connection.Write(what.bytes)
	reply, err := io.ReadAll(connection)
	if err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("%s on %s: the connection is open", what.name, a.ports[port])
	}
	if what.noReply && len(reply) > 0 {
		t.Errorf("%s on %s: answered by %q", what.name, a.ports[port], reply)
	}
}

type badRecord struct {
	name    string
	bytes   []byte
	noReply bool
}

// badRecords are what no client says.
func badRecords(hello []byte) []badRecord {
	record := func(kind byte, length int, content []byte) []byte {
		return append([]byte{kind, 3, 1, byte(length >> 8), byte(length)}, content...)
	}
	// A message as long as its head can say, in records of full size.
	long := record(22, 1<<14, append([]byte{1, 0xff, 0xff, 0xff}, make([]byte, 1<<14-4)...))
	for range 200 {
		long = append(long, record(22, 1<<14, make([]byte, 1<<14))...)
	}
	var crumbs []byte
	for _, one := range hello[5:] {
		crumbs = append(crumbs, record(22, 1, []byte{one})...)
	}
	crumbs[len(crumbs)-1] ^= 0xff
	return []badRecord{
		{name: "plain HTTP", bytes: []byte("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), noReply: true},
		{name: "plain HTTP/2", bytes: []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), noReply: true},
		{name: "an oversized record", bytes: record(22, 0xffff, make([]byte, 1<<16))},
		{name: "an endless message", bytes: long},
		{name: "empty records", bytes: bytes.Repeat(record(22, 0, nil), 5000)},
		{name: "data before a handshake", bytes: record(23, 100, make([]byte, 100))},
		{name: "an alert", bytes: record(21, 2, []byte{2, 80})},
		{name: "two hellos", bytes: append(bytes.Clone(hello), hello...)},
		{name: "a hello and data", bytes: append(bytes.Clone(hello), record(23, 100, make([]byte, 100))...)},
		{name: "a hello of single bytes, broken", bytes: append(crumbs, record(23, 5, make([]byte, 5))...)},
		{name: "SSL 2", bytes: append([]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15}, make([]byte, 60)...)},
		{name: "zeros", bytes: make([]byte, 4096)},
	}
}

// fuzzed is a hello with some bytes changed, cut off or repeated.
func fuzzed(random *rand.Rand, hello []byte) []byte {
	made := bytes.Clone(hello)
	for range 1 + random.IntN(8) {
		at := random.IntN(len(made))
		switch random.IntN(4) {
		case 0:
			made[at] = byte(random.UintN(256))
		case 1:
			made[at] ^= 1 << random.IntN(8)
		case 2:
			made = made[:max(1, at)]
		case 3:
			made = append(made, made[at:]...)
		}
	}
	return made
}

// renegotiation asks for one, which there is none of.
func (a *attacked) renegotiation(t *testing.T) {
	t.Helper()
	// The member says that there is none, which openssl does not take for an answer: it waits until it is ended.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, "openssl", "s_client", "-connect", a.Endpoint(), "-tls1_2",
		"-CAfile", a.files.CA.CertFile, "-cert", a.files.Client.CertFile, "-key", a.files.Client.KeyFile)
	// Its R asks for a renegotiation; the request after it would be answered had there been one.
	command.Stdin = io.MultiReader(strings.NewReader("R\n"), &later{strings.NewReader("GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")})
	output, _ := command.CombinedOutput()
	if !bytes.Contains(output, []byte("RENEGOTIATING")) || bytes.Contains(output, []byte("HTTP/1.1 200")) {
		t.Errorf("a renegotiation:\n%s", output)
	}
}

// later waits a second before what it reads.
type later struct{ io.Reader }

func (l *later) Read(into []byte) (int, error) {
	time.Sleep(time.Second)
	return l.Reader.Read(into)
}

// refused has so many clients without a certificate come, several at a time.
func (a *attacked) refused(t *testing.T, count int) {
	t.Helper()
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				config := a.files.Config(nil)
				if i%2 == 0 {
					config.MaxVersion = tls.VersionTLS12
				}
				connection, err := tls.Dial("tcp", a.ports[i%len(a.ports)], config)
				if err != nil {
					continue
				}
				// By 1.3 the refusal comes after the client has ended its part.
				_ = connection.SetReadDeadline(time.Now().Add(servedMax))
				if _, err := connection.Read(make([]byte, 1)); err == nil {
					t.Error("a client without a certificate reads something")
				}
				connection.Close()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	group.Wait()
}

// remembers waits until the member has its memory back.
func (a *attacked) remembers(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(silentMax)
	for rss(t, a.Member)-before > rssGrowthMax {
		if time.Now().After(deadline) {
			t.Errorf("RSS was %d MiB, and is %d MiB when the strangers have gone", before>>20, rss(t, a.Member)>>20)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rss is the memory that the process has.
func rss(t *testing.T, one *member.Member) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", one.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var kilobytes int
	_, after, found := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscanf(after, "%d", &kilobytes); !found || err != nil {
		t.Fatalf("no VmRSS in %s: %v", text, err)
	}
	return kilobytes << 10
}
