// etcdctl's commands for members and endpoints on clusters of three, of etcd and then of netcd on the same URLs: the
// ids are the same, so what is printed is compared as it is.
package compat

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"netcd.test/member"
)

const (
	// membershipWaitMax bounds how long a command is repeated that is refused for a while.
	membershipWaitMax = 60 * time.Second
	membershipPause   = 200 * time.Millisecond
)

// memberStep is an etcdctl command through one member, m1 being 0, or something that happens to the processes.
type memberStep struct {
	through int
	step    step
	// while repeats the command as long as it prints this text.
	while string
	// sortLines orders the lines when ids are masked: until then their order is that of ids.
	sortLines bool
	// act is what happens instead of a command; what it returns is compared.
	act func(t *testing.T, s *membershipStory) string
}

type membershipStory struct {
	cluster *member.Cluster
	etcdctl string
	id      string
	told    []string
}

func ctl(through int, arguments ...string) memberStep {
	return memberStep{through: through, step: step{arguments: append([]string{"--command-timeout=15s"}, arguments...)}}
}

func (s memberStep) sorted() memberStep { s.sortLines = true; return s }

// captured remembers the first group of the pattern as $ID.
func (s memberStep) captured(pattern string) memberStep { s.step.captures = pattern; return s }

func (s memberStep) repeatedWhile(text string) memberStep { s.while = text; return s }

// everyFormat is a command in all forms of output.
func everyFormat(through int, arguments ...string) []memberStep {
	var steps []memberStep
	for _, format := range []string{"simple", "table", "json", "fields"} {
		steps = append(steps, ctl(through, append(arguments, "-w", format)...))
	}
	return steps
}

// lists are the member list in all forms of output.
func lists(through int) []memberStep {
	return append(everyFormat(through, "member", "list"), ctl(through, "member", "list", "--hex", "-w", "json"),
		ctl(through, "member", "list", "--consistency=s"), ctl(through, "member", "list", "--consistency=x"))
}

func TestEtcdctlMembership(t *testing.T) {
	t.Parallel()
	need(t, clusters)
	etcdctl := member.Reference("etcdctl")
	member.Need(t, etcdctl)
	member.Need(t, member.Etcd())
	flags := []string{"--election-timeout=4000", "--heartbeat-interval=200"}
	etcd := &membershipStory{cluster: member.StartCluster(t, "etcd", member.Etcd(), crowdSize, flags...), etcdctl: etcdctl}
	etcd.tell(t)
	netcd := &membershipStory{cluster: member.StartClusterLike(t, etcd.cluster, "netcd", member.Netcd(), crowdSize), etcdctl: etcdctl}
	netcd.tell(t)
	differences := 0
	for at, step := range membershipSteps() {
		if netcd.told[at] == etcd.told[at] {
			continue
		}
		differences++
		t.Errorf("difference in step %d, %q through m%d:\n  netcd: %s\n  etcd:  %s",
			at, step.step.arguments, step.through+1, netcd.told[at], etcd.told[at])
	}
	t.Logf("%d steps compared, %d differences", len(etcd.told), differences)
}

func (s *membershipStory) tell(t *testing.T) {
	t.Helper()
	for _, one := range s.cluster.Members {
		awaitVersion(t, one)
	}
	for _, step := range membershipSteps() {
		if step.act != nil {
			s.told = append(s.told, step.act(t, s))
			continue
		}
		s.told = append(s.told, s.command(t, step))
	}
}

func (s *membershipStory) command(t *testing.T, step memberStep) string {
	t.Helper()
	through := &target{server: s.cluster.Members[step.through], captured: s.id}
	step.step.arguments = append([]string(nil), step.step.arguments...)
	for at, argument := range step.step.arguments {
		argument = strings.ReplaceAll(argument, "$JOINER", s.cluster.Members[len(s.cluster.Members)-1].PeerURL)
		step.step.arguments[at] = strings.ReplaceAll(argument, "$FIRST", s.cluster.Members[0].PeerURL)
	}
	deadline := time.Now().Add(membershipWaitMax)
	for {
		printed := through.run(t, s.etcdctl, step.step)
		if step.while == "" || !strings.Contains(printed, step.while) || time.Now().After(deadline) {
			s.id = through.captured
			if step.sortLines {
				printed = strings.Replace(orderedMembers(printed), `stdout "`, `stdout "\n`, 1)
				return strings.Join(sorted(strings.Split(printed, `\n`)), `\n`)
			}
			return orderedMembers(printed)
		}
		time.Sleep(membershipPause)
	}
}

// An added member's id comes from the clock, and members are listed by id.
var (
	jsonMembers    = regexp.MustCompile(`\{\\"ID\\":[^{}]*\}`)
	initialCluster = regexp.MustCompile(`ETCD_INITIAL_CLUSTER=\\"[^"]*\\"`)
)

// orderedMembers puts what is listed in the order of ids into one that both have.
func orderedMembers(printed string) string {
	found := jsonMembers.FindAllString(printed, -1)
	sort.Strings(found)
	for _, one := range found {
		printed = strings.Replace(printed, one, "{}", 1)
	}
	printed = initialCluster.ReplaceAllStringFunc(printed, func(text string) string {
		return strings.Join(sorted(strings.Split(strings.Trim(text, `ETCD_INITIAL_CLUSTER=\"`), ",")), ",")
	})
	return printed + strings.Join(found, "")
}

// startsLearner starts the member that was added and waits until it has caught up far enough to answer.
func startsLearner(t *testing.T, s *membershipStory) string {
	t.Helper()
	if err := s.cluster.Members[crowdSize].Launch(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(membershipWaitMax)
	for {
		status, err := s.cluster.Members[crowdSize].Status()
		if err == nil {
			return fmt.Sprintf("learner %v", status.IsLearner)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the learner does not answer: %v", err)
		}
		time.Sleep(membershipPause)
	}
}

// stopsRemoved waits for the end of the member that was removed.
func stopsRemoved(t *testing.T, s *membershipStory) string {
	t.Helper()
	removed := s.cluster.Members[crowdSize]
	select {
	case <-removed.Exited():
	case <-time.After(membershipWaitMax):
		return "still runs"
	}
	log, err := os.ReadFile(removed.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	said := func(text string) bool { return strings.Contains(string(log), text) }
	return fmt.Sprintf("exit %d, told why %v, told what to do %v", removed.ExitCode(),
		said("the member has been permanently removed from the cluster"), said("data-dir used by this member must be removed"))
}

func killsThird(t *testing.T, s *membershipStory) string {
	t.Helper()
	if err := s.cluster.Members[2].Kill(); err != nil {
		t.Fatal(err)
	}
	return "killed"
}

// leaderIs makes one member the leader.
func leaderIs(at int) memberStep {
	return memberStep{act: func(t *testing.T, s *membershipStory) string {
		t.Helper()
		leader := s.cluster.Leader(t)
		if leader == s.cluster.Members[at] {
			return "leads"
		}
		status, err := s.cluster.Members[at].Status()
		if err != nil {
			t.Fatal(err)
		}
		through := &target{server: leader}
		through.run(t, s.etcdctl, ctl(0, "move-leader", fmt.Sprintf("%x", status.Header.MemberId)).step)
		if s.cluster.Leader(t) != s.cluster.Members[at] {
			t.Fatalf("%s does not lead", s.cluster.Members[at].Label)
		}
		return "leads"
	}}
}
