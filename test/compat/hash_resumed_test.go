// HashKV after a compaction that kill -9 broke off in the middle and a restart brought to its end.
package compat

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	resumedTxns = 500
	resumedPuts = 64
	resumedKeys = 2000
	// Where the history is compacted.
	resumedAt      = 450
	compactionDone = "finished scheduled compaction"
)

// resumedFlags make a compaction of 30,000 revisions many commits with time between them.
var resumedFlags = []string{"--compaction-batch-limit=200", "--compaction-sleep-interval=20ms"}

// TestHashKVAfterResumedCompaction gives netcd and etcd the same history, kills both in the middle of its compaction, and
// compares all hashes when both have finished it, with each other and with a netcd that was never killed.
func TestHashKVAfterResumedCompaction(t *testing.T) {
	p := newPair(t, "HashKV after a resumed compaction", resumedFlags...)
	defer p.report()
	undisturbed := &pair{t: t, what: p.what, codes: p.codes, servers: []*member.Member{member.StartNetcd(t, resumedFlags...)}}
	var err error
	if undisturbed.netcd, err = undisturbed.servers[0].Dial(); err != nil {
		t.Fatal(err)
	}
	defer undisturbed.netcd.Close()
	random := rand.New(rand.NewPCG(1, 0x726573756d65))
	for range resumedTxns {
		txn := txnCall(resumedTxn(random))
		p.compare(txn)
		if answer := txn.Send(undisturbed.netcd); answer.Code != 0 {
			t.Fatal(answer)
		}
	}
	compaction := compactCall(&pb.CompactionRequest{Revision: resumedAt})
	p.compare(compaction)
	for _, server := range p.servers {
		killInCompaction(t, server)
	}
	if answer := compaction.Send(undisturbed.netcd); answer.Code != 0 {
		t.Fatal(answer)
	}
	for _, server := range append(p.servers, undisturbed.servers...) {
		if err := server.AwaitLog(compactionDone); err != nil {
			t.Fatal(err)
		}
	}
	for at := int64(0); at <= resumedTxns+2; at++ {
		p.compare(hashCall(at))
		// What the compacted revision itself answers is remembered by the process that compacted, in etcd too.
		if at == 0 || at > resumedAt {
			undisturbed.etcd = p.netcd
			undisturbed.compare(hashCall(at))
		}
	}
	p.compared += undisturbed.compared
}

func resumedTxn(random *rand.Rand) *pb.TxnRequest {
	txn := &pb.TxnRequest{}
	chosen := map[int]bool{}
	for len(chosen) < resumedPuts {
		n := random.IntN(resumedKeys)
		if chosen[n] {
			continue
		}
		chosen[n] = true
		key := fmt.Appendf(nil, "k%d", n)
		if random.IntN(8) == 0 {
			txn.Success = append(txn.Success, deleteOp(&pb.DeleteRangeRequest{Key: key}))
		} else {
			txn.Success = append(txn.Success, putOp(&pb.PutRequest{Key: key, Value: fmt.Appendf(nil, "v%d", random.IntN(1000))}))
		}
	}
	return txn
}

// killInCompaction kills the server when its compaction has removed something and is not finished, and starts it again.
func killInCompaction(t *testing.T, server *member.Member) {
	t.Helper()
	commits := "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds"
	for deadline := time.Now().Add(callWaitMax); scraped(t, server).value(commits) == 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not begin to compact", server.Label)
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	log, err := server.Log()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log, compactionDone) {
		t.Fatalf("%s had finished its compaction before it was killed: nothing is tested", server.Label)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
}
