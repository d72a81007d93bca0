// What can be done to a cluster of real processes. Every kind says which members can go on without the others, so
// that the test can insist that they do.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"netcd.test/history"
	"netcd.test/member"
	"netcd.test/netlab"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// scene is a cluster to which things are done.
type scene struct {
	running *member.Cluster
	// lab and disks are nil where they cannot be had.
	lab    *netlab.Lab
	disks  *stalls
	random *rand.Rand
	// probe writes through members of the test's choice; its writes are recorded as those of all clients.
	probe *history.Client
	// dead are the members that were killed and not started again.
	dead map[int]bool
	// done counts faults by sort, and processes that were killed.
	done   map[string]int
	killed int
}

// kind is one sort of fault. strike returns the numbers of the members that must be able to go on; nil: none need to.
type kind struct {
	name   string
	counts string
	needs  func(s *scene) bool
	strike func(t *testing.T, s *scene) (able []int, err error)
}

func always(*scene) bool      { return true }
func networked(s *scene) bool { return s.lab != nil }
func stallable(s *scene) bool { return s.disks != nil }
func ofFive(s *scene) bool    { return s.lab != nil && len(s.running.Members) >= 5 }

var kinds = []kind{
	{"kill the leader", "kills", always, func(t *testing.T, s *scene) ([]int, error) { return s.kill(s.leader()) }},
	{"kill a follower", "kills", always, func(t *testing.T, s *scene) ([]int, error) { return s.kill(s.follower()) }},
	{"kill a majority", "kills", always, func(t *testing.T, s *scene) ([]int, error) {
		return s.kill(s.random.Perm(s.size())[:s.size()/2+1]...)
	}},
	{"kill all", "kills", always, func(t *testing.T, s *scene) ([]int, error) { return s.kill(s.random.Perm(s.size())...) }},
	{"stop the leader", "stops", always, func(t *testing.T, s *scene) ([]int, error) { return s.pause(s.leader()) }},
	{"stop a follower", "stops", always, func(t *testing.T, s *scene) ([]int, error) { return s.pause(s.follower()) }},
	{"move the leader", "moves of the leader", always, func(t *testing.T, s *scene) ([]int, error) { return s.moveLeader(t) }},
	{"isolate the leader", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) { return s.split(s.leader()) }},
	{"isolate a follower", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) { return s.split(s.follower()) }},
	{"split off a minority with the leader", "partitions", ofFive, func(t *testing.T, s *scene) ([]int, error) {
		return s.split(s.leader(), s.follower())
	}},
	{"split off a minority", "partitions", ofFive, func(t *testing.T, s *scene) ([]int, error) {
		leader := s.leader()
		return s.split(s.otherThan(leader), s.otherThan(leader))
	}},
	{"the leader is not heard", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) {
		leader := s.leader()
		return s.rest(leader), s.cut([]int{leader}, s.rest(leader))
	}},
	{"the leader does not hear", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) {
		leader := s.leader()
		return s.rest(leader), s.cut(s.rest(leader), []int{leader})
	}},
	{"one direction between two members", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) {
		two := s.random.Perm(s.size())[:2]
		return nil, s.cut(two[:1], two[1:])
	}},
	{"two halves and a member between", "partitions", networked, func(t *testing.T, s *scene) ([]int, error) {
		order := s.random.Perm(s.size())
		left, between, right := order[:s.size()/2], order[s.size()/2], order[s.size()/2+1:]
		// The member between reaches everybody, so there can be a leader with a quorum that it reaches.
		return []int{between}, errors.Join(s.cut(left, right), s.cut(right, left))
	}},
	{"the leader's disk stalls", "stalled disks", stallable, func(t *testing.T, s *scene) ([]int, error) {
		return s.stall(t, s.leader())
	}},
	{"a follower's disk stalls", "stalled disks", stallable, func(t *testing.T, s *scene) ([]int, error) {
		return s.stall(t, s.follower())
	}},
}

