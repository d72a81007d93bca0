// Files that are replaced while both servers run, as Kubernetes replaces them: a directory of symlinks whose target is
// exchanged by one rename. What etcd reads at its start alone, netcd takes, too.
package compat

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"netcd.test/member"
)

// reloadWaitMax bounds the time until a file that was replaced counts.
const reloadWaitMax = 40 * time.Second

// mounted is a volume as Kubernetes mounts one.
type mounted struct {
	dir     string
	version int
	content map[string][]byte
}

// put exchanges some of the files, all at once.
func (m *mounted) put(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		m.content[name] = content
	}
	m.version++
	next := filepath.Join(m.dir, fmt.Sprintf("..%d", m.version))
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range m.content {
		if err := os.WriteFile(filepath.Join(next, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(m.dir, name)
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	link := filepath.Join(m.dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(next), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// reloading is both servers, and the clients that come to them.
type reloading struct {
	t           *testing.T
	volume      *mounted
	first, next *member.Authority
	// pairs are clients' by name, as those of old, new and revoked.
	pairs map[string]*member.Pair
}

// dialled is what a client sees of the server: its certificate's serial, or why it did not get in.
func (r *reloading) dialled(server *member.Member, shown string, more func(*tls.Config)) string {
	config := &tls.Config{RootCAs: member.Pool(r.first, r.next), ServerName: "127.0.0.1"}
	config.Certificates = []tls.Certificate{r.pairs[shown].TLS()}
	if more != nil {
		more(config)
	}
	connection, err := tls.Dial("tcp", server.Endpoint(), config)
	if err != nil {
		return "out"
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(probeWaitMax)); err != nil {
		return err.Error()
	}
	if _, err := io.WriteString(connection, "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return "out"
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return "out"
	}
	answer.Body.Close()
	resumed := ""
	if connection.ConnectionState().DidResume {
		resumed = " resumed"
	}
	return connection.ConnectionState().PeerCertificates[0].SerialNumber.String() + resumed
}

// await waits until a client sees this.
func (r *reloading) await(server *member.Member, shown, expected string) {
	r.t.Helper()
	deadline := time.Now().Add(reloadWaitMax)
	for {
		seen := r.dialled(server, shown, nil)
		if seen == expected {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: a client with the certificate %s sees %q, not %q", server.Label, shown, seen, expected)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (r *reloading) server(name string) (files map[string][]byte, serial string) {
	pair := r.first.Issue(r.t, name, member.Leaf{CommonName: name, IPs: []string{"127.0.0.1"}})
	return map[string][]byte{"tls.crt": read(r.t, pair.CertFile), "tls.key": read(r.t, pair.KeyFile)}, pair.Certificate.SerialNumber.String()
}

func (r *reloading) list(revoked ...*member.Pair) map[string][]byte {
	file := filepath.Join(r.t.TempDir(), "list")
	r.first.Revoke(r.t, file, revoked...)
	return map[string][]byte{"list.crl": read(r.t, file)}
}

func TestTLSReload(t *testing.T) {
	dir := t.TempDir()
	r := &reloading{t: t, volume: &mounted{dir: t.TempDir(), content: map[string][]byte{}},
		first: member.NewAuthority(t, dir, "first"), next: member.NewAuthority(t, dir, "next")}
	r.pairs = map[string]*member.Pair{
		"old": r.first.Issue(t, "old", member.Leaf{CommonName: "old"}), "new": r.next.Issue(t, "new", member.Leaf{CommonName: "new"}),
		"doomed": r.first.Issue(t, "doomed", member.Leaf{CommonName: "doomed"}),
	}
	files, serial := r.server("one")
	r.volume.put(t, files)
	r.volume.put(t, map[string][]byte{"ca.crt": read(t, r.first.CertFile)})
	r.volume.put(t, r.list())
	at := func(name string) string { return filepath.Join(r.volume.dir, name) }
	doomed := &tls.Config{RootCAs: member.Pool(r.first), Certificates: []tls.Certificate{r.pairs["doomed"].TLS()}}
	netcd, etcd := member.StartPairAt(t, member.Place{TLS: &member.TLS{Client: doomed}},
		"--cert-file="+at("tls.crt"), "--key-file="+at("tls.key"), "--trusted-ca-file="+at("ca.crt"), "--client-crl-file="+at("list.crl"))
	both := []*member.Member{netcd, etcd}
	watches := map[*member.Member]pb.Watch_WatchClient{}
	cached := map[*member.Member]*tls.Config{}
	for _, server := range both {
		r.await(server, "old", serial)
		r.await(server, "new", "out")
		watches[server] = watchOf(t, server)
		cached[server] = &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(9)}
	}

	files, serial = r.server("two")
	r.volume.put(t, files)
	for _, server := range both {
		r.await(server, "old", serial)
	}
	r.broken(netcd, etcd, serial)

	files, serial = r.server("three")
	r.volume.put(t, files)
	resume := func(server *member.Member, version uint16) string {
		return r.dialled(server, "doomed", func(config *tls.Config) {
			config.ClientSessionCache, config.MaxVersion = cached[server].ClientSessionCache, version
		})
	}
	versions := []uint16{tls.VersionTLS12, tls.VersionTLS13}
	for _, server := range both {
		r.await(server, "old", serial)
		for _, version := range versions {
			cached[server].ClientSessionCache = tls.NewLRUClientSessionCache(9)
			first, again := resume(server, version), resume(server, version)
			if first != serial || again != serial+" resumed" {
				t.Errorf("%s: a session of %s, and again: %q, %q", server.Label, tls.VersionName(version), first, again)
			}
		}
	}
	r.volume.put(t, r.list(r.pairs["doomed"]))
	for _, server := range both {
		r.await(server, "doomed", "out")
		r.await(server, "old", serial)
		for _, version := range versions {
			if seen := resume(server, version); seen != "out" {
				t.Errorf("%s: a session of %s of a certificate that was revoked since: %q", server.Label, tls.VersionName(version), seen)
			}
		}
	}

	// The authority: etcd has read it at its start.
	r.volume.put(t, map[string][]byte{"ca.crt": read(t, r.next.CertFile)})
	r.await(netcd, "new", serial)
	r.await(netcd, "old", "out")
	r.await(etcd, "new", "out")
	r.await(etcd, "old", serial)
	r.volume.put(t, map[string][]byte{"ca.crt": append(read(t, r.next.CertFile), read(t, r.first.CertFile)...)})
	r.await(netcd, "old", serial)
	r.await(netcd, "new", serial)

	for _, server := range both {
		stillWatches(t, server, watches[server])
	}
}

// broken puts a key of another pair into the volume, and then no certificate at all.
func (r *reloading) broken(netcd, etcd *member.Member, serial string) {
	r.t.Helper()
	good := map[string][]byte{"tls.crt": r.volume.content["tls.crt"], "tls.key": r.volume.content["tls.key"]}
	other, _ := r.server("other")
	for _, bad := range []struct {
		content map[string][]byte
		text    string
	}{
		{map[string][]byte{"tls.key": other["tls.key"]}, "tls: private key does not match public key"},
		{map[string][]byte{"tls.crt": []byte("nothing")}, "tls: failed to find any PEM data in certificate input"},
	} {
		r.volume.put(r.t, bad.content)
		r.await(etcd, "old", "out")
		for _, server := range []*member.Member{etcd, netcd} {
			if err := server.AwaitLog(bad.text); err != nil {
				r.t.Error(err)
			}
		}
		// netcd has looked, and keeps what it had.
		r.await(netcd, "old", serial)
		r.volume.put(r.t, good)
		r.await(etcd, "old", serial)
	}
}

func watchOf(t *testing.T, server *member.Member) pb.Watch_WatchClient {
	t.Helper()
	stream, err := pb.NewWatchClient(server.Connect(t)).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("k")}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// stillWatches asks the watch for its progress, on the connection of a certificate that no new connection gets in with.
func stillWatches(t *testing.T, server *member.Member, stream pb.Watch_WatchClient) {
	t.Helper()
	request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	if err := stream.Send(request); err != nil {
		t.Fatalf("%s: a watch of before: %v", server.Label, err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		answered <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), watchWaitMax)
	defer cancel()
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("%s: a watch of before: %v", server.Label, err)
		}
	case <-ctx.Done():
		t.Errorf("%s: a watch of before is silent: %v", server.Label, ctx.Err())
	}
}
