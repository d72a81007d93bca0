// Runs one etcdctl command against one server and renders what it printed, with what may differ masked.
package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"netcd.test/member"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"
)

// commandWaitMax bounds one command, a long-running one included.
const commandWaitMax = 30 * time.Second

// step is one command of a script.
type step struct {
	arguments []string
	stdin     string
	// terminal has stdin typed at one, where passwords are asked for.
	terminal bool
	// environment adds NAME=value pairs.
	environment []string
	// captures is a pattern whose first group is remembered for $ID in later arguments and masked in output.
	captures string
	// meanwhile are commands that run once the command has printed startLines lines; it is interrupted
	// when it has printed endLines lines.
	meanwhile            []step
	startLines, endLines int
	// sortLines is for output whose lines have no order.
	sortLines bool
}

// target is a server with what must be masked in what it makes etcdctl print.
type target struct {
	server   *member.Member
	masks    []string
	captured string
}

func newTarget(t *testing.T, server *member.Member) *target {
	t.Helper()
	connection := server.Connect(t)
	ctx, cancel := context.WithTimeout(context.Background(), callWaitMax)
	defer cancel()
	status, err := pb.NewMaintenanceClient(connection).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		t.Fatalf("%s: %v", server.Label, err)
	}
	masks := []string{server.Endpoint(), "ENDPOINT", server.PeerEndpoint(), "PEER"}
	for name, id := range map[string]uint64{"CLUSTER": status.Header.ClusterId, "MEMBER": status.Header.MemberId} {
		masks = append(masks, fmt.Sprintf("%d", id), name, fmt.Sprintf("%016x", id), name, fmt.Sprintf("%x", id), name)
	}
	return &target{server: server, masks: masks}
}

