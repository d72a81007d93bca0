// A cluster goes from http to https member by member, as etcd's documentation has it: every member first listens on both
// and says so to the cluster, then on https alone. Clients write all the while, and watch.
package cluster

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// migration is a cluster on its way from http to https.
type migration struct {
	t       *testing.T
	running *member.Cluster
	files   *member.Certificates
	// plain and secure are each member's URLs, of clients and of peers. Clients' are one port for both schemes.
	plain, secure []urls
	secured       atomic.Bool
	// endpoints are host:port of all members, overHTTP and overHTTPS how they are dialled.
	endpoints           []string
	overHTTP, overHTTPS *member.Member
}

type urls struct{ client, peer string }

func TestFromHTTPToHTTPSMemberByMember(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), turnoverTestMax)
	defer cancel()
	m := newMigration(t)
	load := newTurnover(t, func(int) (*grpc.ClientConn, error) { return dialAny(m.as(), m.endpoints) })
	first := load.watchAsUsers(ctx, "a watcher over http", m.client(ctx))
	load.begin(ctx)

	for at := range m.running.Members {
		m.restart(at, "both")
		m.advertise(at, m.plain[at].peer, m.secure[at].peer)
	}
	m.secured.Store(true)
	load.watchAsUsers(ctx, "a watcher over https", m.client(ctx))
	time.Sleep(loadBetween)
	load.dismiss(first)

	for at := range m.running.Members {
		m.advertise(at, m.secure[at].peer)
		m.restart(at, "https")
	}
	time.Sleep(loadBetween)
	load.finish(ctx, pb.NewKVClient(m.running.Members[0].Connect(t)))
	load.got.check(t, func(told string) bool { return strings.HasSuffix(told, ": OK") })
	m.closed()
	sameContent(t, m.running)
}

func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{t: t, files: member.NewCertificates(t), running: member.StartCluster(t, "netcd", member.Netcd(), 3)}
	m.running.Leader(t)
	for _, one := range m.running.Members {
		// A listener of peers speaks one scheme, so the second has a port of its own.
		spare, err := member.New(member.Options{Label: "spare", Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		m.plain = append(m.plain, urls{one.ClientURL, one.PeerURL})
		m.secure = append(m.secure, urls{strings.Replace(one.ClientURL, "http:", "https:", 1), strings.Replace(spare.PeerURL, "http:", "https:", 1)})
	}
	m.endpoints = strings.Split(m.running.Endpoints(), ",")
	m.overHTTP, m.overHTTPS = m.reach(m.plain[0].client, nil), m.reach(m.secure[0].client, m.secureTLS())
	return m
}

// secureTLS is TLS on both sides; a client of several members names none of them.
func (m *migration) secureTLS() *member.TLS {
	with := m.files.Mutual()
	with.Client.ServerName = "localhost"
	return with
}

// restart stops a member and starts it with the URLs that it is to listen on from now on.
func (m *migration) restart(at int, schemes string) {
	m.t.Helper()
	one, plain, secure := m.running.Members[at], m.plain[at], m.secure[at]
	clients, peers := []string{secure.client}, []string{secure.peer}
	if schemes == "both" {
		clients, peers = []string{plain.client, secure.client}, []string{plain.peer, secure.peer}
	}
	began := time.Now()
	if err := one.Stop(); err != nil {
		m.t.Fatal(err)
	}
	one.Reach(secure.client, secure.peer, m.secureTLS())
	one.Listen(clients, peers)
	if err := one.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Logf("%s serves %s again after %v", one.Label, schemes, time.Since(began).Round(time.Millisecond))
}

// advertise tells the cluster where a member's peers are to go.
func (m *migration) advertise(at int, peers ...string) {
	m.t.Helper()
	_, members := dial(m.t, m.running.Members[at])
	ctx, cancel := context.WithTimeout(m.t.Context(), settleMax)
	defer cancel()
	status, err := m.running.Members[at].Status()
	if err != nil {
		m.t.Fatal(err)
	}
	id := status.Header.MemberId
	told := settled(m.t, "etcdserver: unhealthy cluster", func() error {
		_, err := members.MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: id, PeerURLs: peers})
		return err
	})
	if told != "OK" {
		m.t.Fatalf("member %d at %v: %s", at+1, peers, told)
	}
	listed, err := members.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, one := range listed.Members {
		slices.Sort(one.PeerURLs)
		if slices.Sort(peers); one.ID == id && !slices.Equal(one.PeerURLs, peers) {
			m.t.Fatalf("member %d has %v instead of %v", at+1, one.PeerURLs, peers)
		}
	}
}

// reach is a member that is never started: how one dials each of them over http, and over https.
func (m *migration) reach(url string, with *member.TLS) *member.Member {
	m.t.Helper()
	one, err := member.New(member.Options{Label: "reach", Dir: m.t.TempDir(), Place: member.Place{ClientURL: url, TLS: with}})
	if err != nil {
		m.t.Fatal(err)
	}
	return one
}

// as is how clients dial: over http until every member has https, then over https.
func (m *migration) as() *member.Member {
	if m.secured.Load() {
		return m.overHTTPS
	}
	return m.overHTTP
}

func (m *migration) client(ctx context.Context) *clientv3.Client {
	m.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: m.endpoints, Context: ctx, TLS: m.as().ClientTLS()})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { client.Close() })
	return client
}

// closed insists that nobody is reached over http any more.
func (m *migration) closed() {
	m.t.Helper()
	client := &http.Client{Timeout: callTimeout}
	for _, one := range m.plain {
		for _, url := range []string{one.client, one.peer} {
			// Go's own servers tell who comes without TLS that this was a mistake.
			if answer, err := client.Get(url + "/version"); err == nil {
				answer.Body.Close()
				if answer.StatusCode == http.StatusOK {
					m.t.Errorf("%s still answers", url)
				}
			}
		}
	}
}
