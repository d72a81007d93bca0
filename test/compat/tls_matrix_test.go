// Who gets in over TLS, and what is said of the others: every combination is tried on both servers.
package compat

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"netcd.test/member"
)

// tlsToolShare is how many cells there are to one that a tool is run for, too.
const tlsToolShare = 6

// refusalPause keeps below the number of refusals that netcd logs in a second.
const refusalPause = 60 * time.Millisecond

// tlsRun is one run of the matrix.
type tlsRun struct {
	files *tlsFiles
	lock  sync.Mutex
	// used are the numbers of the differences that were seen.
	used map[int]bool
}

// tlsResult is what both servers did in a cell, by the tool that asked; "" is Go's client.
type tlsResult struct {
	cell        tlsCell
	tool        string
	etcd, netcd tlsSeen
}

// TestTLSMatrix compares a share of the cells chosen by COMPAT_SEED, and all of them at full depth.
func TestTLSMatrix(t *testing.T) {
	for _, tool := range []string{member.Etcd(), "openssl", "curl", member.Reference("etcdctl")} {
		member.Need(t, tool)
	}
	run := &tlsRun{files: newTLSFiles(t), used: map[int]bool{}}
	all := allTLSCells(run.files)
	if len(all) < 300 {
		t.Fatalf("only %d cells", len(all))
	}
	seed := member.Number[uint64](t, "COMPAT_SEED", 1)
	some := someTLSCells(all, seed, member.Depth(len(all)))
	t.Logf("%d of %d cells with COMPAT_SEED=%d", len(some), len(all), seed)
	t.Run("sets", func(t *testing.T) {
		for i := range tlsSets {
			set := &tlsSets[i]
			ofSet := slices.DeleteFunc(slices.Clone(some), func(c tlsCell) bool { return c.set != set })
			if len(ofSet) > 0 {
				t.Run(set.name, func(t *testing.T) {
					t.Parallel()
					run.compare(t, set, ofSet, rand.New(rand.NewPCG(seed, uint64(i))))
				})
			}
		}
	})
	if member.FullDepth() && !t.Failed() {
		for at, one := range tlsDifferences {
			if !run.used[at] {
				t.Errorf("a difference that is listed and not there: %+v", one)
			}
		}
	}
}

// compare starts both servers with a set and runs its cells.
func (run *tlsRun) compare(t *testing.T, set *tlsSet, cells []tlsCell, random *rand.Rand) {
	etcd := set.start(t, run.files, "etcd", member.Etcd())
	netcd := set.start(t, run.files, "netcd", member.Netcd())
	var results []tlsResult
	for _, cell := range cells {
		result := tlsResult{cell: cell}
		result.etcd = cell.probe(run.files, etcd)
		result.netcd = cell.probe(run.files, netcd)
		results = append(results, result)
		run.rest(result)
		if tools := cell.tools(); len(tools) > 0 && random.IntN(tlsToolShare) == 0 {
			results = append(results, run.byTool(t, result, tools[random.IntN(len(tools))], etcd, netcd))
		}
	}
	limitLines(results)
	etcdLines, netcdLines := run.lines(t, etcd, netcd, results)
	for _, result := range results {
		run.judge(t, result, line(etcdLines, result.etcd), line(netcdLines, result.netcd))
	}
}

// byTool is the cell by another client.
func (run *tlsRun) byTool(t *testing.T, before tlsResult, tool string, etcd, netcd *tlsServer) tlsResult {
	result := tlsResult{cell: before.cell, tool: tool}
	var err error
	if result.etcd, err = before.cell.runTool(run.files, tool, etcd, before.etcd.in); err != nil {
		t.Fatal(err)
	}
	if result.netcd, err = before.cell.runTool(run.files, tool, netcd, before.etcd.in); err != nil {
		t.Fatal(err)
	}
	run.rest(result)
	return result
}

func (run *tlsRun) rest(result tlsResult) {
	if !result.netcd.in {
		time.Sleep(refusalPause)
	}
}

// lines waits until every refusal of the result has its line, as far as lines come.
func (run *tlsRun) lines(t *testing.T, etcd, netcd *tlsServer, results []tlsResult) (etcdLines, netcdLines []rejection) {
	deadline := time.Now().Add(lineWaitMax)
	for {
		etcdLines, netcdLines = rejections(t, etcd.Member), rejections(t, netcd.Member)
		missing := slices.ContainsFunc(results, func(r tlsResult) bool {
			return !r.etcd.in && line(etcdLines, r.etcd).Message != "" && line(netcdLines, r.netcd).Message == ""
		})
		if !missing || time.Now().After(deadline) {
			return etcdLines, netcdLines
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// limitLines says until where in the log a line is about each client: until another comes from one of its addresses.
func limitLines(results []tlsResult) {
	of := []func(*tlsResult) *tlsSeen{
		func(r *tlsResult) *tlsSeen { return &r.etcd }, func(r *tlsResult) *tlsSeen { return &r.netcd },
	}
	for _, seen := range of {
		next := map[string]int{}
		for i := len(results) - 1; i >= 0; i-- {
			one := seen(&results[i])
			one.until = math.MaxInt
			for _, from := range one.from {
				if later, again := next[from]; again {
					one.until = min(one.until, later)
				}
				next[from] = one.since
			}
		}
	}
}

// line is the first one about what the client did.
func line(lines []rejection, seen tlsSeen) rejection {
	for _, one := range lines {
		if one.at >= seen.since && one.at < seen.until && slices.Contains(seen.from, one.Remote) {
			return one
		}
	}
	return rejection{}
}

func (run *tlsRun) judge(t *testing.T, result tlsResult, etcdLine, netcdLine rejection) {
	t.Helper()
	run.same(t, "entry", result, entry(result.etcd), entry(result.netcd))
	if !result.etcd.in || !result.netcd.in {
		run.same(t, "line", result, etcdLine.text(), netcdLine.text())
	}
	// gRPC may be writing when the alert comes, and then has not read it.
	late := result.cell.kind.grpc && (result.etcd.text == "closed" || result.netcd.text == "closed")
	if result.tool == "" && !late {
		run.same(t, "client", result, result.etcd.text, result.netcd.text)
	}
}

func entry(seen tlsSeen) string {
	if seen.in {
		return "in"
	}
	return "out"
}

func (run *tlsRun) same(t *testing.T, what string, result tlsResult, etcd, netcd string) {
	t.Helper()
	if etcd == netcd {
		return
	}
	if at := knownTLSDifference(what, result.cell, etcd, netcd); at >= 0 {
		run.lock.Lock()
		run.used[at] = true
		run.lock.Unlock()
		return
	}
	t.Errorf("%s (%s), %s:\n  etcd  %s\n  netcd %s", result.cell, result.tool, what, etcd, netcd)
}
