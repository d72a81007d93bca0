// The nodes of kubeadm's manifests: addresses and directories in place of theirs, and what the kubelet asks.
package compat

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"
)

// What the manifests name, and what is put in its place. Ports stay as they are.
const (
	manifestPKI      = "/etc/kubernetes/pki/etcd"
	manifestData     = "/var/lib/etcd"
	manifestLoopback = "127.0.0.1"
	// probesWaitMax bounds the time until a node is ready: the failures that the startup probe allows, ten seconds apart.
	probesWaitMax = member.ServeWaitMax
)

var manifestNodes = []string{"192.0.2.11", "192.0.2.12"}

// oldProbes are those of kubeadm before 1.31; its users' own manifests have them still.
var oldProbes = []string{"/health?exclude=NOSPACE&serializable=true", "/health?serializable=false", "/health"}

// manifest is what a kubelet needs of a static pod.
type manifest struct {
	Spec struct{ Containers []container }
}

type container struct {
	Command []string
	Ports   []struct {
		Name          string
		ContainerPort int
	}
	LivenessProbe, ReadinessProbe, StartupProbe probe
}

type probe struct {
	HTTPGet struct {
		Host, Path, Scheme string
		// Port is a number or the name of one of the container's.
		Port any
	}
}

// addresses stand for 127.0.0.1 of a node and for what it has in the network.
type addresses struct{ loopback, node string }

// controlPlane is nodes on addresses of loopback that are this test's alone.
type controlPlane struct {
	t             *testing.T
	label, binary string
	pki           *kubeadmPKI
	address       []addresses
	nodes         []*node
	told          []string
}

type node struct {
	*member.Member
	container container
	// client is host:port of the URL that kube-apiserver and kubeadm use.
	client string
}

func newControlPlane(t *testing.T, label, binary string, at int) *controlPlane {
	plane := &controlPlane{t: t, label: label, binary: binary, pki: newKubeadmPKI(t)}
	// All of 127.0.0.0/8 is loopback; the process id keeps tests apart that run side by side.
	network := fmt.Sprintf("127.%d.%d", 64+os.Getpid()/250%128, 1+os.Getpid()%250)
	for number := range manifestNodes {
		last := 1 + 4*at + 2*number
		plane.address = append(plane.address, addresses{fmt.Sprintf("%s.%d", network, last), fmt.Sprintf("%s.%d", network, last+1)})
	}
	return plane
}

// start runs the manifest of the next node.
func (p *controlPlane) start(file string) *node {
	p.t.Helper()
	number := len(p.nodes)
	at, directory := p.address[number], p.t.TempDir()
	p.pki.forNode(p.t, filepath.Join(directory, "pki"), fmt.Sprintf("cp-%d", number+1), manifestLoopback, at.loopback, at.node)
	text, err := os.ReadFile(filepath.Join(member.Root(), "test/compat/kubeadm", file))
	p.do("read the manifest", err)
	replaced := strings.NewReplacer(
		manifestPKI, filepath.Join(directory, "pki"), manifestData, filepath.Join(directory, "data"),
		manifestLoopback, at.loopback, manifestNodes[0], p.address[0].node, manifestNodes[1], p.address[1].node).Replace(string(text))
	var read manifest
	p.do("parse the manifest", yaml.Unmarshal([]byte(replaced), &read))
	one := &node{container: read.Spec.Containers[0], client: at.loopback + ":2379"}
	one.Member, err = member.New(member.Options{Label: fmt.Sprintf("%s-cp-%d", p.label, number+1), Binary: p.binary, Dir: directory,
		Arguments: one.container.Command[1:]})
	p.do("describe the node", err)
	p.do("start the node", one.Launch())
	p.t.Cleanup(func() {
		p.do("kill the node", one.Kill())
		if p.t.Failed() {
			p.t.Logf("end of %s's log:\n%s", one.Label, one.LogTail())
		}
	})
	p.nodes = append(p.nodes, one)
	return one
}

// url is where the kubelet asks.
func (one *node) url(asked probe) string {
	port := fmt.Sprint(asked.HTTPGet.Port)
	for _, each := range one.container.Ports {
		if each.Name == port {
			port = fmt.Sprint(each.ContainerPort)
		}
	}
	return fmt.Sprintf("%s://%s:%s%s", strings.ToLower(asked.HTTPGet.Scheme), asked.HTTPGet.Host, port, asked.HTTPGet.Path)
}

// await asks until the probe is content, as a kubelet does.
func (p *controlPlane) await(one *node, asked probe) {
	p.t.Helper()
	deadline := time.Now().Add(probesWaitMax)
	for {
		status, body, err := fetchedFrom(http.DefaultClient, one.url(asked))
		if err == nil && status == http.StatusOK {
			return
		}
		if !one.Running() || time.Now().After(deadline) {
			p.t.Fatalf("%s: %s: %d %s %v: %s", p.label, one.url(asked), status, body, err, one.LogTail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// probe tells what every probe of the manifest gets, and those of older ones at the same place.
func (p *controlPlane) probe(one *node) {
	p.t.Helper()
	asked := []probe{one.container.StartupProbe, one.container.LivenessProbe, one.container.ReadinessProbe}
	for _, path := range oldProbes {
		older := one.container.LivenessProbe
		older.HTTPGet.Path = path
		asked = append(asked, older)
	}
	for _, each := range asked {
		p.await(one, each)
		status, body, err := fetchedFrom(http.DefaultClient, one.url(each))
		p.tell("%s: %d %q %v", each.HTTPGet.Path, status, body, err)
	}
}

func fetchedFrom(client *http.Client, url string) (status int, body string, err error) {
	answer, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// client is one of etcd's own clients with a certificate of the PKI.
func (p *controlPlane) client(one *node, name string) *clientv3.Client {
	p.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + one.client}, TLS: p.pki.config(name)})
	p.do("make a client", err)
	p.t.Cleanup(func() { client.Close() })
	return client
}

// admitted is whether the node's client port lets in who has this certificate; "": none.
func (p *controlPlane) admitted(one *node, name string) bool {
	p.t.Helper()
	transport := &http.Transport{TLSClientConfig: p.pki.config(name), DisableKeepAlives: true}
	_, _, err := fetchedFrom(&http.Client{Transport: transport, Timeout: callWaitMax}, "https://"+one.client+"/version")
	return err == nil
}
