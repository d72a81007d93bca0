// The flag sets of the TLS matrix: how a member of each is started, and which listeners it has.
package compat

import (
	"crypto/tls"
	"fmt"
	"slices"
	"testing"

	"netcd.test/member"
)

// The listeners of a member, by name.
const (
	onClient  = "client"
	onHTTP    = "http"
	onMetrics = "metrics"
	onPeer    = "peer"
)

// tlsSet is a way to start a member, for which both servers are started once.
type tlsSet struct {
	name string
	// key is the type of the server's key.
	key member.KeyType
	// client and peer are the rules of the two sides, beside the pair.
	client, peer func(*tlsFiles) []string
	// split takes HTTP off the client URL.
	split bool
	// own has the member make its pair itself.
	own bool
	// mixed serves http on the client's port, too.
	mixed bool
	// environment is of the process.
	environment func(*tlsFiles) []string
	// clients are the certificates that are tried with the usual client; nil is all.
	clients []string
	// versions has every kind of client tried, with a certificate and without.
	versions bool
}

func noRules(*tlsFiles) []string { return nil }

// ruled are rules that begin with the CA file and go on as given, FILES/ standing for the directory of the files.
func ruled(prefix string, more ...string) func(*tlsFiles) []string {
	return func(f *tlsFiles) []string {
		return append([]string{"--" + prefix + "trusted-ca-file=" + f.trusted}, more...)
	}
}

func listed(prefix string, more ...string) func(*tlsFiles) []string {
	flag := map[string]string{"": "--client-crl-file=", "peer-": "--peer-crl-file="}[prefix]
	return func(f *tlsFiles) []string { return append(ruled(prefix, more...)(f), flag+f.crl) }
}

func withFlags(flags ...string) func(*tlsFiles) []string {
	return func(*tlsFiles) []string { return flags }
}

var tlsSets = []tlsSet{
	{name: "no CA", key: member.P256, client: noRules, peer: noRules, clients: []string{"none", "good", "expired", "self-signed"}, versions: true},
	{name: "CA alone", key: member.P384, client: ruled(""), peer: ruled("peer-")},
	{name: "client-cert-auth", key: member.RSA2048, client: ruled("", "--client-cert-auth"), peer: ruled("peer-", "--peer-client-cert-auth"), versions: true},
	{name: "split", key: member.P521, split: true, client: ruled("", "--client-cert-auth"), peer: ruled("peer-", "--peer-skip-client-san-verification"), versions: true},
	{name: "CRL", key: member.Ed25519, client: listed("", "--client-cert-auth"), peer: listed("peer-", "--peer-client-cert-auth")},
	{name: "CRL, split", key: member.P256, split: true, client: listed(""), peer: listed("peer-")},
	{name: "allowed host", key: member.P256, client: ruled("", "--client-cert-allowed-hostname="+allowedHost),
		peer: ruled("peer-", "--peer-cert-allowed-hostname="+allowedHost+",127.0.0.1")},
	{name: "allowed hosts, split", key: member.P256, split: true,
		client: listed("", "--client-cert-auth", "--client-cert-allowed-hostname=127.0.0.1,localhost"),
		peer:   ruled("peer-", "--peer-cert-allowed-cn=nobody,"+allowedName)},
	{name: "allowed CN", key: member.P256, client: ruled(""),
		peer: listed("peer-", "--peer-client-cert-auth", "--peer-cert-allowed-cn="+allowedName, "--peer-skip-client-san-verification")},
	{name: "system's roots", key: member.P256, client: withFlags("--client-cert-auth"), peer: withFlags("--peer-client-cert-auth"),
		environment: func(f *tlsFiles) []string {
			return []string{"SSL_CERT_FILE=" + f.root.CertFile, "SSL_CERT_DIR=" + f.dir + "/none"}
		}},
	{name: "empty CA file", key: member.P256, clients: []string{"none", "good", "self-signed", "wrong CA"},
		client: func(f *tlsFiles) []string { return []string{"--trusted-ca-file=" + f.empty} },
		peer:   func(f *tlsFiles) []string { return []string{"--peer-trusted-ca-file=" + f.empty} }},
	{name: "auto-tls", own: true, client: withFlags("--auto-tls"), peer: withFlags("--peer-auto-tls"), clients: []string{"none", "good", "self-signed"}, versions: true},
	{name: "http beside https", key: member.P256, mixed: true, client: ruled("", "--client-cert-auth"), peer: noRules,
		clients: []string{"none", "good", "expired", "wrong CA", "wrong EKU"}},
	{name: "cipher suites", key: member.RSA2048, client: noRules, peer: noRules, clients: []string{"none"}, versions: true,
		environment: withFlags("ETCD_CIPHER_SUITES=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")},
	{name: "suites that few have", key: member.P256, client: noRules, peer: noRules, clients: []string{"none"}, versions: true,
		environment: withFlags("ETCD_CIPHER_SUITES=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305")},
	{name: "from 1.3", key: member.P256, client: ruled("", "--tls-min-version=TLS1.3"), peer: ruled("peer-"), clients: []string{"none", "good", "expired"}, versions: true},
	{name: "to 1.2", key: member.P256, client: ruled("", "--tls-max-version=TLS1.2"), peer: ruled("peer-"), versions: true},
}

