// kubeadm's etcd manifests, as it writes them from 1.34 to 1.37 for the first and for the second control plane node,
// started unchanged: the kubelet's probes, what kubeadm does when a node joins, and what kube-apiserver does with its store.
package compat

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// TestKubeadmManifest tells the same story of netcd and etcd.
func TestKubeadmManifest(t *testing.T) {
	member.Need(t, member.Reference("etcdctl"))
	told := map[string]string{}
	for at, one := range []struct{ label, binary string }{{"netcd", member.Netcd()}, {"etcd", member.Etcd()}} {
		member.Need(t, one.binary)
		plane := newControlPlane(t, one.label, one.binary, at)
		plane.firstNode()
		plane.apiserver()
		plane.secondNode()
		plane.strangers()
		told[one.label] = strings.Join(plane.told, "\n")
	}
	if told["netcd"] != told["etcd"] {
		t.Fatalf("netcd:\n%s\netcd:\n%s", told["netcd"], told["etcd"])
	}
	t.Logf("both:\n%s", told["netcd"])
}

func (p *controlPlane) tell(format string, values ...any) {
	p.told = append(p.told, fmt.Sprintf(format, values...))
}

// do is a step that must succeed.
func (p *controlPlane) do(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.label, what, err)
	}
}

func (p *controlPlane) firstNode() {
	one := p.start("init.yaml")
	p.probe(one)
	p.tell("health check's client: %s", p.etcdctl(one, "healthcheck-client", "endpoint", "health"))
}

// secondNode is what `kubeadm join` does: the node is added as a learner, started, and promoted once it has caught up.
func (p *controlPlane) secondNode() {
	client := p.client(p.nodes[0], "healthcheck-client")
	ctx, cancel := context.WithTimeout(p.t.Context(), member.ServeWaitMax)
	defer cancel()
	added, err := client.MemberAddAsLearner(ctx, []string{fmt.Sprintf("https://%s:2380", p.address[1].node)})
	p.do("add the second node", err)
	one := p.start("join.yaml")
	// It is not ready while it is a learner.
	p.await(one, one.container.LivenessProbe)
	for {
		_, err = client.MemberPromote(ctx, added.Member.ID)
		if err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.do("promote the second node", err)
	p.probe(one)
	listed, err := client.MemberList(ctx)
	p.do("list the members", err)
	var names []string
	for _, each := range listed.Members {
		names = append(names, fmt.Sprintf("%s learner=%v", each.Name, each.IsLearner))
	}
	slices.Sort(names)
	p.tell("members: %v", names)
	found, err := kubernetes.Client{Client: p.client(one, "apiserver-etcd-client")}.Count(ctx, "/registry/pods/", kubernetes.CountOptions{})
	p.tell("pods through the second node: %d, %v", found, err)
}

// apiserver makes the calls of kube-apiserver's store with its certificate, and compares what they say.
func (p *controlPlane) apiserver() {
	client := p.client(p.nodes[0], "apiserver-etcd-client")
	store := kubernetes.Client{Client: client}
	ctx, cancel := context.WithTimeout(p.t.Context(), member.ServeWaitMax)
	defer cancel()
	events := client.Watch(clientv3.WithRequireLeader(ctx), "/registry/pods/", clientv3.WithPrefix(), clientv3.WithPrevKV(),
		clientv3.WithProgressNotify(), clientv3.WithRev(2))
	const pod = "/registry/pods/default/a"
	put := func(key, value string, expected int64, options kubernetes.PutOptions) int64 {
		answer, err := store.OptimisticPut(ctx, key, []byte(value), expected, options)
		p.tell("put %s at %d: %v %v at %d", value, expected, answer.Succeeded, err, answer.Revision)
		return answer.Revision
	}
	created := put(pod, "created", 0, kubernetes.PutOptions{GetOnFailure: true})
	put(pod, "created again", 0, kubernetes.PutOptions{GetOnFailure: true})
	updated := put(pod, "updated", created, kubernetes.PutOptions{GetOnFailure: true})
	lease, err := client.Grant(ctx, 3600)
	p.do("grant a lease", err)
	put("/registry/events/a", "event", 0, kubernetes.PutOptions{LeaseID: lease.ID})
	list, err := store.List(ctx, "/registry/", kubernetes.ListOptions{Limit: 1})
	p.do("list", err)
	p.tell("first page: %s at %d, %d in all", list.Kvs[0].Key, list.Kvs[0].ModRevision, list.Count)
	deleted, err := store.OptimisticDelete(ctx, pod, updated, kubernetes.DeleteOptions{GetOnFailure: true})
	p.tell("delete: %v, %v", deleted, err)
	for seen := 0; seen < 3; {
		response, open := <-events
		if !open || response.Err() != nil {
			p.t.Fatalf("%s: the watch ended after %d events: %v", p.label, seen, response.Err())
		}
		for _, event := range response.Events {
			seen++
			p.tell("event %s %s at %d, before %q", event.Type, event.Kv.Value, event.Kv.ModRevision, event.PrevKv.GetValue())
		}
	}
	p.do("ask for progress", client.RequestProgress(clientv3.WithRequireLeader(ctx)))
	_, err = client.Compact(ctx, updated)
	p.do("compact", err)
	_, err = store.Get(ctx, pod, kubernetes.GetOptions{Revision: created})
	p.tell("a compacted revision: %v", err == rpctypes.ErrCompacted)
	put("/registry/pods/default/b", "kept", 0, kubernetes.PutOptions{})
}

// strangers are refused: who has no certificate, and who has one of Kubernetes' other CA.
func (p *controlPlane) strangers() {
	for _, name := range []string{"", "front-proxy-client"} {
		for _, one := range p.nodes {
			p.tell("as %q: let in %v", name, p.admitted(one, name))
		}
	}
	p.tell("by etcdctl: %s", p.etcdctl(p.nodes[1], "front-proxy-client", "--command-timeout=1s", "get", "a"))
}

// etcdctl runs it with a certificate of the PKI, and returns how it ended.
func (p *controlPlane) etcdctl(one *node, name string, arguments ...string) string {
	p.t.Helper()
	shown := p.pki.clients[name]
	command := exec.Command(member.Reference("etcdctl"), append([]string{"--endpoints=https://" + one.client,
		"--cacert=" + p.pki.etcd.CertFile, "--cert=" + shown.CertFile, "--key=" + shown.KeyFile}, arguments...)...)
	command.Env = environment()
	output, err := command.CombinedOutput()
	said := "refused"
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "is healthy") {
			said = "healthy"
		}
	}
	return fmt.Sprintf("%s, %v", said, err)
}
