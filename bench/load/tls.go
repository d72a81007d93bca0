// TLS of the load generator: certificates that the bench makes for itself, and connections that a loop reads without a
// goroutine for each.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const certificateDays = 2

// certificates writes into o.directory what servers and clients of a bench show each other: ca.pem, and member.pem and
// client.pem with their keys beside them (member.key, client.key), all ECDSA P-256. A member's is good for both sides.
func certificates(_ context.Context, o options) (result, error) {
	ca := template("netcd bench CA")
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	caKey, err := writePair(o.directory, "ca", ca, ca, nil)
	if err != nil {
		return result{}, err
	}
	member := template("member")
	member.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	member.DNSNames = []string{"localhost"}
	member.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	client := template("client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	_, memberErr := writePair(o.directory, "member", member, ca, caKey)
	_, clientErr := writePair(o.directory, "client", client, ca, caKey)
	return result{}, errors.Join(memberErr, clientErr)
}

func template(commonName string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(0, 0, certificateDays),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// writePair makes a key, has its certificate signed by the parent's key, or by itself without one, and writes both.
func writePair(directory, name string, certificate, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	signed, err := x509.CreateCertificate(rand.Reader, certificate, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(directory, name)
	return key, errors.Join(
		os.WriteFile(path+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), 0o644),
		os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// tlsConfig is what a connection is made with; nil without a CA, which means without TLS.
func (o options) tlsConfig() (*tls.Config, error) {
	if o.ca == "" {
		return nil, nil
	}
	trusted, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		RootCAs:    x509.NewCertPool(),
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// A record is as large as what there is to send, from the first on.
		DynamicRecordSizingDisabled: true,
	}
	if !config.RootCAs.AppendCertsFromPEM(trusted) {
		return nil, errors.New(o.ca + " has no certificate")
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// wire is what TLS reads from and writes to: the connection itself during the handshake, then the socket's buffers,
// so that nothing waits for one connection while others have something.
type wire struct {
	net.Conn
	socket *socket
	// in[begin:end] is ciphertext that was read.
	in         []byte
	begin, end int
}

// errNothingYet is an error that TLS takes for one that passes: what has come of a record is kept until the rest does.
var errNothingYet = os.ErrDeadlineExceeded

func (w *wire) Read(into []byte) (int, error) {
	if w.socket == nil {
		return w.Conn.Read(into)
	}
	if w.begin == w.end {
		return 0, errNothingYet
	}
	n := copy(into, w.in[w.begin:w.end])
	w.begin += n
	return n, nil
}

func (w *wire) Write(bytes []byte) (int, error) {
	if w.socket == nil {
		return w.Conn.Write(bytes)
	}
	w.socket.out = append(w.socket.out, bytes...)
	return len(bytes), nil
}