// tlsServer is one server of a set: where its listeners are.
type tlsServer struct {
	*member.Member
	addresses map[string]string
}

func (s tlsSet) listeners() []string {
	if s.split {
		return []string{onClient, onHTTP, onMetrics, onPeer}
	}
	return []string{onClient, onMetrics, onPeer}
}

// start starts a server of the set; clients that wait until it serves show a certificate that every rule lets in.
func (s tlsSet) start(t *testing.T, f *tlsFiles, label, binary string) *tlsServer {
	t.Helper()
	place := member.Place{TLS: &member.TLS{Peer: true, Client: &tls.Config{InsecureSkipVerify: true}}}
	if shown := f.clients["allowed DNS"]; s.name != "empty CA file" {
		place.TLS.Client.Certificates = []tls.Certificate{shown.TLS()}
	}
	if s.environment != nil {
		place.Environment = s.environment(f)
	}
	var flags []string
	if !s.own {
		flags = append(member.ServerFlags(f.servers[s.key]), member.PeerServerFlags(f.servers[s.key])...)
	}
	flags = slices.Concat(flags, s.client(f), s.peer(f), []string{"--heartbeat-interval=20", "--election-timeout=200"})
	extra := map[string]string{}
	for _, listener := range []string{onMetrics, onHTTP} {
		url, err := member.FreeURL("https")
		if err != nil {
			t.Fatal(err)
		}
		extra[listener] = url[len("https://"):]
	}
	flags = append(flags, "--listen-metrics-urls=https://"+extra[onMetrics])
	if s.split {
		flags = append(flags, "--listen-client-http-urls=https://"+extra[onHTTP])
	}
	options := member.Options{Label: label, Binary: binary, Dir: t.TempDir(), Place: place, Flags: flags}
	one, err := member.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if s.mixed {
		one.AddFlags(fmt.Sprintf("--listen-client-urls=http://%[1]s,https://%[1]s", one.Endpoint()))
	}
	if err := one.Launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := one.Kill(); err != nil {
			t.Error(err)
		}
	})
	s.await(t, one)
	extra[onClient], extra[onPeer] = one.Endpoint(), one.PeerURL[len("https://"):]
	return &tlsServer{Member: one, addresses: extra}
}

func (s tlsSet) await(t *testing.T, one *member.Member) {
	t.Helper()
	if s.name == "empty CA file" {
		if err := one.AwaitLog("serving client traffic securely"); err != nil {
			t.Fatal(err, one.LogTail())
		}
		return
	}
	if err := one.AwaitServing(); err != nil {
		t.Fatal(err)
	}
}
