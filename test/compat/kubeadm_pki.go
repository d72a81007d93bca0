// The certificates that kubeadm makes: RSA keys of 2048 bits, one CA for etcd, and certificates of a node and of clients.
package compat

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"netcd.test/authority"
)

type kubeadmPKI struct {
	etcd *authority.Authority
	// directory has what clients use; each node has a directory of its own.
	directory string
	clients   map[string]*authority.Pair
}

func newKubeadmPKI(t *testing.T) *kubeadmPKI {
	p := &kubeadmPKI{etcd: authority.NewRSA(t, "etcd-ca"), directory: t.TempDir(), clients: map[string]*authority.Pair{}}
	asClient := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	other := authority.NewRSA(t, "front-proxy-ca")
	p.clients["ca"] = &p.etcd.Pair
	p.clients["apiserver-etcd-client"] = p.etcd.Issue(t, authority.Request{CommonName: "kube-apiserver-etcd-client", Usages: asClient})
	p.clients["healthcheck-client"] = p.etcd.Issue(t, authority.Request{CommonName: "kube-etcd-healthcheck-client", Usages: asClient})
	p.clients["front-proxy-client"] = other.Issue(t, authority.Request{CommonName: "front-proxy-client", Usages: asClient})
	for name, pair := range p.clients {
		pair.Write(t, p.directory, name)
	}
	return p
}

// forNode makes what stands in a node's /etc/kubernetes/pki/etcd.
func (p *kubeadmPKI) forNode(t *testing.T, directory, name string, addresses ...string) {
	t.Helper()
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	p.etcd.Write(t, directory, "ca")
	hosts := append([]string{name, "localhost", "::1"}, addresses...)
	for _, file := range []string{"server", "peer"} {
		p.etcd.Issue(t, authority.Request{CommonName: name, Hosts: hosts}).Write(t, directory, file)
	}
}

// files are certificate and key of a client, or of the CA.
func (p *kubeadmPKI) files(name string) (certificate, key string) {
	return p.directory + "/" + name + ".crt", p.directory + "/" + name + ".key"
}

// config is that of a Go client; "": one without a certificate.
func (p *kubeadmPKI) config(t *testing.T, name string) *tls.Config {
	t.Helper()
	return p.clients[name].Config(t, p.etcd)
}
