// One start of a server with one value of a flag, and what came of it: refused with which text, or served, and whether
// a put and a watch work then.
package compat

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"netcd.test/member"
)

const (
	// numberServeMax bounds a start; a server that does not answer a read by then is taken for one that never does.
	numberServeMax = 10 * time.Second
	// numberCallMax bounds the put, and the wait for its event.
	numberCallMax = 5 * time.Second
)

// source is where a server reads a value from.
type source string

const (
	fromFlag        source = "flag"
	fromEnvironment source = "environment"
	fromFile        source = "file"
)

// setting is one value of one flag, as its text.
type setting struct{ flag, text string }

// given is a setting and how a config file has its value.
type given struct {
	setting
	inFile string
}

// numberStart is a start with these settings, all from one source.
type numberStart struct {
	settings []given
	from     source
}

func (s numberStart) String() string {
	var parts []string
	for _, each := range s.settings {
		parts = append(parts, each.flag+"="+each.text)
	}
	if len(parts) > 1 {
		parts = append(parts[:1], fmt.Sprintf("and %d more", len(parts)-1))
	}
	return fmt.Sprintf("%s: %s", s.from, strings.Join(parts, " "))
}

// outcome starts the server and says what came of it.
func (s numberStart) outcome(t *testing.T, label, binary string) string {
	t.Helper()
	server, err := s.describe(t, label, binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Launch(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	connection := server.Connect(t)
	kv := pb.NewKVClient(connection)
	for deadline := time.Now().Add(numberServeMax); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
		cancel()
		if err == nil {
			break
		}
		if !server.Running() {
			log, err := server.Log()
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("ends with %d: %s", server.ExitCode(), reason(log))
		}
		if time.Now().After(deadline) {
			return "never serves: " + member.Outcome(err)
		}
	}
	return "serves: " + putAndWatch(t, pb.NewKVClient(connection), pb.NewWatchClient(connection))
}

// putAndWatch watches a key, puts it and waits for the event.
func putAndWatch(t *testing.T, kv pb.KVClient, watches pb.WatchClient) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), numberCallMax)
	defer cancel()
	stream, err := watches.Watch(ctx)
	if err != nil {
		return "watch " + member.Outcome(err)
	}
	create := &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: create}); err != nil {
		return "watch " + member.Outcome(err)
	}
	if _, err := stream.Recv(); err != nil {
		return "watch " + member.Outcome(err)
	}
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}); err != nil {
		return "put " + member.Outcome(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return "event " + member.Outcome(err)
	}
	return fmt.Sprintf("put and %d event", len(answer.Events))
}

func (s numberStart) describe(t *testing.T, label, binary string) (*member.Member, error) {
	t.Helper()
	options := member.Options{Label: label, Binary: binary, Dir: t.TempDir()}
	switch s.from {
	case fromFlag:
		for _, each := range s.settings {
			options.Flags = append(options.Flags, "--"+each.flag+"="+each.text)
		}
	case fromEnvironment:
		for _, each := range s.settings {
			variable := "ETCD_" + strings.ToUpper(strings.ReplaceAll(each.flag, "-", "_"))
			options.Place.Environment = append(options.Place.Environment, variable+"="+each.text)
		}
	case fromFile:
		options.Flags = []string{"--config-file=" + filepath.Join(options.Dir, "config.yaml")}
	}
	server, err := member.New(options)
	if err != nil || s.from != fromFile {
		return server, err
	}
	// A file replaces all flags, the member's own ones too.
	lines := []string{
		"name: m1", "data-dir: " + server.DataDir,
		"listen-client-urls: " + server.ClientURL, "advertise-client-urls: " + server.ClientURL,
		"listen-peer-urls: " + server.PeerURL, "initial-advertise-peer-urls: " + server.PeerURL,
		"initial-cluster: m1=" + server.PeerURL,
	}
	for _, each := range s.settings {
		lines = append(lines, yamlOf(each))
	}
	return server, os.WriteFile(filepath.Join(options.Dir, "config.yaml"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// yamlOf is the line of a config file, where durations of the discovery service are deeper.
func yamlOf(each given) string {
	if key, found := strings.CutPrefix(each.flag, "discovery-"); found {
		return fmt.Sprintf("discovery-config: {client: {%s: %s}}", key, each.inFile)
	}
	return each.flag + ": " + each.inFile
}
