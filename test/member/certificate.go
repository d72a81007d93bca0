// Certificates that tests make when they run: authorities, leaves of every kind, revocation lists.
package member

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// KeyType is an algorithm of a certificate's key.
type KeyType string

// The key types that etcd takes.
const (
	P256    KeyType = "P-256"
	P384    KeyType = "P-384"
	P521    KeyType = "P-521"
	Ed25519 KeyType = "Ed25519"
	RSA2048 KeyType = "RSA-2048"
)

// KeyForm is how a key is written into its PEM file.
type KeyForm string

// The forms of key files; PKCS#1 is for RSA and SEC1 for the elliptic curves alone.
const (
	PKCS8 KeyForm = "PKCS#8"
	PKCS1 KeyForm = "PKCS#1"
	SEC1  KeyForm = "SEC1"
)

// Leaf says what is in a certificate; what is not given is as for a good one, for a day, with a P-256 key.
type Leaf struct {
	CommonName string
	// Organization is in the subject beside the common name.
	Organization string
	DNS          []string
	IPs          []string
	// Usages are the extended key usages; nil is both clientAuth and serverAuth, empty is no extension at all.
	Usages []x509.ExtKeyUsage
	// NotBefore and NotAfter are an hour ago and in a day when zero.
	NotBefore, NotAfter time.Time
	Key                 KeyType
	Form                KeyForm
	// Authority makes it CA:TRUE.
	Authority bool
	// Serial is the next unused number when nil.
	Serial *big.Int
	// SelfSigned leaves the issuer out: the certificate signs itself.
	SelfSigned bool
}

// Pair is a certificate with its key, in two PEM files.
type Pair struct {
	CertFile, KeyFile string
	Certificate       *x509.Certificate
	Signer            crypto.Signer
	// chain is the certificate's and its intermediates' DER.
	chain [][]byte
}

// Authority is a pair that issues others; its CertFile is a CA file.
type Authority struct {
	Pair
	dir string
}

var serials atomic.Int64

// NewAuthority makes a root in the directory: name.crt and name.key.
func NewAuthority(t testing.TB, dir, name string) *Authority {
	t.Helper()
	return NewAuthorityOf(t, dir, name, P256, PKCS8)
}

// NewAuthorityOf is NewAuthority with another key.
func NewAuthorityOf(t testing.TB, dir, name string, key KeyType, form KeyForm) *Authority {
	t.Helper()
	root := issue(t, nil, dir, name, Leaf{CommonName: name, Authority: true, NotAfter: inAYear(), Usages: []x509.ExtKeyUsage{}, Key: key, Form: form})
	return &Authority{Pair: *root, dir: dir}
}

// Authorities last long enough that nothing is said of their end.
func inAYear() time.Time { return time.Now().AddDate(1, 0, 0) }

// Intermediate makes an authority below this one; what it issues comes with its own certificate in the chain.
func (a *Authority) Intermediate(t testing.TB, name string) *Authority {
	t.Helper()
	return a.IntermediateLike(t, name, Leaf{Usages: []x509.ExtKeyUsage{}})
}

// IntermediateLike is Intermediate with what a leaf says.
func (a *Authority) IntermediateLike(t testing.TB, name string, like Leaf) *Authority {
	t.Helper()
	like.CommonName, like.Authority, like.NotAfter = name, true, inAYear()
	below := issue(t, a, a.dir, name, like)
	return &Authority{Pair: *below, dir: a.dir}
}

// Issue makes a certificate in the authority's directory: name.crt with the chain below the root, and name.key. An
// older pair of that name is replaced as one renews it: each file by a rename.
func (a *Authority) Issue(t testing.TB, name string, leaf Leaf) *Pair {
	t.Helper()
	return issue(t, a, a.dir, name, leaf)
}

// IssueIn is Issue in another directory.
func (a *Authority) IssueIn(t testing.TB, dir, name string, leaf Leaf) *Pair {
	t.Helper()
	return issue(t, a, dir, name, leaf)
}

// Revoke writes a revocation list (DER) with the certificates' serials into the file, by a rename.
func (a *Authority) Revoke(t testing.TB, file string, revoked ...*Pair) {
	t.Helper()
	list := &x509.RevocationList{
		Number:     big.NewInt(serials.Add(1)),
		ThisUpdate: time.Now().Add(-time.Minute),
		NextUpdate: time.Now().Add(24 * time.Hour),
	}
	for _, one := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: one.Certificate.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.Signer)
	if err != nil {
		t.Fatal(err)
	}
	Replace(t, file, der, 0o644)
}

