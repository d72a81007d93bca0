// Command lines, environments and config files that etcd refuses: netcd ends with the same code for the same reason.
package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netcd.test/member"
)

// refusalWaitMax bounds one start; every one of them must end by itself.
const refusalWaitMax = 30 * time.Second

// refused is one start that etcd refuses before it opens a port.
type refused struct {
	args []string
	env  []string
	// file is the content of a config file, "" for none.
	file string
}

func flags(args ...string) refused      { return refused{args: args} }
func inEnvironment(env string) refused  { return refused{env: []string{env}} }
func configFile(content string) refused { return refused{file: content} }

var refusedStarts = []refused{
	flags("--bogus"), flags("---x"), flags("--=x"), flags("--name"), flags("foo"), flags("--name=a", "foo"),
	flags("--proxy=on"), flags("--experimental-initial-corrupt-check"), flags("--pre-vote", "false"),
	flags("--heartbeat-interval=-1"), flags("--heartbeat-interval=abc"), flags("--heartbeat-interval=0"),
	flags("--heartbeat-interval=1.5"), flags("--election-timeout=0"), flags("--election-timeout=400"),
	flags("--election-timeout=60000"), flags("--election-timeout=99999999999999999999"),
	flags("--heartbeat-interval=0x64", "--election-timeout=9"),
	flags("--quota-backend-bytes=abc"), flags("--max-txn-ops=-1"), flags("--max-request-bytes=1e6"),
	flags("--max-concurrent-streams=-1"), flags("--max-concurrent-streams=4294967296"),
	flags("--grpc-keepalive-min-time=5"), flags("--grpc-keepalive-min-time=5x"), flags("--grpc-keepalive-interval="),
	flags("--warning-apply-duration=foo"), flags("--pre-vote=foo"), flags("--socket-reuse-port=x"),
	flags("--max-learners=x"), flags("--bcrypt-cost=x"), flags("--snapshot-count=x"),
	flags("--compaction-batch-limit=x"), flags("--distributed-tracing-sampling-rate=x"),
	flags("--initial-cluster-state=foo"), flags("--v2-deprecation=foo"), flags("--discovery-fallback=x"),
	flags("--discovery-fallback=proxy"), flags("--feature-gates=Foo=true"), flags("--feature-gates=foo"),
	flags("--feature-gates=LeaseCheckpoint=maybe"), flags("--feature-gates=LeaseCheckpointPersist=true"),
	flags("--listen-peer-urls=foo"), flags("--listen-peer-urls=http://127.0.0.1:1/x"),
	flags("--listen-peer-urls=http://127.0.0.1"), flags("--listen-peer-urls=ftp://127.0.0.1:1"),
	flags("--listen-peer-urls=http://foo.example:23792"), flags("--listen-client-urls=http://127.0.0.1:1"),
	flags("--listen-metrics-urls=foo"), flags("--listen-metrics-urls=http://foo.example:1"),
	flags("--advertise-client-urls=http://:2379"), flags("--initial-advertise-peer-urls=http://:2380"),
	flags("--initial-advertise-peer-urls=http://127.0.0.1:1,foo"), flags("--cors=foo"),
	flags("--initial-cluster=a=http://h:1", "--discovery-srv=x"), flags("--discovery-token=x"),
	flags("--discovery-endpoints=x"), flags("--auto-compaction-mode=foo"), flags("--auto-compaction-mode="),
	flags("--tls-min-version=TLS1.1"), flags("--tls-max-version=x"),
	flags("--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"), flags("--tls-min-version=TLS1.3", "--cipher-suites=x"),
	flags("--log-format=foo"), flags("--logger=capnslog"), flags("--logger=x"), flags("--log-outputs=default,stdout"),
	flags("--log-outputs=/nonexistent/directory/file"), flags("--log-level=foo"),
	flags("--compact-hash-check-time=0s"), flags("--compact-hash-check-time=-1s"),
	flags("--config-file=/nonexistent"), flags("--config-file=/tmp"),
	inEnvironment("ETCD_HEARTBEAT_INTERVAL=abc"), inEnvironment("ETCD_ELECTION_TIMEOUT=1"),
	inEnvironment("ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1"), inEnvironment("ETCD_FEATURE_GATES=Foo=true"),
	inEnvironment("ETCD_CONFIG_FILE=/nonexistent"), inEnvironment("ETCD_INITIAL_CLUSTER_STATE=x"),
	{args: []string{"--name=a"}, env: []string{"ETCD_NAME=b"}},
	configFile("[1]"), configFile("x"), configFile("name: [a]"), configFile("heartbeat-interval: abc"),
	configFile("heartbeat-interval: -5"), configFile("heartbeat-interval: 0"), configFile("election-timeout: 200"),
	configFile("grpc-keepalive-min-time: 10m"), configFile("initial-cluster-state: foo"),
	configFile("listen-peer-urls: [a]"), configFile("quota-backend-bytes: 1.5"), configFile("pre-vote: 1"),
	configFile("feature-gates: Foo=true"), configFile("log-outputs: foo"), configFile("max-txn-ops: -1"),
	configFile("listen-client-urls: http://foo.example:1"), configFile("log-level: foo"),
	configFile("max-txn-ops: 1_000.5"), configFile("max-txn-ops: 18446744073709551616"), configFile("max-txn-ops: 1e30"),
	configFile("election-timeout: 9000000000000000000000"), configFile("snapshot-count: -3"),
	configFile("max-concurrent-streams: 4294967296"), configFile("name: y"), configFile("name: 0777"),
	configFile("Pre-Vote: 5"), configFile("NAME: [5]"), configFile("name: a\nname: [5]"), configFile("<<: {name: [5]}"),
	configFile("log-outputs: [a, 5]"), configFile("cipher-suites: a"), configFile("peer-transport-security: 5"),
	configFile("peer-transport-security: {cert-file: 5}"), configFile("feature-gates: 5"), configFile("cors: 5"),
	configFile("max-txn-ops: 1:30"), configFile("heartbeat-interval: 0b1_0\nelection-timeout: 0o11"),
	configFile("name: a\n\tname: b"), configFile("\tname: a"), configFile("x:\n\tname: a"), configFile("name: \"a\n"), configFile("x: 1\nname: 'a\n"),
	configFile("name: [a\n"), configFile("x: 1\nname: [a\ny: z\n"), configFile("name: {a\n"), configFile("name: [1,\nb: c\n"),
	configFile("name: a: b"), configFile("x: 1\nname: a: b\n"), configFile("name: a\n  b: c"), configFile("a\nb: c"),
	configFile("name: *x"), configFile("x: 1\n\nname: *y"), configFile("name: @a"), configFile("x: 1\nname: `a`"), configFile("%foo\n"),
	configFile("name: \"\\q\""), configFile("x: 1\nname: \"\\q\""), configFile("}"), configFile("a: 1\n]"), configFile("a: [b]]"),
	configFile("name: |\n  a\n b\n"), configFile("a:\n  b: c\n d: e\n"), configFile("a: 1\n- b\n"), configFile("a: 1\nnot a pair\n"),
	configFile("name: \"v\" x"), configFile("heartbeat-interval: 0\n...\nfoo: [\n"), configFile("---\nheartbeat-interval: 0\n---\nb: 1\n"),
	configFile("name: a\nname: b\nheartbeat-interval: 0"), configFile("no-such-key: 1\nheartbeat-interval: 0"),
	configFile("pre-vote: on\nelection-timeout: 011"), configFile("max-request-bytes: 1e3\nelection-timeout: 1"),
}

