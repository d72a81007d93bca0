// The cells of the TLS matrix: which client comes to which listener of which flag set.
package compat

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// tlsKind is how a client of Go speaks: the versions, protocols and suites that it offers, and what it asks for.
type tlsKind struct {
	name     string
	min, max uint16
	alpn     []string
	suites   []uint16
	curves   []tls.CurveID
	// grpc asks by gRPC, and otherwise it is GET /version in HTTP/1.1.
	grpc bool
	// distrusts has it take the server's certificate for a stranger's.
	distrusts bool
}

var (
	plainHTTP = tlsKind{name: "HTTP/1.1"}
	plainGRPC = tlsKind{name: "gRPC", grpc: true}
)

// tlsKinds are the clients beside those two.
var tlsKinds = []tlsKind{
	{name: "HTTP/1.1 by 1.2", max: tls.VersionTLS12},
	{name: "gRPC by 1.2", max: tls.VersionTLS12, grpc: true},
	{name: "HTTP/1.1 by 1.3", min: tls.VersionTLS13},
	{name: "HTTP/1.1 by 1.1", min: tls.VersionTLS10, max: tls.VersionTLS11},
	{name: "HTTP/1.1 by 1.0", min: tls.VersionTLS10, max: tls.VersionTLS10},
	{name: "http/1.1 offered", alpn: []string{"http/1.1"}},
	{name: "http/1.1 offered by 1.2", alpn: []string{"http/1.1"}, max: tls.VersionTLS12},
	{name: "distrustful HTTP/1.1", distrusts: true},
	{name: "distrustful HTTP/1.1 by 1.2", distrusts: true, max: tls.VersionTLS12},
	{name: "foo offered", alpn: []string{"foo"}},
	{name: "foo and http/1.1 offered", alpn: []string{"foo", "http/1.1"}},
	{name: "AES-256 by 1.2", max: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
	{name: "CHACHA20 by 1.2", max: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
	{name: "CBC by 1.2", max: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	{name: "RSA key exchange by 1.2", max: tls.VersionTLS12, suites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA}},
	{name: "P-256 agreed", curves: []tls.CurveID{tls.CurveP256}},
	{name: "P-384 agreed", curves: []tls.CurveID{tls.CurveP384}},
	{name: "P-521 agreed", curves: []tls.CurveID{tls.CurveP521}},
	{name: "a post-quantum group agreed", curves: []tls.CurveID{tls.X25519MLKEM768}},
}

type tlsCell struct {
	set         *tlsSet
	listener    string
	certificate string
	kind        tlsKind
}

func (c tlsCell) String() string {
	return fmt.Sprintf("%s, %s port, certificate %s, %s", c.set.name, c.listener, c.certificate, c.kind.name)
}

// h2 and HTTP/1.1 are both spoken on the client port; the others have no gRPC, and where HTTP is apart the client
// port has nothing else.
func (c tlsCell) makesSense() bool {
	if c.kind.grpc {
		return c.listener == onClient
	}
	return c.listener != onClient || !c.set.split
}

// allTLSCells are all of them: every certificate with the usual two clients, and every kind of client with a good
// certificate and none.
func allTLSCells(f *tlsFiles) []tlsCell {
	var cells []tlsCell
	add := func(set *tlsSet, listener, certificate string, kind tlsKind) {
		if cell := (tlsCell{set, listener, certificate, kind}); cell.makesSense() {
			cells = append(cells, cell)
		}
	}
	for i := range tlsSets {
		set := &tlsSets[i]
		clients := set.clients
		if clients == nil {
			clients = f.names
		}
		for _, listener := range set.listeners() {
			for _, certificate := range clients {
				add(set, listener, certificate, plainHTTP)
				add(set, listener, certificate, plainGRPC)
			}
			for _, kind := range tlsKinds {
				if set.versions {
					add(set, listener, "good", kind)
					add(set, listener, "none", kind)
				}
			}
		}
	}
	return cells
}

// someTLSCells are a share of them, chosen by the seed, in the order of the sets.
func someTLSCells(cells []tlsCell, seed uint64, count int) []tlsCell {
	random := rand.New(rand.NewPCG(seed, 1))
	chosen := random.Perm(len(cells))[:min(count, len(cells))]
	slices.Sort(chosen)
	var some []tlsCell
	for _, at := range chosen {
		some = append(some, cells[at])
	}
	return some
}

// tools are the programs beside Go's client that can say what the cell says.
func (c tlsCell) tools() []string {
	usual := !c.kind.distrusts && c.kind.suites == nil && c.kind.curves == nil && !strings.Contains(c.kind.name, "foo")
	switch {
	case !usual:
		return nil
	case c.kind.grpc && c.kind.max == 0:
		return []string{"etcdctl"}
	case c.kind.grpc:
		return nil
	case c.kind.max != 0 && c.kind.max < tls.VersionTLS12:
		return []string{"openssl"}
	}
	return []string{"openssl", "curl"}
}
