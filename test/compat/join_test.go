// Members that must not come into a cluster, or must leave it: what they say and how they end, as etcd's. Real
// processes, of etcd and then of netcd on the same URLs, so that ids in messages are the same.
package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// refusalMax bounds the time until a process that is refused ends.
	refusalMax = 20 * time.Second
	// staysFor is how long a process must run that is expected to go on.
	staysFor = 4 * time.Second
)

// joinStory is told of one binary's cluster.
type joinStory struct {
	t       *testing.T
	cluster *member.Cluster
	binary  string
	// url are the client and peer URL of the member that tries.
	url  [2]string
	told []string
}

func TestJoinRefusals(t *testing.T) {
	t.Parallel()
	need(t, clusters)
	member.Need(t, member.Etcd())
	spare, err := member.New(member.Options{Label: "spare", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	url := [2]string{spare.ClientURL, spare.PeerURL}
	etcd := &joinStory{t: t, cluster: member.StartCluster(t, "etcd", member.Etcd(), crowdSize), binary: member.Etcd(), url: url}
	etcd.tell()
	netcd := &joinStory{t: t, cluster: member.StartClusterLike(t, etcd.cluster, "netcd", member.Netcd(), crowdSize), binary: member.Netcd(), url: url}
	netcd.tell()
	for at := range max(len(etcd.told), len(netcd.told)) {
		if at >= len(etcd.told) || at >= len(netcd.told) || netcd.told[at] != etcd.told[at] {
			t.Errorf("difference in %d:\n  netcd: %s\n  etcd:  %s", at, netcd.told[min(at, len(netcd.told)-1)], etcd.told[min(at, len(etcd.told)-1)])
		}
	}
	t.Logf("%d outcomes compared", len(etcd.told))
}

func (s *joinStory) tell() {
	for _, one := range s.cluster.Members {
		awaitVersion(s.t, one)
	}
	first, second, third := s.cluster.Members[0], s.cluster.Members[1], s.cluster.Members[2]
	with := func(urls ...string) string {
		return "--initial-cluster=" + strings.Join(append(urls, "m4="+s.url[1]), ",")
	}
	all := func(joiner string) string { return "--initial-cluster=" + s.cluster.Initial() + ",m4=" + joiner }
	const existing, name = "--initial-cluster-state=existing", "--name=m4"

	s.note("not added", s.attempt(name, all(s.url[1]), existing))
	s.note("put", s.call(first, func(ctx context.Context, kv pb.KVClient, _ pb.ClusterClient) error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
		return err
	}))
	added := s.add(second, s.url[1])
	s.note("a member is left out", s.attempt(name, with("m1="+first.PeerURL), existing))
	s.note("another URL than was added", s.attempt(name, all("http://127.0.0.1:1"), existing, "--initial-advertise-peer-urls=http://127.0.0.1:1"))
	s.note("its name is missing", s.attempt("--name=other", all(s.url[1]), existing))
	s.note("nobody answers", s.attempt(name, with("m1=http://127.0.0.1:1"), existing))
	s.note("a URL twice", s.attempt(name, with("m1="+s.url[1])))
	s.note("other advertised URL", s.attempt(name, all(s.url[1]), "--initial-advertise-peer-urls=http://127.0.0.1:1"))
	s.note("another token", s.attemptsInVain(name, all(s.url[1]), "--initial-cluster-token=other"))
	s.note("remove", s.remove(first, added))

	s.note("kill", fmt.Sprint(third.Kill()))
	data := third.DataDir
	third.DataDir += ".wiped"
	s.note("a member that lost its data begins anew", s.ends(third))
	third.DataDir = data
	s.note("back with its data", fmt.Sprint(third.Start()))
	id := s.id(third)
	s.note("kill again", fmt.Sprint(third.Kill()))
	// It may have led, and then etcd's answer to a removal depends on how soon another does.
	s.cluster.Leader(s.t, first, second)
	s.note("remove while it is down", s.remove(second, id))
	// etcd's code depends on which of its parts is told first.
	s.note("a removed member comes back", anyExit.ReplaceAllString(s.ends(third), "exit"))
	s.force(first, second)
}

// force starts one of two members alone.
func (s *joinStory) force(first, second *member.Member) {
	before := s.id(first)
	s.note("stop both", fmt.Sprint(second.Stop(), first.Stop()))
	forced, err := member.New(member.Options{Label: first.Label + "-forced", Binary: s.binary, Dir: s.t.TempDir(),
		Place: member.Place{ClientURL: first.ClientURL, PeerURL: first.PeerURL},
		Flags: []string{"--initial-cluster=" + s.cluster.Initial(), "--force-new-cluster"}})
	if err != nil {
		s.t.Fatal(err)
	}
	forced.DataDir = first.DataDir
	if err := forced.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := forced.Kill(); err != nil {
			s.t.Error(err)
		}
	})
	s.note("the same id", fmt.Sprint(s.id(forced) == before))
	s.note("it told so", fmt.Sprint(forced.AwaitLog("forcing restart member")))
	s.note("alone", s.call(forced, func(ctx context.Context, kv pb.KVClient, members pb.ClusterClient) error {
		listed, err := members.MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
		if err != nil {
			return err
		}
		read, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		return fmt.Errorf("%d members, first %q, k=%s, %w", len(listed.Members), listed.Members[0].Name, read.Kvs[0].Value, err)
	}))
	s.note("grows again", fmt.Sprint(s.add(forced, s.url[1]) != 0))
	s.note("its end", fmt.Sprint(forced.Kill()))
}

