// JSON web tokens that the tests sign themselves, right and wrong ones.
package compat

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"netcd.test/member"
)

// claims are what etcd puts into a token and looks for.
type claims struct {
	Username string `json:"username"`
	Revision uint64 `json:"revision"`
	Expires  int64  `json:"exp"`
}

func claimsOf(token string) (found claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &found) != nil {
		return claims{}
	}
	return found
}

// signingSecret signs tokens by HS256; the file is taken as it is.
const signingSecret = "a secret that signs tokens"

func secretFile(t *testing.T) string {
	t.Helper()
	return written(t, "secret", []byte(signingSecret))
}

// written is the path of a file, in which the name of the test may not be: --auth-token takes no further `=`.
func written(t *testing.T, name string, content []byte) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "netcd-auth-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(directory); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hmacFlags let a server sign by the secret.
func hmacFlags(t *testing.T) []string {
	return []string{"--auth-token=jwt,sign-method=HS256,priv-key=" + secretFile(t)}
}

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// verifyOnlyFlags give the server the public half alone.
func verifyOnlyFlags(t *testing.T) []string {
	der, err := x509.MarshalPKIXPublicKey(&signingKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	path := written(t, "public.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return []string{"--auth-token=jwt,sign-method=RS256,pub-key=" + path}
}

// unsigned is the part of a token that is signed.
func unsigned(method string, body any) string {
	part := func(of any) string {
		text, err := json.Marshal(of)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": method, "typ": "JWT"}) + "." + part(body)
}

func signedHS256(body any) string {
	text := unsigned("HS256", body)
	mac := hmac.New(sha256.New, []byte(signingSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signedRS256 is a token of verifyOnlyFlags' key that lasts an hour.
func signedRS256(t *testing.T, body claims) string {
	t.Helper()
	body.Expires = time.Now().Add(time.Hour).Unix()
	text := unsigned("RS256", body)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, signingKey(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// authRevision is the revision of users and roles, which everybody may ask for.
func authRevision(t *testing.T, server *member.Member) uint64 {
	t.Helper()
	connection := server.Connect(t)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), callWaitMax)
	defer cancel()
	answer, err := pb.NewAuthClient(connection).AuthStatus(ctx, &pb.AuthStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.AuthRevision
}
