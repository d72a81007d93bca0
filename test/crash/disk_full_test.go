// A disk without room: writes fail with an answer, nothing acknowledged is lost, and with room it goes on.
package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	diskMiB       = 224
	diskRoomMiB   = 1024
	fillValue     = 256 << 10
	fillWritesMax = 2 * diskMiB << 20 / fillValue
)

func TestDiskFull(t *testing.T) {
	directory := mountSmallDisk(t)
	server, err := member.New(member.Options{Label: "netcd", Binary: member.Netcd(), Dir: directory,
		Flags: []string{"--quota-backend-bytes=-1"}})
	if err != nil {
		t.Fatal(err)
	}
	// The log lies outside the small disk, so that it is not what fills it.
	server.LogPath = t.TempDir() + "/netcd.log"
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	acknowledged := fillUntilRefused(t, server)
	select {
	case <-server.Exited():
		t.Fatal("the member ended when its disk was full")
	case <-time.After(time.Second):
	}
	mount(t, "-o", fmt.Sprintf("remount,size=%dm", diskRoomMiB), directory)
	requireAll(t, server, acknowledged)
	t.Logf("%d writes before the disk was full, all there, and the member stayed up", acknowledged)
}

// mountSmallDisk makes a tmpfs of diskMiB for the test, or skips it aloud.
func mountSmallDisk(t *testing.T) string {
	t.Helper()
	member.Need(t, member.Netcd())
	directory := t.TempDir()
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", diskMiB), "tmpfs", directory).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no disk can be mounted here (%v: %s)", err, output)
	}
	t.Cleanup(func() {
		if output, err := exec.Command("umount", "-l", directory).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, output)
		}
	})
	return directory
}

func mount(t *testing.T, arguments ...string) {
	t.Helper()
	if output, err := exec.Command("mount", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v: %s", arguments, err, output)
	}
}

// fillUntilRefused puts large values until one is refused, and returns how many were acknowledged.
func fillUntilRefused(t *testing.T, server *member.Member) int {
	t.Helper()
	connection := dial(t, server)
	defer connection.Close()
	kv := pb.NewKVClient(connection)
	for i := range fillWritesMax {
		ctx, cancel := context.WithTimeout(context.Background(), writeWaitMax)
		_, err := kv.Put(ctx, &pb.PutRequest{Key: fillKey(i), Value: make([]byte, fillValue)})
		timedOut := ctx.Err() != nil
		cancel()
		if err != nil && timedOut {
			t.Fatalf("put %d on the full disk got no answer in %s: %v", i, writeWaitMax, err)
		}
		if err != nil {
			t.Logf("put %d was refused: %v", i, err)
			return i
		}
	}
	t.Fatalf("%d puts of %d bytes fit on a disk of %d MiB", fillWritesMax, fillValue, diskMiB)
	return 0
}

func fillKey(i int) []byte { return fmt.Appendf(nil, "fill/%06d", i) }

// requireAll checks the acknowledged writes and that new ones are taken again.
func requireAll(t *testing.T, server *member.Member, acknowledged int) {
	t.Helper()
	connection := dial(t, server)
	defer connection.Close()
	kv := pb.NewKVClient(connection)
	awaitWritable(t, kv)
	for i := range acknowledged {
		found, err := read(kv, string(fillKey(i)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if found == nil || len(found.Value) != fillValue || found.Version != 1 || found.ModRevision != int64(i)+2 {
			t.Fatalf("acknowledged put %d is not as it was written: %d bytes, version %d, revision %d", i, len(found.GetValue()), found.GetVersion(), found.GetModRevision())
		}
	}
	if _, err := os.Stat(server.DataDir); err != nil {
		t.Fatal(err)
	}
}

// awaitWritable retries until a put is taken; a member may need a moment to see that there is room.
func awaitWritable(t *testing.T, kv pb.KVClient) {
	t.Helper()
	deadline := time.Now().Add(verifyWaitMax)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), writeWaitMax)
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("room"), Value: []byte("again")})
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("with room again, puts still fail: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
