// Members that serve TLS: what Place.TLS holds, and the usual set of certificates for it.
package member

import (
	"crypto/tls"
	"strings"
	"testing"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TLS is how a member serves and how clients reach it.
type TLS struct {
	// Client is how clients dial; nil leaves the client URL http.
	Client *tls.Config
	// Peer makes the peer URL https.
	Peer bool
	// Flags name the files and rules; they come before the member's other flags.
	Flags []string
}

// Certificates is the usual set in one directory: an authority, and a pair for the server, a client and peers.
type Certificates struct {
	Dir                  string
	CA                   *Authority
	Server, Client, Peer *Pair
}

// NewCertificates makes the usual set, for members on loopback, in a directory of the test. The client's common name
// is root, which is a user's name as soon as there is authentication.
func NewCertificates(t testing.TB) *Certificates {
	t.Helper()
	dir := t.TempDir()
	authority := NewAuthority(t, dir, "ca")
	local := Leaf{CommonName: "server", DNS: []string{"localhost"}, IPs: []string{"127.0.0.1", "::1"}}
	peer := local
	peer.CommonName = "peer"
	return &Certificates{
		Dir: dir, CA: authority,
		Server: authority.Issue(t, "server", local),
		Client: authority.Issue(t, "client", Leaf{CommonName: "root"}),
		Peer:   authority.Issue(t, "peer", peer),
	}
}

// Mutual is TLS on both URLs, where clients and members show certificates.
func (c *Certificates) Mutual() *TLS {
	return &TLS{Client: c.Config(c.Client), Peer: true, Flags: append(c.ClientFlags(), c.PeerFlags()...)}
}

// ClientFlags are the flags of the client side, with certificates demanded from clients.
func (c *Certificates) ClientFlags() []string {
	return append(ServerFlags(c.Server), "--trusted-ca-file="+c.CA.CertFile, "--client-cert-auth")
}

// PeerFlags are the flags of the peers' side, with certificates demanded from members.
func (c *Certificates) PeerFlags() []string {
	return append(PeerServerFlags(c.Peer), "--peer-trusted-ca-file="+c.CA.CertFile, "--peer-client-cert-auth")
}

// Config is how a client dials that trusts the authority and shows this pair; nil shows none.
func (c *Certificates) Config(shown *Pair) *tls.Config {
	config := &tls.Config{RootCAs: Pool(c.CA)}
	if shown != nil {
		config.Certificates = []tls.Certificate{shown.TLS()}
	}
	return config
}

// ServerFlags are the flags of a pair for the client side.
func ServerFlags(pair *Pair) []string {
	return []string{"--cert-file=" + pair.CertFile, "--key-file=" + pair.KeyFile}
}

// PeerServerFlags are the flags of a pair for the peers' side.
func PeerServerFlags(pair *Pair) []string {
	return []string{"--peer-cert-file=" + pair.CertFile, "--peer-key-file=" + pair.KeyFile}
}

// schemes are those of the client and the peer URL; a member without TLS has plain ones.
func (t *TLS) schemes() (client, peer string) {
	client, peer = "http", "http"
	if t != nil && t.Client != nil {
		client = "https"
	}
	if t != nil && t.Peer {
		peer = "https"
	}
	return client, peer
}

func (t *TLS) flags() []string {
	if t == nil {
		return nil
	}
	return t.Flags
}

func (t *TLS) credentials() credentials.TransportCredentials {
	if t == nil || t.Client == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(t.Client.Clone())
}

func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return host
}