// TLS is the pair as Go's own TLS shows it.
func (p *Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: p.chain, PrivateKey: p.Signer, Leaf: p.Certificate}
}

// Alone leaves the intermediates out of what the pair shows.
func (p *Pair) Alone(t testing.TB) *Pair {
	t.Helper()
	p.chain = p.chain[:1]
	Replace(t, p.CertFile, encode("CERTIFICATE", p.chain[0]), 0o644)
	return p
}

// Pool is the authorities as roots.
func Pool(authorities ...*Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, one := range authorities {
		pool.AddCert(one.Certificate)
	}
	return pool
}

// Bundle writes the certificates of several pairs into one CA file, by a rename.
func Bundle(t testing.TB, file string, pairs ...*Pair) {
	t.Helper()
	var text []byte
	for _, one := range pairs {
		text = append(text, encode("CERTIFICATE", one.Certificate.Raw)...)
	}
	Replace(t, file, text, 0o644)
}

// Replace puts a file in the place of another by a rename, so that nobody reads half of it.
func Replace(t testing.TB, file string, content []byte, mode os.FileMode) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func issue(t testing.TB, issuer *Authority, dir, name string, leaf Leaf) *Pair {
	t.Helper()
	signer, err := newKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	template := leaf.template()
	parent, by, above := template, signer, [][]byte(nil)
	if issuer != nil && !leaf.SelfSigned {
		parent, by = issuer.Certificate, issuer.Signer
		above = issuer.shown()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, signer.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	made := &Pair{
		CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key"),
		Certificate: certificate, Signer: signer, chain: append([][]byte{der}, above...),
	}
	key, err := encodeKey(signer, leaf.Form)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, one := range made.chain {
		text = append(text, encode("CERTIFICATE", one)...)
	}
	Replace(t, made.KeyFile, key, 0o600)
	Replace(t, made.CertFile, text, 0o644)
	return made
}

// shown is what comes after a leaf in its chain: intermediates, and no root.
func (a *Authority) shown() [][]byte {
	if string(a.Certificate.RawIssuer) == string(a.Certificate.RawSubject) {
		return nil
	}
	return a.chain
}

func (l Leaf) template() *x509.Certificate {
	made := &x509.Certificate{
		SerialNumber: l.Serial, Subject: pkix.Name{CommonName: l.CommonName}, DNSNames: l.DNS,
		NotBefore: l.NotBefore, NotAfter: l.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           l.Usages,
		BasicConstraintsValid: true,
	}
	if l.Organization != "" {
		made.Subject.Organization = []string{l.Organization}
	}
	if l.Serial == nil {
		made.SerialNumber = big.NewInt(1000 + serials.Add(1))
	}
	if l.NotBefore.IsZero() {
		made.NotBefore = time.Now().Add(-time.Hour)
	}
	if l.NotAfter.IsZero() {
		made.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if l.Usages == nil {
		made.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	if l.Authority {
		made.IsCA = true
		made.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	for _, one := range l.IPs {
		made.IPAddresses = append(made.IPAddresses, net.ParseIP(one))
	}
	return made
}

func newKey(kind KeyType) (crypto.Signer, error) {
	switch kind {
	case P256, "":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("no key type %q", kind)
}

func encodeKey(signer crypto.Signer, form KeyForm) ([]byte, error) {
	switch form {
	case PKCS1:
		key, isRSA := signer.(*rsa.PrivateKey)
		if !isRSA {
			return nil, fmt.Errorf("PKCS#1 has no %T", signer)
		}
		return encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), nil
	case SEC1:
		key, isCurve := signer.(*ecdsa.PrivateKey)
		if !isCurve {
			return nil, fmt.Errorf("SEC1 has no %T", signer)
		}
		der, err := x509.MarshalECPrivateKey(key)
		return encode("EC PRIVATE KEY", der), err
	case PKCS8, "":
		der, err := x509.MarshalPKCS8PrivateKey(signer)
		return encode("PRIVATE KEY", der), err
	}
	return nil, fmt.Errorf("no key form %q", form)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
