// Every flag that is a number or a duration, the values that are tried, and where netcd's outcome is its own.
package compat

import "strings"

// numberValue is one value as a flag or variable and as a config file have it.
type numberValue struct{ text, inFile string }

func same(texts ...string) []numberValue {
	var values []numberValue
	for _, text := range texts {
		values = append(values, numberValue{text, text})
	}
	return values
}

// numberKind is a type of flags with its values: for all together in one start the combined ones, which parse; the
// others only alone.
type numberKind struct {
	flags           []string
	combined, alone []numberValue
}

var numberKinds = []numberKind{
	{
		flags: []string{"snapshot-count", "snapshot-catchup-entries", "heartbeat-interval", "election-timeout", "max-snapshots", "max-wals",
			"max-txn-ops", "max-request-bytes", "self-signed-cert-validity", "bcrypt-cost", "auth-token-ttl", "bootstrap-defrag-threshold-megabytes"},
		combined: same("0", "1", "9007199254740993", "18446744073709551615"),
		alone:    same("-1", "1.5", "18446744073709551616", "9223372036854775807", "9223372036854775808"),
	},
	{
		flags:    []string{"max-concurrent-streams"},
		combined: same("0", "4294967295"),
		alone:    same("1", "-1", "1.5", "4294967296"),
	},
	{
		flags:    []string{"quota-backend-bytes", "backend-batch-limit", "compaction-batch-limit", "max-learners", "distributed-tracing-sampling-rate"},
		combined: same("0", "-1", "4294967296", "9223372036854775807", "-9223372036854775808"),
		alone:    same("1", "1.5", "9223372036854775808", "-9223372036854775809"),
	},
	{
		flags: []string{"backend-batch-interval", "grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout",
			"raft-read-timeout", "raft-write-timeout", "discovery-dial-timeout", "discovery-request-timeout", "discovery-keepalive-time",
			"discovery-keepalive-timeout", "warning-apply-duration", "warning-unary-request-duration", "corrupt-check-time",
			"compact-hash-check-time", "compaction-sleep-interval", "watch-progress-notify-interval", "downgrade-check-time"},
		combined: []numberValue{
			{"0s", "0"}, {"-5s", "-5000000000"}, {"1.0000005s", "1000000500"}, {"1500us", "1500000"}, {"1ns", "1"},
			{"2562047h47m16.854775807s", "9223372036854775807"}, {"-2562047h47m16.854775808s", "-9223372036854775808"},
		},
		alone: []numberValue{{"1.5", "1.5"}, {"-1ns", "-1"}, {"2562047h47m16.854775808s", "9223372036854775808"}},
	},
}

// notYet are the flags of features that netcd does not have: it refuses by name what etcd serves with.
var notYet = map[string]bool{"self-signed-cert-validity": true,
	"bootstrap-defrag-threshold-megabytes": true, "distributed-tracing-sampling-rate": true, "discovery-dial-timeout": true,
	"discovery-request-timeout": true, "discovery-keepalive-time": true, "discovery-keepalive-timeout": true,
	"corrupt-check-time": true, "compact-hash-check-time": true, "downgrade-check-time": true}

const (
	works = "serves: put and 1 event"
	small = `serves: put InvalidArgument: etcdserver: request is too large`
)

// ownOutcomes are netcd's where etcd's is a fault of its own: it never serves, or ends with a Go panic.
var ownOutcomes = map[setting]string{
	// etcd cannot even publish the member within such a limit, and so never accepts a client. Reads work here.
	{"max-request-bytes", "0"}: small,
	{"max-request-bytes", "1"}: small,
	// etcd adds its overhead to the limit, which becomes a negative one.
	{"max-request-bytes", "9223372036854775807"}:  works,
	{"max-request-bytes", "9223372036854775808"}:  works,
	{"max-request-bytes", "18446744073709551615"}: works,
	// etcd: index out of range.
	{"max-snapshots", "18446744073709551615"}: works,
	// etcd's first watch ends the process: the random tenth on top overflows.
	{"watch-progress-notify-interval", "2562047h47m16.854775807s"}: works,
}

// apart are values that serve, or are refused, only alone: together with them nothing of the others would be seen.
func apart(flag, text string) bool {
	switch flag {
	case "heartbeat-interval", "election-timeout", "max-request-bytes":
		return true
	case "max-learners":
		return strings.HasPrefix(text, "-")
	}
	_, own := ownOutcomes[setting{flag, text}]
	return own || notYet[flag]
}