// possible are the kinds that this scene allows and whose name the pattern matches.
func (s *scene) possible(pattern *regexp.Regexp) []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(one kind) bool {
		return !one.needs(s) || !pattern.MatchString(one.name)
	})
}

// mend undoes everything that was done.
func (s *scene) mend() error {
	problems := []error{s.disks.end()}
	if s.lab != nil {
		problems = append(problems, s.lab.Heal())
	}
	for at, one := range s.running.Members {
		switch {
		case one.Running():
			problems = append(problems, one.Resume())
		case s.dead[at]:
			problems = append(problems, one.Launch())
		default:
			problems = append(problems, fmt.Errorf("%s ended by itself with code %d: %s", one.Label, one.ExitCode(), one.LogTail()))
		}
	}
	clear(s.dead)
	return errors.Join(problems...)
}

func (s *scene) size() int { return len(s.running.Members) }

// leader is the member that says it leads in the newest term; any, if none says so.
func (s *scene) leader() int {
	found, term := s.random.IntN(s.size()), uint64(0)
	for at, one := range s.running.Members {
		status, err := one.Status()
		if err == nil && status.Leader == status.Header.MemberId && status.RaftTerm > term {
			found, term = at, status.RaftTerm
		}
	}
	return found
}

func (s *scene) follower() int { return s.otherThan(s.leader()) }

func (s *scene) otherThan(one int) int {
	return (one + 1 + s.random.IntN(s.size()-1)) % s.size()
}

// rest are the members that are not given.
func (s *scene) rest(given ...int) []int {
	var rest []int
	for at := range s.running.Members {
		if !slices.Contains(given, at) {
			rest = append(rest, at)
		}
	}
	return rest
}

// quorum is the members given, or nil if they are too few.
func (s *scene) quorum(members []int) []int {
	if len(members) <= s.size()/2 {
		return nil
	}
	return members
}

func (s *scene) kill(members ...int) ([]int, error) {
	var problems []error
	for _, at := range members {
		problems = append(problems, s.running.Members[at].Kill())
		s.dead[at] = true
		s.killed++
	}
	return s.quorum(s.rest(members...)), errors.Join(problems...)
}

func (s *scene) pause(at int) ([]int, error) {
	if !s.running.Members[at].Running() {
		return nil, nil
	}
	return s.rest(at), s.running.Members[at].Pause()
}

// stall keeps a member from its disk. It answers no write then, or the stalling itself does not work.
func (s *scene) stall(t *testing.T, at int) ([]int, error) {
	if err := s.disks.stall(at); err != nil {
		return nil, err
	}
	if s.probe.Put(t.Context(), at, history.Key(at), stalledPutWait) == nil {
		return nil, fmt.Errorf("%s answered a write although its disk stalls", s.running.Members[at].Label)
	}
	return s.rest(at), nil
}

// split cuts the members given off from the rest.
func (s *scene) split(off ...int) ([]int, error) {
	rest := s.rest(off...)
	return s.quorum(rest), errors.Join(s.cut(off, rest), s.cut(rest, off))
}

// cut drops everything that goes from any of these to any of those.
func (s *scene) cut(from, to []int) error {
	for _, a := range from {
		for _, b := range to {
			if err := s.lab.Cut(s.lab.Hosts[a], s.lab.Hosts[b]); err != nil {
				return err
			}
		}
	}
	return nil
}

// moveLeader asks the leader to give its place away. It may be refused: the cluster may be in any state.
func (s *scene) moveLeader(t *testing.T) ([]int, error) {
	leader := s.leader()
	status, err := s.running.Members[s.otherThan(leader)].Status()
	if err != nil {
		return nil, nil
	}
	maintenance, _ := dial(t, s.running.Members[leader])
	// The leader may be stopped, and would not answer for ever.
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	_, err = maintenance.MoveLeader(ctx, &pb.MoveLeaderRequest{TargetID: status.Header.MemberId})
	t.Logf("moving the leader: %s", member.Outcome(err))
	return s.rest(), nil
}