func (s *joinStory) note(what, outcome string) { s.told = append(s.told, what+": "+outcome) }

// attempt starts a process of its own on the spare URLs.
func (s *joinStory) attempt(flags ...string) string {
	s.t.Helper()
	return s.ends(s.another(flags))
}

// attemptsInVain is an attempt that is refused by the others, and so goes on without an end.
func (s *joinStory) attemptsInVain(flags ...string) string {
	s.t.Helper()
	one := s.another(flags)
	if err := one.Launch(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-one.Exited():
		return fmt.Sprintf("exit %d", one.ExitCode())
	case <-time.After(staysFor):
		status, err := one.Status()
		return fmt.Sprintf("goes on, leader %d, answers %v, %v", status.GetLeader(), err == nil, one.Kill())
	}
}

func (s *joinStory) another(flags []string) *member.Member {
	s.t.Helper()
	one, err := member.New(member.Options{Label: "attempt", Binary: s.binary, Dir: s.t.TempDir(), Flags: flags,
		Place: member.Place{ClientURL: s.url[0], PeerURL: s.url[1]}})
	if err != nil {
		s.t.Fatal(err)
	}
	return one
}

// ends launches the process and tells how it ended, or that it goes on; it is gone afterwards.
func (s *joinStory) ends(one *member.Member) string {
	s.t.Helper()
	before := 0
	if log, err := os.ReadFile(one.LogPath); err == nil {
		before = len(log)
	}
	if err := one.Launch(); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-one.Exited():
	case <-time.After(refusalMax):
		return fmt.Sprintf("goes on: %v", one.Kill())
	}
	return fmt.Sprintf("exit %d, %s", one.ExitCode(), reasons(s.t, one.LogPath, before))
}

// reasonMessages are those that say why a process ends.
var reasonMessages = []string{"discovery failed", "bootstrap failed", "server error", "data-dir used by this member must be removed", "failed to verify flags"}

// reasons are these messages with their errors; members of a list in the order of their text.
func reasons(t *testing.T, path string, from int) string {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, line := range strings.Split(string(log[from:]), "\n") {
		var entry struct{ Level, Msg, Error string }
		if json.Unmarshal([]byte(line), &entry) != nil || !slices.Contains(reasonMessages, entry.Msg) {
			continue
		}
		found = append(found, fmt.Sprintf("%s %q %q", entry.Level, entry.Msg, withoutAddedIDs(entry.Error)))
	}
	return strings.Join(found, "; ")
}

var (
	describedMember = regexp.MustCompile(`&\{ID:[0-9a-f]+ [^&]*\}\}`)
	anyID           = regexp.MustCompile(`ID:[0-9a-f]{12,16}`)
	anyExit         = regexp.MustCompile(`^exit \d`)
	unmatchedID     = regexp.MustCompile(`existing member \([0-9a-f]+`)
)

// withoutAddedIDs masks ids that come from the clock and orders what is listed by them.
func withoutAddedIDs(text string) string {
	members := describedMember.FindAllString(text, -1)
	for _, one := range members {
		text = strings.Replace(text, one, "", 1)
	}
	for at := range members {
		members[at] = anyID.ReplaceAllString(members[at], "ID")
	}
	return unmatchedID.ReplaceAllString(text, "existing member (ID") + strings.Join(sorted(members), "")
}

func (s *joinStory) call(through *member.Member, make func(ctx context.Context, kv pb.KVClient, members pb.ClusterClient) error) string {
	s.t.Helper()
	connection := through.Connect(s.t)
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	return fmt.Sprint(make(ctx, pb.NewKVClient(connection), pb.NewClusterClient(connection)))
}

// add adds a learner, which the quorum does not need, and repeats it while links are young.
func (s *joinStory) add(through *member.Member, url string) (id uint64) {
	s.t.Helper()
	deadline := time.Now().Add(membershipWaitMax)
	for {
		outcome := s.call(through, func(ctx context.Context, _ pb.KVClient, members pb.ClusterClient) error {
			answer, err := members.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: []string{url}, IsLearner: true})
			id = answer.GetMember().GetID()
			return err
		})
		if id != 0 {
			return id
		}
		if !strings.Contains(outcome, unhealthy) || time.Now().After(deadline) {
			s.t.Fatalf("add %s: %s", url, outcome)
		}
		time.Sleep(membershipPause)
	}
}

func (s *joinStory) remove(through *member.Member, id uint64) string {
	return s.call(through, func(ctx context.Context, _ pb.KVClient, members pb.ClusterClient) error {
		_, err := members.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
		return err
	})
}

func (s *joinStory) id(one *member.Member) uint64 {
	s.t.Helper()
	status, err := one.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Header.MemberId
}
