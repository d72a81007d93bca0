// Package authority makes certificates for tests: CAs, what they issue and what they revoke.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	// Clocks of tests may be set back a little.
	backdated = time.Hour
	validFor  = 30 * 24 * time.Hour
	rsaBits   = 2048
)

// Authority is a CA.
type Authority struct {
	Pair
	rsa bool
}

// Pair is a certificate and its key, both as PEM.
type Pair struct {
	Certificate, Key []byte
	Leaf             *x509.Certificate

	signer crypto.Signer
}

// Request is what a certificate is to say. Without usages it may be used for both sides, without times it is good now.
type Request struct {
	CommonName   string
	Organization []string
	// Hosts are DNS names and IP addresses.
	Hosts       []string
	Usages      []x509.ExtKeyUsage
	From, Until time.Time
}

// New makes a CA whose keys, and those that it issues, are ECDSA P-256.
func New(t testing.TB, commonName string) *Authority {
	t.Helper()
	return newAuthority(t, commonName, false)
}

// NewRSA makes a CA with RSA keys.
func NewRSA(t testing.TB, commonName string) *Authority {
	t.Helper()
	return newAuthority(t, commonName, true)
}

func newAuthority(t testing.TB, commonName string, withRSA bool) *Authority {
	t.Helper()
	template := template(t, Request{CommonName: commonName})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	a := &Authority{rsa: withRSA}
	a.Pair = a.sign(t, template)
	return a
}

// Issue makes a certificate.
func (a *Authority) Issue(t testing.TB, request Request) *Pair {
	t.Helper()
	template := template(t, request)
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.ExtKeyUsage = request.Usages
	if len(request.Usages) == 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	issued := a.sign(t, template)
	return &issued
}

func template(t testing.TB, request Request) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: request.CommonName, Organization: request.Organization},
		NotBefore: request.From, NotAfter: request.Until}
	if made.NotBefore.IsZero() {
		made.NotBefore = time.Now().Add(-backdated)
	}
	if made.NotAfter.IsZero() {
		made.NotAfter = time.Now().Add(validFor)
	}
	for _, host := range request.Hosts {
		if address := net.ParseIP(host); address != nil {
			made.IPAddresses = append(made.IPAddresses, address)
		} else {
			made.DNSNames = append(made.DNSNames, host)
		}
	}
	return made
}

// sign makes a key and a certificate for it; that of an authority without one signs itself.
func (a *Authority) sign(t testing.TB, template *x509.Certificate) Pair {
	t.Helper()
	made := Pair{}
	var err error
	if a.rsa {
		var key *rsa.PrivateKey
		if key, err = rsa.GenerateKey(rand.Reader, rsaBits); err == nil {
			made.signer = key
			made.Key = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
		}
	} else {
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			var der []byte
			der, err = x509.MarshalECPrivateKey(key)
			made.signer = key
			made.Key = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	issuer, signer := a.Leaf, a.signer
	if issuer == nil {
		issuer, signer = template, made.signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, made.signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if made.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	made.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return made
}

// Revoke is the DER of a list of the revoked certificates.
func (a *Authority) Revoke(t testing.TB, number int64, revoked ...*Pair) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-backdated), NextUpdate: time.Now().Add(validFor)}
	for _, one := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: one.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Leaf, a.signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Config is that of a client that trusts these authorities and shows the pair; nil: none.
func (p *Pair) Config(t testing.TB, trusted ...*Authority) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	for _, one := range trusted {
		config.RootCAs.AddCert(one.Leaf)
	}
	if p != nil {
		shown, err := tls.X509KeyPair(p.Certificate, p.Key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{shown}
	}
	return config
}

// Write puts the pair into name.crt and name.key, and returns both paths.
func (p *Pair) Write(t testing.TB, directory, name string) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(directory, name+".crt"), filepath.Join(directory, name+".key")
	if err := os.WriteFile(certificate, p.Certificate, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, p.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	return certificate, key
}
