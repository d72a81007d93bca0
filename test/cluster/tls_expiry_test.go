// A member whose certificate expires: it says so, nobody talks to it any more, the rest serves on, and a new file brings
// it back without a restart.
package cluster

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"netcd.test/member"
)

const (
	// shortLife is how long the certificate is good after the cluster has started.
	shortLife = 8 * time.Second
	// expiredPuts are made while the member is left out.
	expiredPuts = 50
)

func TestAMemberWhoseCertificateExpires(t *testing.T) {
	r := newRotation(t)
	leader := r.running.Leader(t)
	late := otherThan(r.running.Members, leader)
	at := 0
	for number, one := range r.running.Members {
		if one == late {
			at = number
		}
	}
	until := time.Now().Add(shortLife)
	files := r.shortLived(at, until)
	r.mounts[at].put(files)
	r.until("the certificate that will expire is in use", func() error { return shows(late.PeerURL, files["server.crt"]) })
	if left := r.expiryOf(at); left > shortLife || left < -shortLife {
		t.Errorf("%s says that its certificate ends in %v", late.Label, left)
	}
	time.Sleep(time.Until(until) + time.Second)
	// Links that were made before go on; those after it are refused.
	for _, step := range []func() error{late.Stop, late.Launch} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := late.AwaitLog("certificate has expired"); err != nil {
		t.Fatal(err)
	}
	r.until("the others refuse it", func() error {
		for _, one := range r.running.Members {
			if one != late && one.AwaitLog("rejected connection on peer endpoint") == nil {
				return nil
			}
		}
		return fmt.Errorf("nobody has refused %s", late.Label)
	})
	if left := r.expiryOf(at); left > 0 {
		t.Errorf("%s says that its certificate ends in %v", late.Label, left)
	}
	for number := range expiredPuts {
		if err := put(t, leader, "k", fmt.Sprint(number)); err != nil {
			t.Fatal(err)
		}
	}
	pid := late.Pid()
	r.mounts[at].put(r.leaf(r.before, at))
	r.until("it is back", func() error {
		value, err := get(t, late, "k", true)
		if err == nil && value != fmt.Sprint(expiredPuts-1) {
			err = fmt.Errorf("it has %s", value)
		}
		return err
	})
	if late.Pid() != pid || !late.Running() {
		t.Error("it was started again")
	}
	r.running.Leader(t)
	sameContent(t, r.running)
}

func (r *rotation) shortLived(at int, until time.Time) map[string][]byte {
	r.t.Helper()
	pair := r.before.IssueIn(r.t, r.t.TempDir(), "server", member.Leaf{CommonName: fmt.Sprintf("m%d", at+1), DNS: []string{"localhost"},
		IPs: []string{"127.0.0.1"}, NotAfter: until})
	return map[string][]byte{"server.crt": textOf(r.t, pair.CertFile), "server.key": textOf(r.t, pair.KeyFile)}
}

// expiryOf is the metric's time until the first end of a certificate of the peers' side.
func (r *rotation) expiryOf(at int) time.Duration {
	t := r.t
	t.Helper()
	answer, err := (&http.Client{Timeout: callTimeout}).Get(r.metrics[at] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^netcd_certificate_expiry_seconds\{.*role="peer".*\} (\S+)$`).FindAllStringSubmatch(string(text), -1)
	if len(found) == 0 {
		t.Fatalf("member %d has no metric of its certificate", at+1)
	}
	least := 0.0
	for number, one := range found {
		seconds, err := strconv.ParseFloat(one[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if number == 0 || seconds < least {
			least = seconds
		}
	}
	return time.Duration(least * float64(time.Second))
}