// run makes the command and waits for it, or interrupts it as the step says.
func (target *target) run(t *testing.T, etcdctl string, step step) string {
	t.Helper()
	command := exec.Command(etcdctl, append(target.server.Etcdctl(), target.expand(step.arguments)...)...)
	command.Env = append(environment(), step.environment...)
	command.Env = append(command.Env, target.expand([]string{"CAPTURED=$ID"})...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	stdout := &lineCounter{grown: make(chan struct{}, 1)}
	command.Stdout, command.Stderr = stdout, &stderr
	stdin := stdinOf(t, command, step)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, step.stdin); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	if step.endLines == 0 && !step.terminal {
		stdin.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var during string
	if step.endLines > 0 {
		stdout.await(t, step.startLines)
		for _, other := range step.meanwhile {
			during += target.run(t, etcdctl, other)
		}
		stdout.await(t, step.endLines)
		if err := command.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	select {
	case <-ended:
	case <-time.After(commandWaitMax):
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-ended
		return fmt.Sprintf("did not end; stdout %q stderr %q", stdout.text(), stderr.String())
	}
	if step.captures != "" {
		if found := regexp.MustCompile(step.captures).FindStringSubmatch(stdout.text()); found != nil {
			target.captured = found[1]
		}
	}
	lines := strings.Split(stdout.text(), "\n")
	if step.sortLines {
		lines = sorted(lines)
	}
	return fmt.Sprintf("%sexit %d\n  stdout %q\n  stderr %q", during, command.ProcessState.ExitCode(),
		target.masked(strings.Join(lines, "\n")), target.masked(withoutWarnings(stderr.String())))
}

// stdinOf is where the command's input is written: a pipe or a terminal.
func stdinOf(t *testing.T, command *exec.Cmd, step step) io.WriteCloser {
	t.Helper()
	if step.terminal {
		typed, read := terminal(t)
		command.Stdin = read
		return typed
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return stdin
}

// terminal is one whose input is what is written to `typed`.
func terminal(t *testing.T) (typed, read *os.File) {
	t.Helper()
	typed, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { typed.Close() })
	if err := unix.IoctlSetPointerInt(int(typed.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(typed.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if read, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	return typed, read
}

func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ETCD") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (target *target) expand(arguments []string) []string {
	expanded := make([]string, len(arguments))
	for i, argument := range arguments {
		argument = strings.ReplaceAll(argument, "$ENDPOINT", target.server.Endpoint())
		expanded[i] = strings.ReplaceAll(argument, "$ID", target.captured)
	}
	return expanded
}

// patterns mask times, sizes, terms, log positions and ids that servers choose.
var patterns = []struct {
	pattern *regexp.Regexp
	mask    string
}{
	{regexp.MustCompile(`took = [0-9.]+[µnm]?s`), "took = TIME"},
	{regexp.MustCompile(`"took":"[^"]*"`), `"took":"TIME"`},
	{regexp.MustCompile(`("Took" : )"[^"]*"`), `${1}"TIME"`},
	{regexp.MustCompile(`\b[0-9.]+[µnm]s\b`), "TIME"},
	{regexp.MustCompile(`\b[0-9.]+ (k|M)?B\b`), "SIZE"},
	{regexp.MustCompile(`\b[0-9]+%`), "PERCENT"},
	{regexp.MustCompile(`("(raft_?[tT]erm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":)[0-9]+`), "${1}N"},
	{regexp.MustCompile(`("(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : )[0-9]+`), "${1}N"},
	{regexp.MustCompile(`(true|false), [0-9]+, [0-9]+, [0-9]+,`), "${1}, N, N, N,"},
	{regexp.MustCompile(`(true|false), [0-9]+, [0-9]+\b`), "${1}, N, N"},
	// Term, index and applied index, each between the bars of a table.
	{regexp.MustCompile(`(│|\|) +[0-9]+ +(│|\|) +[0-9]+ +(│|\|) +[0-9]+ +(│|\|)`), "$1 N $2 N $3 N $4"},
	{regexp.MustCompile(`[─-]{3,}`), "─"},
	{regexp.MustCompile(`  +`), " "},
	{regexp.MustCompile(`(remaining\()[0-9]+s`), "${1}N s"},
	{regexp.MustCompile(`("ttl":)[0-9]+`), "${1}N"},
	{regexp.MustCompile(`("TTL" : )[0-9]+`), "${1}N"},
	{regexp.MustCompile(`([a-z0-9]/)[0-9a-f]{10,16}\b`), "${1}LEASE"},
}

func (target *target) masked(text string) string {
	masks := target.masks
	if target.captured != "" {
		masks = append([]string{target.captured, "ID"}, masks...)
		// json and fields forms print the same id in decimal.
		if id, err := strconv.ParseUint(target.captured, 16, 64); err == nil {
			masks = append([]string{strconv.FormatUint(id, 10), "ID"}, masks...)
		}
	}
	text = strings.NewReplacer(masks...).Replace(text)
	for _, one := range patterns {
		text = one.pattern.ReplaceAllString(text, one.mask)
	}
	return text
}

// withoutWarnings drops the client's own log lines, which carry times and addresses.
func withoutWarnings(text string) string {
	var kept []string
	for _, line := range strings.SplitAfter(text, "\n") {
		if !strings.HasPrefix(line, `{"level":`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// lineCounter collects what a running command prints and tells when there is more.
type lineCounter struct {
	lock  sync.Mutex
	bytes bytes.Buffer
	grown chan struct{}
}

func (c *lineCounter) Write(data []byte) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.bytes.Write(data)
	select {
	case c.grown <- struct{}{}:
	default:
	}
	return len(data), nil
}

func (c *lineCounter) text() string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.bytes.String()
}

// await waits for that many lines; a command that prints fewer shows in the comparison.
func (c *lineCounter) await(t *testing.T, lines int) {
	t.Helper()
	timeout := time.After(commandWaitMax / 3)
	for strings.Count(c.text(), "\n") < lines {
		select {
		case <-c.grown:
		case <-timeout:
			t.Logf("only %d of %d lines: %q", strings.Count(c.text(), "\n"), lines, c.text())
			return
		}
	}
}

// commandText is how a step is named in reports.
func commandText(step step) string {
	return fmt.Sprintf("%q stdin %q", step.arguments, step.stdin)
}
