// Everything that TLS is made of is replaced while three members serve: leaves, the CA by way of a bundle, and the list
// of what is revoked. No connection is lost by it, no write, and none waits.
package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const (
	// takenUpMax bounds the time until a changed file is in use: it is looked at when the kernel tells, else every ten seconds.
	takenUpMax = 30 * time.Second
	// loadBetween is how long the load goes on with what was replaced, before the next is.
	loadBetween = 500 * time.Millisecond
)

// rotation is a cluster whose members' files are replaced.
type rotation struct {
	t       *testing.T
	running *member.Cluster
	// before and after are the two CAs.
	before, after *member.Authority
	// mounts are the directories that members read, one each.
	mounts []*mount
	// metrics are the URLs of members that are served whatever becomes of the rest.
	metrics []string
	// client is what writers connect with now.
	client atomic.Pointer[tls.Config]
}

func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), turnoverTestMax)
	defer cancel()
	r := newRotation(t)
	old, spy := r.issued(r.before, "client"), r.issued(r.before, "spy")
	r.use(old, r.before)
	load := newTurnover(t, r.connect)
	load.watchPlainly(ctx, "a watcher that was there first", r.connectTo(r.running.Members[0], old, r.before))
	load.begin(ctx)

	r.leaves(r.before)
	r.proven("leaves of the same CA", old, r.before)

	r.each(func(m *mount) {
		m.put(map[string][]byte{"ca.crt": append(textOf(t, r.before.CertFile), textOf(t, r.after.CertFile)...)})
	})
	fresh := r.issued(r.after, "client")
	r.eventually("the new CA is trusted beside the old one", func(url string) error { return r.asks(url, fresh, r.before) })
	r.proven("both CAs", old, r.before)
	// Clients trust both before servers show leaves of the new one, and members do since the bundle.
	r.use(old, r.before, r.after)
	time.Sleep(loadBetween)
	r.leaves(r.after)
	r.use(fresh, r.before, r.after)
	r.proven("leaves of the new CA", fresh, r.after)

	r.each(func(m *mount) { m.put(map[string][]byte{"ca.crt": textOf(t, r.after.CertFile)}) })
	r.eventually("the old CA is trusted no longer", func(url string) error { return r.refuses(url, old, r.after) })
	r.use(fresh, r.after)
	r.proven("the new CA alone", fresh, r.after)

	spy = r.issued(r.after, "spy")
	r.proven("a client that is not revoked yet", spy, r.after)
	r.each(func(m *mount) { m.put(map[string][]byte{"crl": r.revoked(r.after, spy)}) })
	r.eventually("the spy is revoked", func(url string) error { return r.refuses(url, spy, r.after) })
	r.proven("a list that revokes another", fresh, r.after)

	r.broken(fresh)
	time.Sleep(loadBetween)
	for at, one := range r.running.Members {
		one.Reach(one.ClientURL, one.PeerURL, r.reached(at, fresh, r.after))
	}
	load.finish(ctx, pb.NewKVClient(r.running.Members[1].Connect(t)))
	load.got.check(t, func(told string) bool { return strings.HasSuffix(told, ": OK") })
	load.quick()
	r.rejoins()
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	directory := t.TempDir()
	r := &rotation{t: t, before: member.NewAuthority(t, directory, "old"), after: member.NewAuthority(t, directory, "new")}
	var places []member.Place
	for how := range 3 {
		one := &mount{t: t, directory: t.TempDir(), how: how}
		r.mounts = append(r.mounts, one)
		files := r.leaf(r.before, how)
		files["ca.crt"], files["crl"] = textOf(t, r.before.CertFile), r.revoked(r.before)
		one.put(files)
		spare, err := member.New(member.Options{Label: "spare", Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		r.metrics = append(r.metrics, spare.ClientURL)
		places = append(places, member.Place{TLS: r.reached(how, r.issued(r.before, "test"), r.before),
			Flags: []string{"--listen-metrics-urls=" + spare.ClientURL}})
	}
	r.running = member.StartClusterAt(t, "netcd", member.Netcd(), places)
	r.running.Leader(t)
	return r
}

// reached is how a member is started, and how the test's own helpers reach it.
func (r *rotation) reached(at int, shown *member.Pair, trusted ...*member.Authority) *member.TLS {
	return &member.TLS{Peer: true, Flags: r.mounts[at].flags(), Client: configOf(shown, trusted...)}
}

func textOf(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func configOf(shown *member.Pair, trusted ...*member.Authority) *tls.Config {
	return &tls.Config{RootCAs: member.Pool(trusted...), Certificates: []tls.Certificate{shown.TLS()}, ServerName: "localhost"}
}

func (r *rotation) issued(by *member.Authority, name string) *member.Pair {
	r.t.Helper()
	return by.IssueIn(r.t, r.t.TempDir(), name, member.Leaf{CommonName: name})
}

// leaf is the text of a new pair for a member.
func (r *rotation) leaf(by *member.Authority, at int) map[string][]byte {
	r.t.Helper()
	pair := by.IssueIn(r.t, r.t.TempDir(), "server", member.Leaf{CommonName: fmt.Sprintf("m%d", at+1), DNS: []string{"localhost"},
		IPs: []string{"127.0.0.1"}})
	return map[string][]byte{"server.crt": textOf(r.t, pair.CertFile), "server.key": textOf(r.t, pair.KeyFile)}
}

func (r *rotation) revoked(by *member.Authority, pairs ...*member.Pair) []byte {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "crl")
	by.Revoke(r.t, file, pairs...)
	return textOf(r.t, file)
}

func (r *rotation) each(do func(m *mount)) {
	for _, one := range r.mounts {
		do(one)
		time.Sleep(loadBetween)
	}
}

// use has writers connect with another certificate, or trust other CAs, from their next connection on.
func (r *rotation) use(shown *member.Pair, trusted ...*member.Authority) {
	r.client.Store(configOf(shown, trusted...))
}

func (r *rotation) connect(writer int) (*grpc.ClientConn, error) {
	one := endpointOf(r.running, writer)
	return one.Dial(grpc.WithTransportCredentials(credentials.NewTLS(r.client.Load().Clone())))
}

func (r *rotation) connectTo(one *member.Member, shown *member.Pair, trusted ...*member.Authority) *grpc.ClientConn {
	r.t.Helper()
	return one.Connect(r.t, grpc.WithTransportCredentials(credentials.NewTLS(configOf(shown, trusted...))))
}

// leaves replaces the pair of every member, and waits until both of its ports show the new one.
func (r *rotation) leaves(by *member.Authority) {
	r.t.Helper()
	for at, one := range r.mounts {
		files := r.leaf(by, at)
		one.put(files)
		shown := r.running.Members[at]
		for _, url := range []string{shown.ClientURL, shown.PeerURL} {
			r.until(fmt.Sprintf("%s shows its new certificate at %s", shown.Label, url), func() error { return shows(url, files["server.crt"]) })
		}
		time.Sleep(loadBetween)
	}
}

// until repeats what may take a moment.
func (r *rotation) until(what string, holds func() error) {
	r.t.Helper()
	began := time.Now()
	for {
		err := holds()
		if err == nil {
			r.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > takenUpMax {
			r.t.Fatalf("%s: not after %v: %v", what, takenUpMax, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// eventually is until of every port of every member.
func (r *rotation) eventually(what string, holds func(url string) error) {
	r.t.Helper()
	for _, one := range r.running.Members {
		for _, url := range []string{one.ClientURL, one.PeerURL} {
			r.until(fmt.Sprintf("%s at %s", what, url), func() error { return holds(url) })
		}
	}
}

// proven insists that every port lets this client in at once, and goes on with the load for a while.
func (r *rotation) proven(what string, shown *member.Pair, trusted ...*member.Authority) {
	r.t.Helper()
	for _, one := range r.running.Members {
		for _, url := range []string{one.ClientURL, one.PeerURL} {
			if err := r.asks(url, shown, trusted...); err != nil {
				r.t.Fatalf("%s: %s: %v", what, url, err)
			}
		}
	}
	time.Sleep(loadBetween)
}

// asks makes a connection of its own and a request.
func (r *rotation) asks(url string, shown *member.Pair, trusted ...*member.Authority) error {
	transport := &http.Transport{TLSClientConfig: configOf(shown, trusted...), DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport, Timeout: callTimeout}).Get(url + "/version")
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// refuses is an error while the port still lets this client in.
func (r *rotation) refuses(url string, shown *member.Pair, trusted ...*member.Authority) error {
	if err := r.asks(url, shown, trusted...); err == nil {
		return fmt.Errorf("%s lets %s in", url, shown.Certificate.Subject)
	}
	return nil
}

// shows is an error while the port does not show this certificate.
func shows(url string, certificate []byte) error {
	_, address, _ := strings.Cut(url, "://")
	// Who is not let in sees it all the same, and whose it is is what the test asks.
	connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer connection.Close()
	block, _ := pem.Decode(certificate)
	if !bytes.Equal(connection.ConnectionState().PeerCertificates[0].Raw, block.Bytes) {
		return fmt.Errorf("%s shows another certificate", url)
	}
	return nil
}

// broken puts a file that holds nothing in the place of a member's certificate: it says so and keeps what it has, until
// there is a good one.
func (r *rotation) broken(client *member.Pair) {
	r.t.Helper()
	one, at := r.running.Members[1], r.mounts[1]
	at.put(map[string][]byte{"server.crt": []byte("nothing\n")})
	if err := one.AwaitLog("tls: failed to find any PEM data in certificate input"); err != nil {
		r.t.Fatal(err)
	}
	r.proven("a broken file", client, r.after)
	files := r.leaf(r.after, 1)
	at.put(files)
	r.until("the mended file is in use", func() error { return shows(one.ClientURL, files["server.crt"]) })
}

// rejoins starts a follower again: it has nothing of the old CA, and the others let it in.
func (r *rotation) rejoins() {
	r.t.Helper()
	leader := r.running.Leader(r.t)
	one := otherThan(r.running.Members, leader)
	for _, stop := range []func() error{one.Stop, one.Start} {
		if err := stop(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.running.Leader(r.t)
	sameContent(r.t, r.running)
}
