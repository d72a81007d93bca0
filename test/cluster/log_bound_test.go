// The raft log on disk is bounded by bytes, with the real log files: --max-wals, whatever the number of entries.
package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	walMax = 1
	// walBeside are the files there may be beside those that --max-wals counts: the one that is written, the one that is
	// prepared, and one for what is written until the store is durable and the log can be cut.
	walBeside     = 4
	walFileBytes  = 64 << 20
	logValueBytes = 1 << 20
	logBytes      = 8 * walFileBytes
)

func TestLogIsBoundedByBytes(t *testing.T) {
	server := member.StartNetcd(t, fmt.Sprintf("--max-wals=%d", walMax))
	connection := server.Connect(t)
	kv := pb.NewKVClient(connection)
	puts, most := logBytes/logValueBytes, 0
	for at := range puts {
		value := bytes.Repeat([]byte{byte(at)}, logValueBytes)
		if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", at%16), Value: value}); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(walFiles(t, server)))
	}
	if most > walMax+walBeside {
		t.Errorf("%d log files at a time with --max-wals=%d", most, walMax)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	for at := puts - 16; at < puts; at++ {
		value, err := get(t, server, fmt.Sprintf("k%d", at%16), false)
		if err != nil || value != strings.Repeat(string([]byte{byte(at)}), logValueBytes) {
			t.Fatalf("k%d after kill and restart: %d bytes, %v", at%16, len(value), err)
		}
	}
	t.Logf("%d MiB written, at most %d log files of %d MiB at a time", logBytes>>20, most, walFileBytes>>20)
}

func walFiles(t *testing.T, server *member.Member) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.DataDir, "member/wal/*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		entries, err := os.ReadDir(filepath.Join(server.DataDir, "member"))
		t.Fatalf("no log files in %v: %v", entries, err)
	}
	return files
}
