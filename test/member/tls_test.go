package member

import (
	"bytes"
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestEtcdServesTheCertificatesOfTests shows that what the tests make is what etcd takes: every kind of key, mutual
// TLS on both URLs, and a list that revokes.
func TestEtcdServesTheCertificatesOfTests(t *testing.T) {
	Need(t, Etcd())
	files := NewCertificates(t)
	kinds := []Leaf{{}, {Key: P384, Form: SEC1}, {Key: P521, Form: SEC1}, {Key: Ed25519}, {Key: RSA2048, Form: PKCS1}}
	revoked := files.CA.Issue(t, "revoked", Leaf{CommonName: "revoked"})
	list := files.Dir + "/list.crl"
	files.CA.Revoke(t, list, revoked)
	etcd := StartAt(t, "etcd", Etcd(), Place{TLS: files.Mutual()}, "--client-crl-file="+list)
	for _, leaf := range kinds {
		leaf.CommonName = "kind"
		pair := files.CA.Intermediate(t, "below").Issue(t, "kind", leaf)
		if text, err := put(t, etcd, files, pair); err != nil {
			t.Errorf("%s %s: %v %s", leaf.Key, leaf.Form, err, text)
		}
	}
	if _, err := put(t, etcd, files, revoked); err == nil {
		t.Error("a revoked certificate was let in")
	}
}

func put(t *testing.T, one *Member, files *Certificates, shown *Pair) (string, error) {
	t.Helper()
	place := one.place
	place.TLS = &TLS{Client: files.Config(shown)}
	as := &Member{ClientURL: one.ClientURL, place: place}
	connection, err := as.Dial()
	if err != nil {
		return "", err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), ServeWaitMax)
	defer cancel()
	answer, err := pb.NewKVClient(connection).Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 9)})
	return answer.String(), err
}
