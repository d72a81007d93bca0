// The public conformance tests of HTTP/2 (h2spec), run against netcd and against etcd, whose verdicts are compared.
package compat

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"netcd.test/member"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

const (
	// h2specWait is how long a case listens for what should come, or for what must not.
	h2specWait = 2 * time.Second
	// h2specRetryWait is the same for the second try of a case that failed: the machine may have been busy.
	h2specRetryWait = 6 * time.Second
	// h2specCaseMax bounds a whole case, since a frame that comes prolongs the wait of h2spec.
	h2specCaseMax = 60 * time.Second
	// h2specAtOnce are the cases that run side by side against a server: most of their time is waiting.
	h2specAtOnce = 16
	// h2specHeaderBytes is the length of the headers that h2spec makes up, as its own command has it.
	h2specHeaderBytes = 4000
)

// h2specMeaningless are the cases whose outcome says nothing about netcd, and why.
var h2specMeaningless = map[string]string{
	"generic/2/2":   noBody,
	"generic/2/3":   noBody,
	"http2/6.5.3/1": noBody,
	"http2/6.9.1/1": noBody,
	"http2/6.9.2/1": noBody,
	"http2/6.9.2/2": noBody,
	"http2/3.5/2": "the port takes HTTP/1.1 too and so answers in it what is no preface of HTTP/2, and h2spec cannot read that; " +
		"TestFrames has the case",
	"http2/8.1/1":     earlyAnswer,
	"http2/8.1.2.1/3": earlyAnswer,
	"http2/8.1.2.6/1": earlyAnswer,
	"http2/8.1.2.6/2": earlyAnswer,
	"http2/5.1.2/1":   "all its requests are answered at once, so that they never reach the limit; TestStreamLimit has the case",
}

const (
	noBody = "a gRPC server answers a GET without a body, and the case wants one; TestFrames does the same with a Range"
	// Which of the two frames is there when the server looks depends on the machine's load.
	earlyAnswer = "what is wrong comes in a second frame, by which the path that nobody serves may have got its answer; " +
		"the tests of native/http2 have the case with a request that waits"
)

// verdict is how one case ended: passed, skipped (by h2spec itself), or failed with what was expected and what came.
type verdict struct {
	state, why string
}

const (
	specPassed  = "passed"
	specSkipped = "skipped"
	specFailed  = "failed"
)

// specCase is a case of h2spec under the name that h2spec gives it.
type specCase struct {
	id string
	*spec.TestCase
}

// h2specServer is what the cases run against.
type h2specServer struct {
	settings config.Config
	// frameMax is the largest frame that the server takes.
	frameMax int
}

func TestH2Spec(t *testing.T) {
	t.Parallel()
	netcd, etcd := member.StartPair(t)
	ours, theirs := h2specOf(t, netcd), h2specOf(t, etcd)
	var cases []specCase
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		cases = append(cases, casesBelow(group)...)
	}
	for id := range h2specMeaningless {
		if !slices.ContainsFunc(cases, func(one specCase) bool { return one.id == id }) {
			t.Errorf("h2spec has no case %s", id)
		}
	}
	our, their := judgeBoth(ours, theirs, cases, h2specWait)
	var again []specCase
	for _, one := range cases {
		if our[one.id].state == specFailed {
			again = append(again, one)
		}
	}
	// Both again, so that a case that etcd failed for want of time does not excuse netcd.
	ourAgain, theirAgain := judgeBoth(ours, theirs, again, h2specRetryWait)
	maps.Copy(our, ourAgain)
	maps.Copy(their, theirAgain)
	compareVerdicts(t, cases, our, their)
}

