package compat

import (
	"os"
	"testing"

	"netcd.test/member"
)

// kinds of numbers, as Go reads them.
var numberFlags = map[string][]string{
	"uint": {"snapshot-count", "snapshot-catchup-entries", "heartbeat-interval", "election-timeout", "max-snapshots", "max-wals", "max-txn-ops",
		"max-request-bytes", "self-signed-cert-validity", "bcrypt-cost", "auth-token-ttl", "bootstrap-defrag-threshold-megabytes"},
	"uint32": {"max-concurrent-streams"},
	"int":    {"quota-backend-bytes", "backend-batch-limit", "compaction-batch-limit", "max-learners", "distributed-tracing-sampling-rate"},
	"duration": {"backend-batch-interval", "grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout",
		"raft-read-timeout", "raft-write-timeout", "discovery-dial-timeout", "discovery-request-timeout", "discovery-keepalive-time",
		"discovery-keepalive-timeout", "warning-apply-duration", "warning-unary-request-duration", "corrupt-check-time",
		"compact-hash-check-time", "compaction-sleep-interval", "watch-progress-notify-interval", "downgrade-check-time"},
}

var numberValues = map[string][]string{
	"uint":     {"0", "1", "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615"},
	"uint32":   {"0", "1", "4294967295"},
	"int":      {"0", "-1", "1", "4294967296", "9223372036854775807", "-9223372036854775808"},
	"duration": {"0s", "-1ns", "-5s", "1ns", "1500us", "1.0000005s", "2562047h47m16.854775807s", "-2562047h47m16.854775808s"},
}

func TestNumbersExplore(t *testing.T) {
	label, binary := "netcd", member.Netcd()
	if os.Getenv("WHO") == "etcd" {
		label, binary = "etcd", member.Etcd()
	}
	for kind, flags := range numberFlags {
		for _, flag := range flags {
			for _, value := range numberValues[kind] {
				start := numberStart{[]setting{{flag, value}}, fromFlag}
				t.Run(start.String(), func(t *testing.T) {
					t.Parallel()
					t.Logf("RESULT %s %s => %s", flag, value, start.outcome(t, label, binary))
				})
			}
		}
	}
}
