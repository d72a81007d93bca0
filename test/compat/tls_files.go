// The certificates of the TLS matrix: one set of files, made once, that both servers and all clients use.
package compat

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"netcd.test/member"
)

// allowedName is the common name, and allowedHost the DNS name, that the rules of names let in.
const (
	allowedName = "good"
	allowedHost = "good.example"
	nobodysHost = "nowhere.invalid"
)

type tlsFiles struct {
	dir string
	// trusted is the CA file: two roots with text around them, and two leaves that stand there themselves.
	trusted, empty string
	crl            string
	root           *member.Authority
	// doubted is an intermediate that is revoked itself.
	doubted *member.Pair
	servers map[member.KeyType]*member.Pair
	clients map[string]*member.Pair
	// names are the clients' in their order; the first is no certificate at all.
	names []string
}

func newTLSFiles(t *testing.T) *tlsFiles {
	t.Helper()
	dir := t.TempDir()
	f := &tlsFiles{dir: dir, root: member.NewAuthority(t, dir, "root"), servers: map[member.KeyType]*member.Pair{},
		clients: map[string]*member.Pair{}, names: []string{"none"}}
	forms := map[member.KeyType]member.KeyForm{member.P256: member.PKCS8, member.P384: member.SEC1,
		member.P521: member.SEC1, member.Ed25519: member.PKCS8, member.RSA2048: member.PKCS1}
	below := f.root.Intermediate(t, "servers")
	for kind, form := range forms {
		leaf := member.Leaf{CommonName: "server", DNS: []string{"localhost"}, IPs: []string{"127.0.0.1"}, Key: kind, Form: form}
		if kind == member.P384 {
			f.servers[kind] = below.Issue(t, "server-"+string(kind), leaf)
		} else {
			f.servers[kind] = f.root.Issue(t, "server-"+string(kind), leaf)
		}
	}
	second := member.NewAuthority(t, dir, "second")
	f.makeClients(t, second)
	f.trusted = filepath.Join(dir, "trusted.crt")
	f.empty = filepath.Join(dir, "empty.crt")
	bundle := bytes.Join([][]byte{[]byte("roots\n"), read(t, f.root.CertFile), []byte("text between\n"), read(t, second.CertFile),
		read(t, f.clients["listed leaf"].CertFile), read(t, f.clients["listed CA"].CertFile)}, nil)
	member.Replace(t, f.trusted, bundle, 0o644)
	member.Replace(t, f.empty, []byte("no certificate here\n"), 0o644)
	f.crl = filepath.Join(dir, "list.crl")
	f.root.Revoke(t, f.crl, f.clients["revoked"], f.doubted, f.clients["revoked P-521"])
	return f
}

func (f *tlsFiles) makeClients(t *testing.T, second *member.Authority) {
	t.Helper()
	stranger := member.NewAuthority(t, f.dir, "stranger")
	below := f.root.Intermediate(t, "below")
	narrow := f.root.IntermediateLike(t, "narrow", member.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	doubted := f.root.Intermediate(t, "doubted")
	f.doubted = &doubted.Pair
	now := time.Now()
	server, both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []x509.ExtKeyUsage{}
	for _, one := range []struct {
		name string
		by   *member.Authority
		leaf member.Leaf
	}{
		{"good", f.root, member.Leaf{}},
		{"second root", second, member.Leaf{}},
		{"expired", f.root, member.Leaf{NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}},
		{"not yet valid", f.root, member.Leaf{NotBefore: now.Add(24 * time.Hour), NotAfter: now.Add(48 * time.Hour)}},
		{"wrong CA", stranger, member.Leaf{}},
		{"wrong EKU", f.root, member.Leaf{Usages: server}},
		{"no EKU", f.root, member.Leaf{Usages: both}},
		{"any EKU", f.root, member.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}},
		{"revoked", f.root, member.Leaf{}},
		{"revoked P-521", f.root, member.Leaf{Key: member.P521}},
		{"wrong CN", f.root, member.Leaf{CommonName: "other"}},
		{"no CN", f.root, member.Leaf{Organization: "nobody"}},
		{"right IP", f.root, member.Leaf{IPs: []string{"10.1.2.3", "127.0.0.1"}}},
		{"wrong IP", f.root, member.Leaf{IPs: []string{"10.1.2.3"}}},
		{"right DNS", f.root, member.Leaf{DNS: []string{"localhost"}}},
		{"allowed DNS", f.root, member.Leaf{DNS: []string{allowedHost}, IPs: []string{"127.0.0.1"}}},
		{"wildcard DNS", f.root, member.Leaf{DNS: []string{"*.example"}, IPs: []string{"127.0.0.1"}}},
		{"wrong DNS", f.root, member.Leaf{DNS: []string{nobodysHost}}},
		{"wrong IP, right DNS", f.root, member.Leaf{IPs: []string{"10.1.2.3"}, DNS: []string{"localhost"}}},
		{"listed leaf", stranger, member.Leaf{}},
		{"listed CA", f.root, member.Leaf{SelfSigned: true, Authority: true}},
		{"CA:TRUE", f.root, member.Leaf{Authority: true}},
		{"self-signed", f.root, member.Leaf{SelfSigned: true}},
		{"by intermediate", below, member.Leaf{}},
		{"by narrow intermediate", narrow, member.Leaf{}},
		{"by revoked intermediate", doubted, member.Leaf{}},
		{"P-384", f.root, member.Leaf{Key: member.P384, Form: member.SEC1}},
		{"Ed25519", f.root, member.Leaf{Key: member.Ed25519}},
		{"RSA", f.root, member.Leaf{Key: member.RSA2048, Form: member.PKCS1}},
	} {
		if one.leaf.CommonName == "" && one.leaf.Organization == "" {
			one.leaf.CommonName = allowedName
		}
		f.clients[one.name] = one.by.Issue(t, "client-"+one.name, one.leaf)
		f.names = append(f.names, one.name)
	}
	f.clients["without intermediate"] = below.Issue(t, "client-alone", member.Leaf{CommonName: allowedName}).Alone(t)
	f.names = append(f.names, "without intermediate")
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
