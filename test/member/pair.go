// Which binaries are compared, and starting both for a test.
package member

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/backoff"
)

var quickBackoff = backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}

// Root is the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Netcd is the path of the server under test: $NETCD, or bin/netcd.
func Netcd() string { return fromEnvironment("NETCD", "bin/netcd") }

// Etcd is the path of the reference server: $ETCD, or bin/reference/etcd.
func Etcd() string { return fromEnvironment("ETCD", "bin/reference/etcd") }

// Reference is the path of another tool in bin/reference.
func Reference(name string) string { return filepath.Join(Root(), "bin/reference", name) }

func fromEnvironment(variable, fallback string) string {
	if path := os.Getenv(variable); path != "" {
		return path
	}
	return filepath.Join(Root(), fallback)
}

// Need skips the test aloud when a tool is missing; with CI=true a missing tool is a failure.
func Need(t testing.TB, path string) {
	t.Helper()
	if _, err := exec.LookPath(path); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: run scripts/setup-reference.sh and npm run build", path)
	}
	t.Skipf("SKIPPED: %s is missing: run scripts/setup-reference.sh and npm run build", path)
}

// StartNetcd starts the server under test alone; it is killed at the end of the test.
func StartNetcd(t testing.TB, flags ...string) *Member {
	t.Helper()
	return startFor(t, "netcd", Netcd(), flags)
}

// StartEtcd starts the reference server alone; it is killed at the end of the test.
func StartEtcd(t testing.TB, flags ...string) *Member {
	t.Helper()
	return startFor(t, "etcd", Etcd(), flags)
}

// StartPair starts netcd and etcd with the same flags; both are killed at the end of the test.
func StartPair(t testing.TB, flags ...string) (netcd, etcd *Member) {
	t.Helper()
	Need(t, Etcd())
	return startFor(t, "netcd", Netcd(), flags), startFor(t, "etcd", Etcd(), flags)
}

// StartPairAt is StartPair with a place for each, whose ports differ when the place names none.
func StartPairAt(t testing.TB, place Place, flags ...string) (netcd, etcd *Member) {
	t.Helper()
	Need(t, Etcd())
	return StartAt(t, "netcd", Netcd(), place, flags...), StartAt(t, "etcd", Etcd(), place, flags...)
}

func startFor(t testing.TB, label, binary string, flags []string) *Member {
	t.Helper()
	return StartAt(t, label, binary, Place{}, flags...)
}

// StartAt starts a server alone at a place; it is killed at the end of the test.
func StartAt(t testing.TB, label, binary string, place Place, flags ...string) *Member {
	t.Helper()
	Need(t, binary)
	started, err := New(Options{Label: label, Binary: binary, Dir: t.TempDir(), Place: place, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	started.secure(t, issuer(t))
	if err := started.Start(); err != nil {
		t.Fatal(err)
	}
	started.enableAuth(t)
	t.Cleanup(func() {
		if err := started.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s's log:\n%s", label, started.LogTail())
		}
	})
	return started
}

// FreeURL is a URL of loopback with a free port.
func FreeURL(scheme string) (string, error) {
	port, err := freePort()
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port), err
}