func TestRefusedStarts(t *testing.T) {
	member.Need(t, member.Etcd())
	// Through a symlink called etcd, as scripts that look for etcd would have it.
	etcd := filepath.Join(t.TempDir(), "etcd")
	if err := os.Symlink(member.Netcd(), etcd); err != nil {
		t.Fatal(err)
	}
	for _, start := range refusedStarts {
		t.Run(start.String(), func(t *testing.T) {
			t.Parallel()
			ours, theirs := start.outcome(t, etcd), start.outcome(t, member.Etcd())
			if ours != theirs {
				t.Errorf("netcd: %s\netcd:  %s", ours, theirs)
			}
		})
	}
}

func (r refused) String() string {
	return strings.Join(append(append([]string{}, r.env...), append(r.args, r.file)...), " ")
}

// outcome is the exit code and the reason: the error field of the line that says it, or the first line without a log.
func (r refused) outcome(t *testing.T, binary string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), refusalWaitMax)
	defer cancel()
	args := r.args
	directory := t.TempDir()
	if r.file != "" {
		if err := os.WriteFile(filepath.Join(directory, "config.yaml"), []byte(r.file), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config-file=config.yaml")
	}
	command := exec.CommandContext(ctx, binary, args...)
	command.Dir = directory
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + directory}, r.env...)
	var output bytes.Buffer
	command.Stderr = &output
	err := command.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s did not end with an exit code: %v\n%s", binary, err, output.String())
	}
	return fmt.Sprintf("code %d: %s", exit.ExitCode(), reason(output.String()))
}

func reason(output string) string {
	said := ""
	for line := range strings.Lines(output) {
		var entry struct{ Level, Msg, Error string }
		if json.Unmarshal([]byte(line), &entry) != nil {
			if said == "" {
				return strings.TrimSpace(line)
			}
			continue
		}
		if entry.Msg == "failed to verify flags" || entry.Level == "fatal" {
			said = fmt.Sprintf("%s %q %s", entry.Level, entry.Msg, entry.Error)
		}
	}
	return said
}
