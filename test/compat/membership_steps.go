// The story that is told of both clusters.
package compat

import (
	"regexp"
	"testing"
)

// idOf captures the id of m2 or another member by its name in the simple member list.
func idOf(name string) string { return `(?m)^([0-9a-f]+), started, ` + regexp.QuoteMeta(name) + `,` }

const (
	notInSync = "in sync with leader"
	unhealthy = "unhealthy cluster"
)

func membershipSteps() []memberStep {
	steps := []memberStep{leaderIs(0), ctl(0, "put", "k", "v"), ctl(1, "get", "k"), ctl(2, "get", "k", "-w", "json")}
	steps = append(steps, lists(1)...)
	for _, command := range []string{"status", "hashkv"} {
		steps = append(steps, everyFormat(2, "endpoint", command, "--cluster")...)
	}
	for _, format := range []string{"simple", "fields"} {
		steps = append(steps, ctl(1, "endpoint", "health", "--cluster", "-w", format).sorted())
	}
	steps = append(steps, moveLeaderSteps()...)
	steps = append(steps, learnerSteps()...)
	steps = append(steps, updateSteps()...)
	return append(steps, removeSteps()...)
}

func moveLeaderSteps() []memberStep {
	return []memberStep{
		ctl(0, "member", "list").captured(idOf("m2")),
		ctl(0, "move-leader"), ctl(0, "move-leader", "zz"), ctl(0, "move-leader", "123"), ctl(1, "move-leader", "$ID"),
		ctl(0, "move-leader", "$ID"), ctl(1, "endpoint", "status", "--cluster"), ctl(0, "move-leader", "$ID"),
		ctl(1, "member", "list").captured(idOf("m1")), ctl(1, "move-leader", "$ID", "-w", "json"), ctl(0, "endpoint", "status", "-w", "fields"),
		leaderIs(0),
	}
}

func learnerSteps() []memberStep {
	describe := memberStep{act: func(t *testing.T, s *membershipStory) string { s.cluster.Join(t); return "described" }}
	steps := []memberStep{
		describe,
		ctl(1, "member", "add", "m4", "--learner", "--peer-urls=$JOINER").captured(`^Member +([0-9a-f]+) `).repeatedWhile(unhealthy).sorted(),
		ctl(0, "member", "add", "m5", "--learner", "--peer-urls=http://127.0.0.1:1").repeatedWhile(unhealthy),
		// A URL that is taken weighs more than too many learners.
		ctl(0, "member", "add", "m5", "--learner", "--peer-urls=$JOINER,http://127.0.0.1:1"),
		ctl(0, "member", "list").sorted(), ctl(0, "member", "list", "-w", "json"),
		ctl(1, "member", "promote", "$ID"), ctl(0, "member", "promote", "$ID"), ctl(1, "member", "promote", "123"),
		{act: startsLearner},
		// In the second in which the learner was added its id would come again.
		ctl(0, "member", "add", "m5", "--peer-urls=$JOINER").repeatedWhile("already exist\\n"),
		ctl(3, "put", "a", "b"), ctl(3, "get", "k"), ctl(3, "get", "k", "--consistency=s").repeatedWhile(`stdout ""`),
		ctl(3, "member", "list"), ctl(3, "member", "list", "--consistency=s").sorted(), ctl(3, "lease", "grant", "10"), ctl(3, "move-leader", "$ID"),
		ctl(3, "watch", "k", "--command-timeout=1s"), ctl(3, "endpoint", "health"), ctl(3, "compaction", "1"), ctl(3, "alarm", "list"),
		ctl(3, "member", "remove", "$ID"), ctl(3, "defrag"),
		ctl(0, "move-leader", "$ID"),
		ctl(1, "member", "promote", "$ID").repeatedWhile(notInSync), ctl(1, "member", "promote", "$ID"),
		ctl(3, "put", "a", "b").repeatedWhile("not supported for learner"), ctl(3, "get", "a", "-w", "fields"),
	}
	return append(steps, ctl(3, "member", "list").sorted(), ctl(3, "member", "list", "-w", "json"), ctl(0, "endpoint", "hashkv", "--cluster").sorted())
}

func updateSteps() []memberStep {
	return []memberStep{
		ctl(1, "member", "update", "$ID", "--peer-urls=http://127.0.0.1:2"), ctl(2, "member", "list").sorted(),
		ctl(1, "member", "update", "$ID", "--peer-urls=$FIRST"), ctl(1, "member", "update", "123", "--peer-urls=http://127.0.0.1:3"),
		ctl(1, "member", "update", "$ID"), ctl(1, "member", "update", "zz", "--peer-urls=http://127.0.0.1:3"),
		ctl(1, "member", "update", "$ID", "--peer-urls=nonsense"), ctl(1, "member", "update", "$ID", "--peer-urls=$JOINER", "-w", "json"),
		ctl(2, "member", "update", "$ID", "--peer-urls=$JOINER,http://127.0.0.1:4", "-w", "fields"),
		ctl(2, "member", "update", "$ID", "--peer-urls=$JOINER", "-w", "table"), ctl(2, "member", "list").sorted(),
	}
}

func removeSteps() []memberStep {
	return []memberStep{
		ctl(2, "member", "remove", "$ID", "-w", "simple").repeatedWhile(unhealthy), {act: stopsRemoved},
		ctl(2, "member", "remove", "$ID"), ctl(0, "member", "list"), ctl(1, "member", "promote", "$ID"),
		ctl(1, "member", "update", "$ID", "--peer-urls=http://127.0.0.1:3"),
		{act: killsThird},
		ctl(0, "member", "list").captured(idOf("m2")), ctl(0, "member", "remove", "$ID"),
		ctl(0, "member", "add", "m5", "--peer-urls=http://127.0.0.1:5").captured(`^Member +([0-9a-f]+) `).sorted(),
		// Two members that never started are more than the cluster may have.
		ctl(0, "member", "add", "m6", "--peer-urls=http://127.0.0.1:6"),
		ctl(0, "member", "remove", "$ID", "-w", "json"),
		ctl(0, "member", "list").captured(idOf("m3")), ctl(1, "member", "remove", "$ID", "-w", "fields"), ctl(1, "member", "list", "-w", "table"),
		ctl(0, "endpoint", "health", "--cluster").sorted(), ctl(0, "get", "k"),
	}
}
