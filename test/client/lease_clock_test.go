package client

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"netcd.test/member"
)

// jumpSeconds is how long the leases last.
const jumpSeconds = 4

// fakeClocks lets libfaketime stand between the clocks and the members that are started from now on.
func fakeClocks(t *testing.T, environment map[string]string) {
	t.Helper()
	library := member.Reference("libfaketimeMT.so.1")
	member.Need(t, library)
	t.Setenv("LD_PRELOAD", library)
	for name, value := range environment {
		t.Setenv(name, value)
	}
}

// wallClock is what a member's HTTP answers give as the time.
func wallClock(t *testing.T, server *member.Member) time.Time {
	t.Helper()
	answer, err := http.Get(server.ClientURL + "/version")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	date, err := http.ParseTime(answer.Header.Get("date"))
	if err != nil {
		t.Fatal(err)
	}
	return date
}

// TestLeaseClockJumps moves the wall clock of three members by hours while leases live: they end by the time that has
// passed and not by what the clock shows, what is renewed stays, and no leader changes.
func TestLeaseClockJumps(t *testing.T) {
	offset := filepath.Join(t.TempDir(), "offset")
	setOffset := func(seconds int) {
		if err := os.WriteFile(offset, fmt.Appendf(nil, "%+d\n", seconds), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	setOffset(0)
	fakeClocks(t, map[string]string{
		"FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
	})
	running := member.StartCluster(t, "netcd", member.Netcd(), 3)
	leader := running.Leader(t)
	before, err := leader.Status()
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := connect(t, leader)
	kept := grant(t, ctx, client, jumpSeconds, "kept")
	if _, err := client.KeepAlive(ctx, kept); err != nil {
		t.Fatal(err)
	}
	for _, seconds := range []int{3600, -7200, 0} {
		forward := seconds == 3600
		granted := time.Now()
		lease := grant(t, ctx, client, jumpSeconds, "jumps")
		setOffset(seconds)
		// The date of HTTP answers shows the first jump; it stays where it is while the clock is behind it. The others
		// come as surely: every look at the clock reads the offset anew.
		if forward {
			awaitWallClock(t, leader, time.Duration(seconds)*time.Second)
		}
		if found, err := client.Get(ctx, "jumps"); time.Since(granted) < jumpSeconds*time.Second && (err != nil || found.Count != 1) {
			t.Fatalf("a clock that goes by %d s ended the lease: %v, %v", seconds, found, err)
		}
		gone(t, ctx, client, "jumps")
		if lived := time.Since(granted); lived < jumpSeconds*time.Second {
			t.Fatalf("with a clock that goes by %d s the lease lived for %v", seconds, lived)
		}
		if times, err := client.TimeToLive(ctx, lease); err != nil || times.TTL != -1 {
			t.Fatalf("times of the ended lease: %v, %v", times, err)
		}
	}
	if found, err := client.Get(ctx, "kept"); err != nil || found.Count != 1 {
		t.Fatalf("the renewed lease did not live: %v, %v", found, err)
	}
	after, err := running.Leader(t).Status()
	if err != nil || after.RaftTerm != before.RaftTerm {
		t.Fatalf("the term was %d: %v, %v", before.RaftTerm, after, err)
	}
}

// awaitWallClock waits until a member shows a time that is that far from ours.
func awaitWallClock(t *testing.T, server *member.Member, ahead time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(waitMax); ; time.Sleep(50 * time.Millisecond) {
		if off := wallClock(t, server).Sub(time.Now().Add(ahead)).Abs(); off < time.Minute {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("the clock of %s did not jump: it is off by %v", server.Label, off)
		}
	}
}
