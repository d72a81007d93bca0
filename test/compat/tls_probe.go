// What a client of the TLS matrix does, and what it sees: a connection by Go's own TLS with a request in HTTP/1.1 or a
// call by gRPC, or openssl, curl and etcdctl through a relay that notes which addresses the server saw.
package compat

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"netcd.test/member"
)

// probeWaitMax bounds one client.
const probeWaitMax = 30 * time.Second

// tlsSeen is how it ended for a client.
type tlsSeen struct {
	in bool
	// text is what came back, or why nothing did.
	text string
	// from are the addresses that the server saw, by which its log lines are found.
	from []string
	// since is how long the log was before, and until where its lines are about this client.
	since, until int
}

func (c tlsCell) config(f *tlsFiles) *tls.Config {
	config := &tls.Config{
		RootCAs: member.Pool(f.root), MinVersion: max(c.kind.min, tls.VersionTLS10), MaxVersion: c.kind.max,
		NextProtos: c.kind.alpn, CipherSuites: c.kind.suites, CurvePreferences: c.kind.curves,
		// A certificate that the server's list of CAs does not ask for is shown all the same.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if shown := f.clients[c.certificate]; shown != nil {
				made := shown.TLS()
				return &made, nil
			}
			return &tls.Certificate{}, nil
		},
	}
	if c.set.own {
		config.RootCAs, config.InsecureSkipVerify = x509.NewCertPool(), true
	}
	if c.kind.distrusts {
		config.RootCAs, config.InsecureSkipVerify = x509.NewCertPool(), false
	}
	return config
}

// probe is the cell's client in Go.
func (c tlsCell) probe(f *tlsFiles, server *tlsServer) (seen tlsSeen) {
	since := logEnd(server.Member)
	if c.kind.grpc {
		seen = c.probeGRPC(f, server.addresses[c.listener])
	} else {
		seen = c.probeHTTP(f, server.addresses[c.listener])
	}
	seen.since = since
	return seen
}

func (c tlsCell) probeHTTP(f *tlsFiles, address string) tlsSeen {
	plain, err := net.Dial("tcp", address)
	if err != nil {
		return tlsSeen{text: err.Error()}
	}
	defer plain.Close()
	seen := tlsSeen{from: []string{plain.LocalAddr().String()}}
	config := c.config(f)
	config.ServerName = "127.0.0.1"
	answer, err := getVersion(tls.Client(plain, config))
	if err != nil {
		seen.text = clientText(err)
		return seen
	}
	seen.in, seen.text = true, answer
	return seen
}

// getVersion is GET /version over a connection, whose handshake it makes.
func getVersion(connection *tls.Conn) (string, error) {
	if err := connection.SetDeadline(time.Now().Add(probeWaitMax)); err != nil {
		return "", err
	}
	if err := connection.Handshake(); err != nil {
		return "", err
	}
	// What became of the writing shows when reading: a refusal by TLS 1.3 may come before or after.
	_, writeErr := io.WriteString(connection, "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return "", errors.Join(err, writeErr)
	}
	defer answer.Body.Close()
	return fmt.Sprintf("%s, protocol %q, %s", answer.Status, connection.ConnectionState().NegotiatedProtocol,
		tls.VersionName(connection.ConnectionState().Version)), nil
}

func (c tlsCell) probeGRPC(f *tlsFiles, address string) tlsSeen {
	var lock sync.Mutex
	var seen tlsSeen
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(c.config(f))),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			made, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err == nil {
				lock.Lock()
				seen.from = append(seen.from, made.LocalAddr().String())
				lock.Unlock()
			}
			return made, err
		}))
	if err != nil {
		return tlsSeen{text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeWaitMax)
	defer cancel()
	_, err = pb.NewKVClient(connection).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	connection.Close()
	lock.Lock()
	defer lock.Unlock()
	if seen.in = err == nil; seen.in {
		seen.text = "OK"
	} else {
		seen.text = clientText(errors.New(status.Convert(err).Message()))
	}
	return seen
}

var (
	alertText  = regexp.MustCompile(`remote error: (tls: [a-z -]+[a-z])`)
	closedText = regexp.MustCompile(`EOF|connection reset|broken pipe|close notify|closed network connection|transport is closing|malformed HTTP response`)
	localText  = regexp.MustCompile(`tls: .*`)
)

// clientText is an error without what chance decides: who refuses late is seen as an alert, as an end or as a reset.
func clientText(err error) string {
	text := err.Error()
	if alert := alertText.FindStringSubmatch(text); alert != nil {
		return "alert " + strings.TrimSuffix(alert[1], "\n")
	}
	if closedText.MatchString(text) {
		return "closed"
	}
	if local := localText.FindString(text); local != "" {
		return local
	}
	return text
}

// relay passes connections on to an address, and notes which addresses it calls from.
type relay struct {
	listener net.Listener
	lock     sync.Mutex
	from     []string
}

func newRelay(to string) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener}
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			go r.pass(inside, to)
		}
	}()
	return r, nil
}

func (r *relay) pass(inside net.Conn, to string) {
	defer inside.Close()
	outside, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer outside.Close()
	r.lock.Lock()
	r.from = append(r.from, outside.LocalAddr().String())
	r.lock.Unlock()
	go func() {
		_, _ = io.Copy(outside, inside)
		if half, isTCP := outside.(*net.TCPConn); isTCP {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(inside, outside)
}

func (r *relay) address() string { return r.listener.Addr().String() }

// close returns the addresses that the server saw.
func (r *relay) close() []string {
	r.listener.Close()
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.from
}
