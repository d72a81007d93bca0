// The suites again over TLS, with certificates on both sides and authentication: whoever calls is who his certificate
// names. Beside etcd in the same mode, as without TLS.
package compat

import (
	"testing"

	"netcd.test/member"
)

func TestOverTLS(t *testing.T) {
	root := member.Secure{User: "root", Auth: true}
	for _, suite := range []struct {
		name string
		how  member.Secure
		run  func(t *testing.T)
	}{
		{"KV", root, TestKV},
		{"KV cases", root, TestKVCases},
		{"watch", root, TestWatch},
		{"KV through followers", root, TestKVThroughFollowers},
		{"watch through followers", root, TestWatchThroughFollowers},
		{"wire format", root, TestWireFormat},
		{"maintenance", root, TestMaintenanceAtOnce},
		// Authentication goes on and off; who has no token is a user that is there now and then, as others are.
		{"auth", member.Secure{User: "u1"}, TestAuth},
		{"etcdctl", root, func(t *testing.T) {
			compareScripts(t, "etcdctl", func(one script) bool { return one.needs != users })
		}},
		{"etcdctl as root", member.Secure{User: "root"}, func(t *testing.T) {
			// The longest of them waits for what is refused.
			compareScripts(t, "etcdctl", func(one script) bool { return one.needs == users && (one.name != "auth" || member.FullDepth()) })
		}},
	} {
		t.Run(suite.name, func(t *testing.T) {
			member.OverTLS(t, suite.how)
			suite.run(t)
		})
	}
}
