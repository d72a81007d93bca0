// The certificates that kubeadm makes: RSA keys of 2048 bits, one CA for etcd, and certificates of a node and of clients.
package compat

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"netcd.test/member"
)

type kubeadmPKI struct {
	etcd *member.Authority
	// clients are those of apiserver, kubeadm's health check, and one of Kubernetes' other CA.
	clients map[string]*member.Pair
}

func newKubeadmPKI(t *testing.T) *kubeadmPKI {
	directory := t.TempDir()
	p := &kubeadmPKI{etcd: member.NewAuthorityOf(t, directory, "etcd-ca", member.RSA2048, member.PKCS1)}
	other := member.NewAuthorityOf(t, directory, "front-proxy-ca", member.RSA2048, member.PKCS1)
	forClient := func(of *member.Authority, name, commonName string) *member.Pair {
		return of.Issue(t, name, member.Leaf{CommonName: commonName, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			Key: member.RSA2048, Form: member.PKCS1})
	}
	p.clients = map[string]*member.Pair{
		"apiserver-etcd-client": forClient(p.etcd, "apiserver-etcd-client", "kube-apiserver-etcd-client"),
		"healthcheck-client":    forClient(p.etcd, "healthcheck-client", "kube-etcd-healthcheck-client"),
		"front-proxy-client":    forClient(other, "front-proxy-client", "front-proxy-client"),
	}
	return p
}

// forNode makes what stands in a node's /etc/kubernetes/pki/etcd.
func (p *kubeadmPKI) forNode(t *testing.T, directory, name string, addresses ...string) {
	t.Helper()
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	member.Bundle(t, filepath.Join(directory, "ca.crt"), &p.etcd.Pair)
	for _, file := range []string{"server", "peer"} {
		p.etcd.IssueIn(t, directory, file, member.Leaf{CommonName: name, DNS: []string{name, "localhost"}, IPs: append(addresses, "::1"),
			Key: member.RSA2048, Form: member.PKCS1})
	}
}

// config is that of a Go client; "": one without a certificate.
func (p *kubeadmPKI) config(name string) *tls.Config {
	config := &tls.Config{RootCAs: member.Pool(p.etcd)}
	if shown := p.clients[name]; shown != nil {
		config.Certificates = []tls.Certificate{shown.TLS()}
	}
	return config
}
