// Unmodified etcdctl 3.7.3 and 3.4 against both servers: the same output and exit codes.
package compat

import (
	"sync"
	"testing"

	"netcd.test/member"
)

func TestEtcdctl(t *testing.T) {
	for _, version := range []string{"etcdctl", "etcdctl-3.4"} {
		compareScripts(t, version, func(script) bool { return true })
	}
}

// compareScripts runs those scripts of one etcdctl that are chosen.
func compareScripts(t *testing.T, version string, chosen func(script) bool) {
	for _, script := range scripts(version) {
		if !chosen(script) {
			continue
		}
		t.Run(version+"/"+script.name, func(t *testing.T) {
			t.Parallel()
			need(t, script.needs)
			etcdctl := member.Reference(version)
			member.Need(t, etcdctl)
			p := newPair(t, version+" "+script.name)
			defer p.report()
			awaitClusterVersion(t, p)
			netcd, etcd := newTarget(t, p.servers[0]), newTarget(t, p.servers[1])
			for _, step := range script.steps {
				p.compareCommand(t, etcdctl, step, netcd, etcd)
			}
		})
	}
}

func (p *pair) compareCommand(t *testing.T, etcdctl string, step step, netcd, etcd *target) {
	var ours, theirs string
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); ours = netcd.run(t, etcdctl, step) }()
	go func() { defer both.Done(); theirs = etcd.run(t, etcdctl, step) }()
	both.Wait()
	p.compared++
	if ours != theirs {
		p.differ("etcdctl "+commandText(step), ours, theirs)
	}
}
