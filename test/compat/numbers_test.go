package compat

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"netcd.test/member"
)

var numberSources = []source{fromFlag, fromEnvironment, fromFile}

// TestNumbers starts both servers with zero, negative, fractional and the largest values of every flag that is a number
// or a duration, from every source, and puts and watches. What serves is tried together, what is refused alone.
// COMPAT_NUMBERS=all tries every value of every flag from every source alone, which takes longer than -timeout is by default.
func TestNumbers(t *testing.T) {
	member.Need(t, member.Etcd())
	starts := combinedStarts()
	if os.Getenv("COMPAT_NUMBERS") == "all" {
		starts = append(starts, everyStart()...)
	} else {
		starts = append(starts, chosenStarts()...)
	}
	for _, start := range starts {
		t.Run(start.String(), func(t *testing.T) {
			t.Parallel()
			ours, theirs := start.outcome(t, "netcd", member.Netcd()), start.outcome(t, "etcd", member.Etcd())
			if !start.isRight(ours, theirs) {
				t.Errorf("netcd: %s\netcd:  %s", ours, theirs)
			}
		})
	}
}

// isRight is true of the same outcome, and of one that is netcd's own for a reason in the table.
func (s numberStart) isRight(ours, theirs string) bool {
	if len(s.settings) > 1 {
		return ours == theirs && ours == works
	}
	only := s.settings[0].setting
	if own, found := ownOutcomes[only]; found {
		return ours == own
	}
	if notYet[only.flag] && strings.Contains(ours, fmt.Sprintf("--%s is not supported: netcd does not have ", only.flag)) {
		return true
	}
	return ours == theirs
}

// combinedStarts have the nth value of every flag at once, as far as both serve with it. Where a value comes from
// matters only to how it is read, so the other sources have two of each.
func combinedStarts() []numberStart {
	var starts []numberStart
	for from, last := range map[source]int{fromFlag: 7, fromEnvironment: 2, fromFile: 2} {
		for nth := range last {
			start := numberStart{from: from}
			for _, kind := range numberKinds {
				value := kind.combined[min(nth, len(kind.combined)-1)]
				for _, flag := range kind.flags {
					if !apart(flag, value.text) {
						start.settings = append(start.settings, given{setting{flag, value.text}, value.inFile})
					}
				}
			}
			starts = append(starts, start)
		}
	}
	return starts
}

// chosenStarts are one of each kind of outcome that a value can have only alone.
func chosenStarts() []numberStart {
	alone := func(flag, text, inFile string, sources ...source) []numberStart {
		var starts []numberStart
		for _, from := range sources {
			starts = append(starts, numberStart{[]given{{setting{flag, text}, inFile}}, from})
		}
		return starts
	}
	var starts []numberStart
	starts = append(starts, alone("max-learners", "-1", "-1", numberSources...)...)
	starts = append(starts, alone("max-request-bytes", "18446744073709551615", "18446744073709551615", fromFlag)...)
	starts = append(starts, alone("election-timeout", "18446744073709551615", "18446744073709551615", fromFlag, fromFile)...)
	starts = append(starts, alone("compact-hash-check-time", "-2562047h47m16.854775808s", "-9223372036854775808", fromFlag, fromFile)...)
	starts = append(starts, alone("grpc-keepalive-timeout", "2562047h47m16.854775808s", "9223372036854775808", numberSources...)...)
	starts = append(starts, alone("snapshot-count", "-1", "-1", numberSources...)...)
	starts = append(starts, alone("quota-backend-bytes", "1.5", "1.5", numberSources...)...)
	starts = append(starts, alone("quota-backend-bytes", "", "0", fromEnvironment)...)
	return append(starts, alone("watch-progress-notify-interval", "2562047h47m16.854775807s", "9223372036854775807", fromFlag)...)
}

// everyStart is the whole product of flags, values and sources.
func everyStart() []numberStart {
	var starts []numberStart
	for _, kind := range numberKinds {
		for _, flag := range kind.flags {
			for _, value := range append(append([]numberValue{}, kind.combined...), kind.alone...) {
				for _, from := range numberSources {
					starts = append(starts, numberStart{[]given{{setting{flag, value.text}, value.inFile}}, from})
				}
			}
		}
	}
	return starts
}
