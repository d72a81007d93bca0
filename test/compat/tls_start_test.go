// What of TLS is refused when a member starts, and what is warned of: etcd's texts, said by netcd before it touches the
// data directory.
package compat

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcd.test/member"
)

// badFiles are files that no server can use, by name, beside good ones of one authority.
func badFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	authority := member.NewAuthority(t, dir, "ca")
	// Long enough that nothing is said of its end.
	good := authority.Issue(t, "good", member.Leaf{IPs: []string{"127.0.0.1"}, NotAfter: time.Now().AddDate(1, 0, 0)})
	authority.Issue(t, "other", member.Leaf{IPs: []string{"127.0.0.1"}})
	block := func(kind string, content []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	}
	rsa := authority.Issue(t, "rsa", member.Leaf{Key: member.RSA2048, Form: member.PKCS1})
	plain, _ := pem.Decode(read(t, rsa.KeyFile))
	encrypted, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", plain.Bytes, []byte("secret"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"text": []byte("no PEM here\n"), "empty": nil, "broken.crt": block("CERTIFICATE", []byte{1, 2, 3}),
		"half.crt":       read(t, good.CertFile)[:200],
		"broken.key":     block("PRIVATE KEY", []byte{1, 2, 3}),
		"encrypted8.key": block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}),
		"encrypted.key":  pem.EncodeToMemory(encrypted),
		"unknown.key":    block("STRANGE KEY", []byte{0x30, 0}),
		"keyed.ca":       append(read(t, authority.CertFile), read(t, good.KeyFile)...),
		"text.crl":       []byte("no list\n"),
	} {
		member.Replace(t, filepath.Join(dir, name), content, 0o600)
	}
	return dir
}

// tlsStart is one start that is refused. HTTPS/ in its flags stands for a URL of the test, DIR for the files.
type tlsStart struct {
	name  string
	flags []string
}

const (
	clientPair = "--cert-file=DIR/good.crt --key-file=DIR/good.key"
	peerPair   = "--peer-cert-file=DIR/good.crt --peer-key-file=DIR/good.key"
	clientTLS  = "--listen-client-urls=CLIENT --advertise-client-urls=CLIENT"
	peerTLS    = "--listen-peer-urls=PEER --initial-advertise-peer-urls=PEER --initial-cluster=m1=PEER"
)

