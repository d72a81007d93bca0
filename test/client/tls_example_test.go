package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"netcd.test/member"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// tlsExamplePause is the time between two looks whether members have taken what was put in place.
const tlsExamplePause = 50 * time.Millisecond

// secured is the example's cluster, and the directory in which its certificates are.
type secured struct {
	pki       string
	endpoints []string
}

// TestTLSExample runs what docs/operations.md tells about certificates, with the scripts of examples/tls: three members
// with mTLS, users by the common names of their certificates, one that is revoked, and the CA replaced while a client
// writes, who notices nothing.
func TestTLSExample(t *testing.T) {
	member.Need(t, "openssl")
	s := startSecured(t)
	s.makeUsers(t)
	s.etcdctl(t, "app", "OK", "put", "/app/1", "x")
	s.etcdctl(t, "app", "permission denied", "put", "/other", "x")
	s.etcdctl(t, "root", "/app/1", "get", "", "--prefix", "--keys-only")

	stop := s.writeOn(t)
	before := s.pairOf(t, "app")
	s.certificates(t, "ca")
	s.certificates(t, "client", "app")
	s.until(t, "the new CA is trusted beside the old", func(endpoint string) error { return s.greets(t, endpoint, s.pairOf(t, "app")) })
	s.until(t, "the old CA still is", func(endpoint string) error { return s.greets(t, endpoint, before) })
	for _, name := range []string{"infra1", "infra2", "infra3"} {
		s.certificates(t, "member", name, "127.0.0.1", "localhost")
	}
	s.certificates(t, "only-newest-ca")
	s.until(t, "members show what the new CA has signed", func(endpoint string) error { return s.greets(t, endpoint, s.pairOf(t, "app")) })
	s.until(t, "the old CA is trusted no more", func(endpoint string) error { return refused(s.greets(t, endpoint, before)) })

	revoked := s.pairOf(t, "app")
	s.certificates(t, "revoke", "app")
	s.until(t, "the revoked certificate is refused", func(endpoint string) error { return refused(s.greets(t, endpoint, revoked)) })
	s.certificates(t, "client", "app")
	s.etcdctl(t, "app", "OK", "put", "/app/2", "x")
	stop()
}

// startSecured runs the example until the test ends, and waits until it serves.
func startSecured(t *testing.T) *secured {
	t.Helper()
	s := &secured{pki: filepath.Join(t.TempDir(), "pki")}
	words := []string{"examples/tls/cluster.mjs", s.pki}
	for at := range 6 {
		port := strconv.Itoa(member.FreePort(t))
		words = append(words, port)
		if at%2 == 0 {
			s.endpoints = append(s.endpoints, "127.0.0.1:"+port)
		}
	}
	run := exec.Command("node", words...)
	run.Dir = member.Root()
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It passes the signal on, and ends when its members have.
		if err := errors.Join(run.Process.Signal(syscall.SIGTERM), run.Wait()); err != nil && !t.Failed() {
			t.Error(err)
		}
		if t.Failed() {
			for _, name := range []string{"infra1", "infra2", "infra3"} {
				log, _ := os.ReadFile(filepath.Join(s.pki, name+".log"))
				t.Logf("%s:\n%s", name, log)
			}
		}
	})
	s.until(t, "it serves", func(endpoint string) error { return s.greets(t, endpoint, s.pairOf(t, "root")) })
	return s
}

// makeUsers is what docs/operations.md types.
func (s *secured) makeUsers(t *testing.T) {
	t.Helper()
	for _, words := range []string{
		"user add root --no-password", "user grant-role root root",
		"role add app", "role grant-permission app readwrite --prefix /app/",
		"user add app --no-password", "user grant-role app app",
		"auth enable",
	} {
		s.etcdctl(t, "root", "", strings.Fields(words)...)
	}
}

// etcdctl shows the certificate of that name and must say that text.
func (s *secured) etcdctl(t *testing.T, name, text string, words ...string) {
	t.Helper()
	files := []string{"--cacert=ca.crt", "--cert=" + name + ".crt", "--key=" + name + ".key", "--endpoints=" + strings.Join(s.endpoints, ",")}
	run := exec.CommandContext(t.Context(), member.Reference("etcdctl"), append(files, words...)...)
	run.Dir = s.pki
	if said, err := run.CombinedOutput(); !strings.Contains(string(said), text) || err != nil && text == "" {
		t.Fatalf("etcdctl as %s %v: %v\n%s", name, words, err, said)
	}
}

func (s *secured) certificates(t *testing.T, words ...string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "sh", append([]string{"examples/tls/certificates.sh", s.pki}, words...)...)
	run.Dir = member.Root()
	if said, err := run.CombinedOutput(); err != nil {
		t.Fatalf("certificates.sh %v: %v\n%s", words, err, said)
	}
}

// pairOf is what of that name is in place now; nothing before it was made.
func (s *secured) pairOf(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.pki, name+".crt"), filepath.Join(s.pki, name+".key"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// configOf shows that pair to who is signed by what ca.crt holds now.
func (s *secured) configOf(t *testing.T, pair *tls.Certificate) *tls.Config {
	t.Helper()
	trusted, err := os.ReadFile(filepath.Join(s.pki, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*pair}}
}

var errNotMade = errors.New("the certificate is not made yet")

// greets asks for the member's health; only whom it lets in is answered.
func (s *secured) greets(t *testing.T, endpoint string, pair *tls.Certificate) error {
	t.Helper()
	if pair == nil {
		return errNotMade
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: s.configOf(t, pair), MaxUnaryRetries: 1})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	_, err = client.Get(ctx, "/app/none")
	cancel()
	return errors.Join(err, client.Close())
}

// refused is an error unless there is one.
func refused(err error) error {
	if err == nil {
		return errors.New("let in")
	}
	return nil
}

// until waits until all members are as told.
func (s *secured) until(t *testing.T, what string, holds func(endpoint string) error) {
	t.Helper()
	deadline := time.Now().Add(member.ServeWaitMax)
	for _, endpoint := range s.endpoints {
		for err := holds(endpoint); err != nil; err = holds(endpoint) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not so at %s: %v", what, endpoint, err)
			}
			time.Sleep(tlsExamplePause)
		}
	}
}

// writeOn has a client write until the function that it returns is called, which fails the test unless every write came
// back, some of them before and some after.
func (s *secured) writeOn(t *testing.T) func() {
	t.Helper()
	endpoints := s.endpoints
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: s.configOf(t, s.pairOf(t, "root"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	written := 0
	var failure error
	writer.Go(func() {
		for ctx.Err() == nil && failure == nil {
			_, failure = client.Put(context.WithoutCancel(ctx), fmt.Sprintf("/app/load/%d", written), "v")
			written++
		}
	})
	return func() {
		cancel()
		writer.Wait()
		kept, err := client.Get(t.Context(), "/app/load/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err := errors.Join(failure, err, client.Close()); err != nil || kept.Count != int64(written) {
			t.Fatalf("%d writes: %v; kept %v", written, err, kept)
		}
	}
}
