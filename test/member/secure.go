// Suites over TLS: one switch for a whole test, so that what it runs need not know.
package member

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Secure says what the certificate of those who reach servers over TLS gives them.
type Secure struct {
	// User is its common name.
	User string
	// Auth has every server switch authentication on once it serves; the user is root then.
	Auth bool
}

var testsOverTLS sync.Map

// OverTLS has all servers that this test and its subtests start from now on talk TLS, with certificates on both sides:
// to clients and among themselves.
func OverTLS(t testing.TB, how Secure) { testsOverTLS.Store(t.Name(), how) }

// SecureOf is what OverTLS said of the test or of one that it is a part of.
func SecureOf(t testing.TB) (how Secure, over bool) {
	for name, more := t.Name(), true; more; {
		if found, there := testsOverTLS.Load(name); there {
			return found.(Secure), true
		}
		cut := strings.LastIndex(name, "/")
		if more = cut >= 0; more {
			name = name[:cut]
		}
	}
	return Secure{}, false
}

// issuer is the authority of a cluster's members, nil where the test is not over TLS.
func issuer(t testing.TB) *Authority {
	t.Helper()
	if _, over := SecureOf(t); !over {
		return nil
	}
	return NewAuthority(t, t.TempDir(), "ca")
}

// secure gives a member that is described and not started what it needs, if its test is over TLS.
func (m *Member) secure(t testing.TB, by *Authority) {
	t.Helper()
	how, over := SecureOf(t)
	if !over {
		return
	}
	m.ClientURL, m.PeerURL = asHTTPS(m.ClientURL), asHTTPS(m.PeerURL)
	peer, err := url.Parse(m.PeerURL)
	if err != nil {
		t.Fatal(err)
	}
	files := &Certificates{Dir: t.TempDir(), CA: by}
	files.Server = by.IssueIn(t, files.Dir, "server", Leaf{CommonName: m.Label, DNS: []string{"localhost"}, IPs: []string{"127.0.0.1"}})
	files.Peer = by.IssueIn(t, files.Dir, "peer", Leaf{CommonName: m.Label, IPs: []string{peer.Hostname()}})
	files.Client = by.IssueIn(t, files.Dir, "client", Leaf{CommonName: how.User})
	m.place.TLS = files.Mutual()
	// Clients of several members name none of them.
	m.place.TLS.Client.ServerName = "localhost"
	m.etcdctl = []string{"--cacert=" + by.CertFile, "--cert=" + files.Client.CertFile, "--key=" + files.Client.KeyFile}
}

func asHTTPS(address string) string {
	if host, plain := strings.CutPrefix(address, "http://"); plain {
		return "https://" + host
	}
	return address
}

// enableAuth switches authentication on, if the test wants it: over its connections everybody is root.
func (m *Member) enableAuth(t testing.TB) {
	t.Helper()
	how, over := SecureOf(t)
	if !over || !how.Auth {
		return
	}
	connection, err := m.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), ServeWaitMax)
	defer cancel()
	auth := pb.NewAuthClient(connection)
	for _, step := range []func() error{
		func() error {
			_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: how.User, Password: how.User + "pw"})
			return err
		},
		func() error {
			_, err := auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: how.User, Role: "root"})
			return err
		},
		func() error { _, err := auth.AuthEnable(ctx, &pb.AuthEnableRequest{}); return err },
	} {
		if err := step(); err != nil {
			t.Fatalf("%s: %v", m.Label, err)
		}
	}
}

// Reach changes how clients reach the member, and how it is started, from now on.
func (m *Member) Reach(clientURL, peerURL string, with *TLS) {
	m.ClientURL, m.PeerURL, m.place.TLS = clientURL, peerURL, with
}

// Listen has the member listen, from its next start on, on more than the URLs that it is reached by.
func (m *Member) Listen(clientURLs, peerURLs []string) {
	m.clientURLs, m.peerURLs = strings.Join(clientURLs, ","), strings.Join(peerURLs, ",")
}

// HTTP is a client for the member's client URL.
func (m *Member) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: m.ClientTLS()}, Timeout: ServeWaitMax}
}

// Etcdctl is what etcdctl needs to reach the member.
func (m *Member) Etcdctl() []string {
	return append([]string{"--endpoints=" + m.Endpoint()}, m.etcdctl...)
}