func tlsStarts() []tlsStart {
	start := func(name string, flags ...string) tlsStart {
		return tlsStart{name: name, flags: strings.Fields(strings.Join(flags, " "))}
	}
	starts := []tlsStart{
		start("https client URL without files", clientTLS),
		start("https peer URL without files", peerTLS),
		start("https metrics URL without files", "--listen-metrics-urls=METRICS"),
		start("CN and host names of peers", peerTLS, peerPair, "--peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b"),
		start("unknown suite", clientTLS, clientPair, "--cipher-suites=TLS_FOO"),
		start("suite list without HTTP/2's", clientTLS, clientPair, "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
		start("suites and 1.3 alone", clientTLS, clientPair, "--tls-min-version=TLS1.3 --cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
		start("1.1", clientTLS, clientPair, "--tls-min-version=TLS1.1"),
		start("1.0 at most", clientTLS, clientPair, "--tls-max-version=TLS1.0"),
		start("least above most", clientTLS, clientPair, "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2"),
		start("no year", clientTLS, "--auto-tls --self-signed-cert-validity=0"),
		start("no year of peers", peerTLS, "--peer-auto-tls --self-signed-cert-validity=0"),
		start("bad peer files with an http URL", "--peer-cert-file=DIR/good.crt --peer-key-file=DIR/other.key"),
	}
	for _, side := range []struct{ name, tls, cert, key, ca, clientCert, clientKey string }{
		{"client", clientTLS, "--cert-file=", "--key-file=", "--trusted-ca-file=", "--client-cert-file=", "--client-key-file="},
		{"peer", peerTLS, "--peer-cert-file=", "--peer-key-file=", "--peer-trusted-ca-file=", "--peer-client-cert-file=", "--peer-client-key-file="},
	} {
		pair := func(cert, key string, more ...string) []string {
			return append([]string{side.tls, side.cert + "DIR/" + cert, side.key + "DIR/" + key}, more...)
		}
		for name, flags := range map[string][]string{
			"a certificate alone": {side.tls, side.cert + "DIR/good.crt"}, "a key alone": {side.tls, side.key + "DIR/good.key"},
			"no such certificate": pair("none.crt", "good.key"), "no such key": pair("good.crt", "none.key"),
			"a directory": pair("", "good.key"), "no PEM": pair("text", "good.key"), "an empty certificate": pair("empty", "good.key"),
			"a broken certificate": pair("broken.crt", "good.key"), "half a certificate": pair("half.crt", "good.key"),
			"swapped": pair("good.key", "good.crt"), "a certificate as key": pair("good.crt", "good.crt"),
			"another's key": pair("good.crt", "other.key"), "a key of another kind": pair("good.crt", "rsa.key"),
			"no PEM in the key": pair("good.crt", "text"), "a broken key": pair("good.crt", "broken.key"),
			"an encrypted key": pair("good.crt", "encrypted8.key"), "a key encrypted as of old": pair("rsa.crt", "encrypted.key"),
			"an unknown key": pair("good.crt", "unknown.key"),
			"no such CA":     pair("good.crt", "good.key", side.ca+"DIR/none.ca"), "a broken CA": pair("good.crt", "good.key", side.ca+"DIR/broken.crt"),
			"a key among the CAs":     pair("good.crt", "good.key", side.ca+"DIR/keyed.ca"),
			"a caller's pair by half": pair("good.crt", "good.key", side.clientCert+"DIR/good.crt"),
			"a caller's key alone":    pair("good.crt", "good.key", side.clientKey+"DIR/good.key"),
			"no such caller's pair":   pair("good.crt", "good.key", side.clientCert+"DIR/none.crt", side.clientKey+"DIR/none.key"),
			"a caller's pair mixed":   pair("good.crt", "good.key", side.clientCert+"DIR/good.crt", side.clientKey+"DIR/other.key"),
		} {
			starts = append(starts, start(side.name+": "+name, flags...))
		}
	}
	return starts
}

// tlsStartDifferences are the starts that netcd refuses with another text, or that only one of both refuses.
var tlsStartDifferences = map[string]struct{ etcd, netcd, why string }{
	"client: a key among the CAs": {"x509: malformed tbs certificate", "x509: malformed certificate", aBlockThatIsNone},
	"peer: a key among the CAs":   {"x509: malformed tbs certificate", "x509: malformed certificate", aBlockThatIsNone},
}

const aBlockThatIsNone = "how far Go's parser comes in a key depends on the key"

// TestTLSRefusedStarts takes every fifth start, and all of them at full depth.
func TestTLSRefusedStarts(t *testing.T) {
	member.Need(t, member.Etcd())
	dir := badFiles(t)
	starts := tlsStarts()
	slices.SortFunc(starts, func(a, b tlsStart) int { return strings.Compare(a.name, b.name) })
	seed := member.Number[uint64](t, "COMPAT_SEED", 1)
	for at, start := range starts {
		if !member.FullDepth() && uint64(at)%5 != seed%5 {
			continue
		}
		t.Run(start.name, func(t *testing.T) {
			t.Parallel()
			theirs, _ := start.run(t, member.Etcd(), dir)
			ours, touched := start.run(t, member.Netcd(), dir)
			if touched {
				t.Error("netcd touched its data directory")
			}
			if theirs == ours {
				return
			}
			if listed, known := tlsStartDifferences[start.name]; known && strings.Contains(theirs, listed.etcd) && strings.Contains(ours, listed.netcd) {
				return
			}
			t.Errorf("%s\n  etcd  %s\n  netcd %s", start.name, theirs, ours)
		})
	}
}

// run starts a server until it ends, or serves, and tells why it ended and whether there is a data directory.
func (s tlsStart) run(t *testing.T, binary, dir string) (said string, touched bool) {
	t.Helper()
	var urls []string
	for range 3 {
		url, err := member.FreeURL("https")
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, url)
	}
	plain := func(url string) string { return strings.Replace(url, "https", "http", 1) }
	data := filepath.Join(t.TempDir(), "data")
	line := []string{
		"--name=m1", "--data-dir=" + data, "--listen-client-urls=" + plain(urls[0]), "--advertise-client-urls=" + plain(urls[0]),
		"--listen-peer-urls=" + plain(urls[1]), "--initial-advertise-peer-urls=" + plain(urls[1]), "--initial-cluster=m1=" + plain(urls[1]),
		"--heartbeat-interval=20", "--election-timeout=200",
	}
	fill := strings.NewReplacer("CLIENT", urls[0], "PEER", urls[1], "METRICS", urls[2], "DIR", dir)
	for _, flag := range s.flags {
		line = append(line, fill.Replace(flag))
	}
	ctx, cancel := context.WithTimeout(t.Context(), refusalWaitMax)
	defer cancel()
	command := exec.CommandContext(ctx, binary, line...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	var output bytes.Buffer
	command.Stderr = &output
	err := command.Run()
	_, missing := os.Stat(data)
	if ctx.Err() != nil || err == nil {
		return "starts", missing == nil
	}
	mask := strings.NewReplacer(urls[0], "CLIENT", urls[1], "PEER", urls[2], "METRICS", dir, "DIR",
		urls[0][len("https://"):], "CLIENT", urls[1][len("https://"):], "PEER")
	return mask.Replace(fatalError(output.String())), missing == nil
}

// fatalError is the error of the last line that ends a start.
func fatalError(output string) string {
	said := "nothing: " + output[max(0, len(output)-300):]
	for line := range strings.Lines(output) {
		var entry struct{ Level, Msg, Error string }
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Msg == "failed to verify flags" || entry.Level == "fatal") {
			said = entry.Error
		}
	}
	return said
}

// TestTLSWarnings starts both with flags that etcd takes without effect, and compares what they warn of.
func TestTLSWarnings(t *testing.T) {
	member.Need(t, member.Etcd())
	dir := badFiles(t)
	fill := strings.NewReplacer("DIR", dir)
	for _, flags := range []string{
		clientPair, clientPair + " --trusted-ca-file=DIR/ca.crt --client-cert-auth", "--client-cert-auth",
		"--cert-file=DIR/none.crt --key-file=DIR/none.key", "--client-crl-file=DIR/text.crl",
		peerPair, "--peer-client-cert-auth", peerPair + " --peer-trusted-ca-file=DIR/ca.crt --peer-client-cert-auth",
		"--peer-crl-file=DIR/none.crl", "--auto-tls " + clientPair, "--peer-auto-tls " + peerPair, "--auto-tls --peer-auto-tls",
	} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			netcd, etcd := member.StartPair(t, strings.Fields(fill.Replace(flags)+" --heartbeat-interval=20 --election-timeout=200")...)
			ours, theirs := warnings(t, netcd), warnings(t, etcd)
			if !slices.Equal(ours, theirs) {
				t.Errorf("netcd %q\netcd  %q", ours, theirs)
			}
		})
	}
}

// warnings are the warnings about certificates and schemes.
func warnings(t *testing.T, one *member.Member) []string {
	t.Helper()
	log, err := one.Log()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	mask := strings.NewReplacer(one.ClientURL, "CLIENT", one.PeerURL, "PEER")
	for line := range strings.Lines(log) {
		var entry struct {
			Level, Msg, Error string
			Client            string `json:"client-url"`
			Peer              string `json:"peer-url"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Level != "warn" {
			continue
		}
		if strings.Contains(entry.Msg, "cert") || strings.Contains(entry.Msg, "TLS") {
			found = append(found, mask.Replace(entry.Msg+" "+entry.Client+entry.Peer+" "+entry.Error))
		}
	}
	slices.Sort(found)
	return found
}