// compareVerdicts fails the test for each case that etcd does not fail and netcd does.
func compareVerdicts(t *testing.T, cases []specCase, ours, theirs map[string]verdict) {
	t.Helper()
	counts := map[string]int{}
	for _, one := range cases {
		our, their := ours[one.id], theirs[one.id]
		said := fmt.Sprintf("%s %s\n  netcd %s: %s\n  etcd %s: %s", one.id, one.Desc, our.state, our.why, their.state, their.why)
		reason, meaningless := h2specMeaningless[one.id]
		switch {
		case meaningless:
			counts["meaningless here"]++
			t.Logf("%s\n  meaningless: %s", said, reason)
			continue
		case our.state == specFailed && their.state != specFailed:
			t.Error(said)
		case our.state != specPassed || their.state != specPassed:
			t.Log(said)
		}
		counts[our.state+" by netcd and "+their.state+" by etcd"]++
	}
	t.Logf("%d cases: %v", len(cases), counts)
}

// casesBelow are the cases of a group and of the groups in it.
func casesBelow(group *spec.TestGroup) []specCase {
	var cases []specCase
	for at, one := range append(group.Tests, group.StrictTests...) {
		cases = append(cases, specCase{fmt.Sprintf("%s/%d", group.ID(), at+1), one})
	}
	for _, inner := range group.Groups {
		cases = append(cases, casesBelow(inner)...)
	}
	return cases
}

func h2specOf(t *testing.T, server *member.Member) h2specServer {
	t.Helper()
	host, port, err := net.SplitHostPort(server.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Config{Host: host, Port: number, Path: "/", MaxHeaderLen: h2specHeaderBytes, Strict: true, Timeout: h2specRetryWait}
	conn, err := spec.Dial(&settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return h2specServer{settings, conn.MaxFrameSize()}
}

// judgeBoth runs the cases against both servers side by side.
func judgeBoth(ours, theirs h2specServer, cases []specCase, wait time.Duration) (our, their map[string]verdict) {
	var both sync.WaitGroup
	both.Go(func() { our = ours.judge(cases, wait) })
	both.Go(func() { their = theirs.judge(cases, wait) })
	both.Wait()
	return our, their
}

// judge runs the cases, several at once.
func (s h2specServer) judge(cases []specCase, wait time.Duration) map[string]verdict {
	all := map[string]verdict{}
	var guard sync.Mutex
	var running sync.WaitGroup
	room := make(chan struct{}, h2specAtOnce)
	for _, one := range cases {
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			ended := s.judgeOne(one, wait)
			guard.Lock()
			defer guard.Unlock()
			all[one.id] = ended
		})
	}
	running.Wait()
	return all
}

// judgeOne runs the case once on a connection of its own.
func (s h2specServer) judgeOne(one specCase, wait time.Duration) verdict {
	settings := s.settings
	settings.Timeout = wait
	if one.id == "http2/4.2/3" {
		// Its five headers are to be more than the largest frame, which h2spec takes for the default one.
		settings.MaxHeaderLen = max(h2specHeaderBytes, s.frameMax/4)
	}
	conn, err := spec.Dial(&settings)
	if err != nil {
		return verdict{specFailed, "dial: " + err.Error()}
	}
	defer conn.Close()
	ended := make(chan verdict, 1)
	go func() {
		// h2spec asks a connection that ended early what came last, which was nothing.
		defer func() {
			if broken := recover(); broken != nil {
				ended <- verdict{specFailed, fmt.Sprintf("h2spec: %v", broken)}
			}
		}()
		ended <- verdictOf(one.Run(&settings, conn))
	}()
	select {
	case one := <-ended:
		return one
	case <-time.After(h2specCaseMax):
		return verdict{specFailed, fmt.Sprintf("no end after %v", h2specCaseMax)}
	}
}

func verdictOf(err error) verdict {
	var wrong *spec.TestError
	switch {
	case err == nil:
		return verdict{state: specPassed}
	case errors.Is(err, spec.ErrSkipped):
		return verdict{state: specSkipped}
	case errors.As(err, &wrong):
		return verdict{specFailed, fmt.Sprintf("expected %s, got %s", strings.Join(wrong.Expected, " or "), wrong.Actual)}
	}
	return verdict{specFailed, err.Error()}
}
