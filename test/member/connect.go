// What the tests of all packages do with a member: connect for a test, and tell how a call ended.
package member

import (
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Connect is Dial for a test; the connection is closed at its end.
func (m *Member) Connect(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	connection, err := m.Dial(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

// Outcome is code and text of what a call returned, or OK.
func Outcome(err error) string {
	if err == nil {
		return "OK"
	}
	return fmt.Sprintf("%v: %s", status.Code(err), status.Convert(err).Message())
}
