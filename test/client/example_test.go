package client

import (
	"os/exec"
	"testing"

	"netcd.test/member"
)

// TestExample runs the example in Go, as its head says, against a member.
func TestExample(t *testing.T) {
	m := member.StartNetcd(t)
	run := exec.CommandContext(t.Context(), "go", "run", ".", m.Endpoint())
	run.Dir = "../../examples/go"
	said, err := run.CombinedOutput()
	if err != nil || string(said) != "3 workers counted to 3\n" {
		t.Fatalf("%v: %s", err, said)
	}
}
