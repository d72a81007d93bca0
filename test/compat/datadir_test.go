// Data directories with what does not belong there: what the server says about it, and whether it starts.
package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netcd.test/member"
)

// dirCase is a data directory before the start: names with a slash at their end are directories.
type dirCase struct {
	names []string
	// mode is the data directory's, and of those in it.
	mode os.FileMode
	// starts is false where the server must end by itself.
	starts bool
}

var dirCases = map[string]dirCase{
	"proxy":               {names: []string{"proxy/"}, mode: 0o700},
	"proxy-file":          {names: []string{"proxy", "other"}, mode: 0o700},
	"proxy-beside":        {names: []string{"proxy/", "member/", "foo/"}, mode: 0o700},
	"unknown":             {names: []string{"foo/", "bar", "Member/", ".hidden"}, mode: 0o700, starts: true},
	"unknown-beside":      {names: []string{"member/", "lost+found/"}, mode: 0o700, starts: true},
	"unknown-inside":      {names: []string{"member/", "member/strange/", "member/x"}, mode: 0o700, starts: true},
	"member-is-file":      {names: []string{"member"}, mode: 0o700},
	"not-writable":        {names: []string{".touch/"}, mode: 0o700},
	"member-not-writable": {names: []string{"member/", "member/.touch/"}, mode: 0o700},
	"open-to-others":      {names: []string{"member/"}, mode: 0o755, starts: true},
	"open-to-a-group":     {mode: 0o750, starts: true},
}

func TestDataDirectories(t *testing.T) {
	member.Need(t, member.Etcd())
	for name, given := range dirCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := given.outcome(t, member.Netcd()), given.outcome(t, member.Etcd())
			if ours != theirs {
				t.Errorf("netcd:\n%s\netcd:\n%s", ours, theirs)
			}
		})
	}
}

// aboutDirectories are the messages that are compared, beside those of an end.
var aboutDirectories = []string{"found invalid file under data directory", "check file permission", "bootstrap failed",
	"invalid datadir; both member and proxy directories exist", "v2 http proxy has already been deprecated in 3.6"}

// outcome is what the server says about its directory, and how it ends; one that serves is stopped.
func (d dirCase) outcome(t *testing.T, binary string) string {
	t.Helper()
	directory := t.TempDir()
	d.prepare(t, filepath.Join(directory, "data"))
	command := exec.Command(binary, "--data-dir=data", "--listen-client-urls=unix://localhost:1", "--advertise-client-urls=unix://localhost:1",
		"--listen-peer-urls=unix://localhost:2", "--initial-advertise-peer-urls=unix://localhost:2", "--initial-cluster=default=unix://localhost:2")
	command.Dir = directory
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + directory}
	output := &lockedBuffer{}
	command.Stderr = output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait() // How it ended is asked below.
	}()
	served := func() bool { return strings.Contains(output.String(), "ready to serve client requests") }
	awaitEither(t, exited, served)
	ended := "serves"
	if !served() {
		ended = fmt.Sprintf("code %d", command.ProcessState.ExitCode())
	} else if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-exited
	if (ended == "serves") != d.starts {
		t.Errorf("%s: %s\n%s", binary, ended, output.String())
	}
	return ended + "\n" + strings.ReplaceAll(saidOfDirectories(output.String()), directory, "DIR")
}

func (d dirCase) prepare(t *testing.T, data string) {
	t.Helper()
	if err := os.Mkdir(data, d.mode); err != nil {
		t.Fatal(err)
	}
	for _, name := range d.names {
		path := filepath.Join(data, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, d.mode)
		} else {
			err = os.WriteFile(path, nil, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// Whatever the umask is.
	if err := os.Chmod(data, d.mode); err != nil {
		t.Fatal(err)
	}
}

// awaitEither waits for the end of the process or for the condition.
func awaitEither(t *testing.T, exited <-chan struct{}, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(refusalWaitMax); time.Now().Before(deadline); {
		select {
		case <-exited:
			return
		case <-time.After(20 * time.Millisecond):
			if condition() {
				return
			}
		}
	}
	t.Fatal("it neither serves nor ends")
}

func saidOfDirectories(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			if strings.HasPrefix(line, "panic: ") {
				said = append(said, strings.TrimSpace(line))
			}
			continue
		}
		message, level := fmt.Sprint(entry["msg"]), fmt.Sprint(entry["level"])
		if !slices.Contains(aboutDirectories, message) && level != "fatal" {
			continue
		}
		var fields []string
		for name, value := range entry {
			if !slices.Contains([]string{"ts", "caller", "stacktrace", "level", "msg"}, name) {
				fields = append(fields, fmt.Sprintf("%s=%v", name, value))
			}
		}
		slices.Sort(fields)
		said = append(said, fmt.Sprintf("%s %q %v", level, message, fields))
	}
	return strings.Join(said, "\n")
}

// lockedBuffer is read while the process writes.
type lockedBuffer struct {
	lock   sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.buffer.String()
}
