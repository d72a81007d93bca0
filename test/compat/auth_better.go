// Where netcd does better than etcd 3.7.3 on purpose: the list, with etcd's answer and netcd's to the same requests.
package compat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netcd.test/member"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
)

// better is a story that is told of both servers.
type better struct {
	name, why string
	flags     func(t *testing.T) []string
	// overTLS is set for stories that are told over TLS.
	overTLS *member.Secure
	tell    func(t *testing.T, server *member.Member) string
	// etcd and netcd are what is told.
	etcd, netcd string
}

const (
	// futureWaitMax is longer than the few election timeouts that netcd waits for an index.
	futureWaitMax = 5 * time.Second
	// fillTries is how often nobody asks for more than there is room.
	fillTries = 10
	// expiryWaitMax is far longer than a lease of two seconds lasts, and what etcd's are given.
	expiryWaitMax, keptFor = 30 * time.Second, 5 * time.Second
)

// betterThanEtcd is the whole list. Answers whose time differs (unknown users) are in src/auth's tests, and what needs
// TLS or the gateway comes with these.
func betterThanEtcd() []better {
	return []better{
		{name: "a range that is granted again is replaced",
			why:   "etcd finds it only as the first of its key, keeps both else, and the write permission stays with who should only read",
			tell:  grantedAgain,
			etcd:  "2 of [a, b), 1 of [a, c); put: OK",
			netcd: "1 of [a, b), 1 of [a, c); put: " + denied},
		{name: "a token of a future index",
			why:   "etcd waits for the index as long as the client does",
			flags: quickElections,
			tell:  tokenOfFuture, etcd: "nothing until the client gives up", netcd: invalidToken},
		{name: "nobody raises no alarm",
			why:   "etcd looks at the quota before it looks who asks: whoever reaches the port stops all writes",
			flags: func(*testing.T) []string { return []string{fmt.Sprintf("--quota-backend-bytes=%d", quotaBytes)} },
			tell:  anonymousFill,
			etcd:  "put: ResourceExhausted: etcdserver: mvcc: database space exceeded; alarms: 1; root's put: ResourceExhausted: etcdserver: mvcc: database space exceeded",
			netcd: "put: " + emptyName + "; alarms: 0; root's put: OK"},
		{name: "a JWT that can only be verified",
			why:   "etcd's own work needs a token that it cannot sign: leases stay for ever, and it calls itself unhealthy",
			flags: verifyOnlyFlags,
			tell:  verifyOnly, etcd: "lease kept; /health 503", netcd: "lease expired; /health 200"},
		{name: "a password for a user without one",
			why:  "etcd writes it to its log as it is",
			tell: passwordOnDisk, etcd: "on disk", netcd: "not on disk"},
		{name: "root's JWT of before a change",
			why:   "etcd looks at the revision where keys are asked for, not where users are: a token of before root's password was changed goes on ruling",
			flags: hmacFlags,
			tell:  rootOfBefore, etcd: "OK", netcd: oldRevision},
		{name: "a JWT of a user who was deleted",
			why:   "etcd asks where keys are touched whether there is such a user, and elsewhere only for a token",
			flags: hmacFlags,
			tell:  deletedUser, etcd: "OK", netcd: denied},
		{name: "a certificate of a user who is not there",
			why:     "the same as with a JWT: any certificate of the CA would do for what touches no keys",
			overTLS: &member.Secure{User: "stranger"},
			tell:    byCertificate, etcd: "put: " + denied + "; lease: OK", netcd: "put: " + denied + "; lease: " + denied},
		{name: "a certificate without a common name",
			why:     "it names nobody, and who is nobody is told so",
			overTLS: &member.Secure{},
			tell:    byCertificate, etcd: "put: " + denied + "; lease: OK", netcd: "put: " + emptyName + "; lease: " + emptyName},
		{name: "a watch ends with the permission",
			why:  "etcd asks once: events go on to who may no longer read them",
			tell: watchAfter(forbidCall("reader", "a", "b")), etcd: "goes on", netcd: cancelReason},
		{name: "a watch ends with the role",
			why:  "the same",
			tell: watchAfter(revokeRoleCall("reader", "reader")), etcd: "goes on", netcd: cancelReason},
		{name: "a watch ends with the password",
			why:  "the same: who changes a stolen password wants the thief out",
			tell: watchAfter(changePasswordCall("reader", "other")), etcd: "goes on", netcd: cancelReason},
		{name: "a watch ends with the user",
			why:  "the same",
			tell: watchAfter(userDeleteCall("reader")), etcd: "goes on", netcd: cancelReason},
	}
}

const cancelReason = "canceled: rpc error: code = PermissionDenied desc = etcdserver: permission denied"

func quickElections(*testing.T) []string {
	return []string{"--heartbeat-interval=50", "--election-timeout=500"}
}

// authOn makes reader, who may read [a, b), and root, and returns how root's calls are made.
func authOn(t *testing.T, server *member.Member) (root []string) {
	t.Helper()
	calls := append(withUser("reader", "readerpw", permitCall("reader", authpb.READ, "a", "b")), enableCalls()...)
	if outcome := onServer(t, server, nil, calls...); outcome != "OK" {
		t.Fatalf("%s: %s", server.Label, outcome)
	}
	return loggedIn(t, server, "root", rootPassword)
}

// byCertificate asks without a token.
func byCertificate(t *testing.T, server *member.Member) string {
	authOn(t, server)
	return fmt.Sprintf("put: %s; lease: %s", onServer(t, server, nil, putCall(&pb.PutRequest{Key: []byte("a")})),
		onServer(t, server, nil, grantCall(&pb.LeaseGrantRequest{TTL: 60})))
}

func grantedAgain(t *testing.T, server *member.Member) string {
	root := authOn(t, server)
	reader := loggedIn(t, server, "reader", "readerpw")
	onServer(t, server, root, forbidCall("reader", "a", "b"), permitCall("reader", authpb.READ, "a", "c"),
		permitCall("reader", authpb.READWRITE, "a", "b"), permitCall("reader", authpb.READ, "a", "b"))
	call := roleGetCall("reader")
	call.Metadata = root
	answer := call.Send(server.Connect(t))
	counted := map[string]int{}
	for _, one := range answer.Messages[0].(*pb.AuthRoleGetResponse).Perm {
		counted[string(one.RangeEnd)]++
	}
	return fmt.Sprintf("%d of [a, b), %d of [a, c); put: %s", counted["b"], counted["c"],
		onServer(t, server, reader, putCall(&pb.PutRequest{Key: []byte("a")})))
}

func tokenOfFuture(t *testing.T, server *member.Member) string {
	authOn(t, server)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "token", "abcdefghijklmnop.1000000000"), futureWaitMax)
	defer cancel()
	_, err := pb.NewKVClient(server.Connect(t)).Range(ctx, &pb.RangeRequest{Key: []byte("a")})
	if ctx.Err() != nil {
		return "nothing until the client gives up"
	}
	return member.Outcome(err)
}

// anonymousFill has the store nearly full and then asks, as nobody, for more than there is room.
func anonymousFill(t *testing.T, server *member.Member) string {
	root := authOn(t, server)
	large := putCall(&pb.PutRequest{Key: []byte("a"), Value: make([]byte, 1400<<10)})
	fill := []Call{large, large}
	if outcome := onServer(t, server, root, fill...); outcome != "OK" {
		t.Fatalf("%s is full too early: %s", server.Label, outcome)
	}
	refused := emptyName
	for range fillTries {
		// Etcd counts what it has written to its file, which it does every 100 ms.
		time.Sleep(50 * time.Millisecond)
		if refused = onServer(t, server, nil, large); refused != emptyName {
			break
		}
	}
	list := alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE)
	list.Metadata = root
	alarms := list.Send(server.Connect(t)).Messages[0].(*pb.AlarmResponse).Alarms
	return fmt.Sprintf("put: %s; alarms: %d; root's put: %s", refused, len(alarms),
		onServer(t, server, root, putCall(&pb.PutRequest{Key: []byte("small")})))
}

func verifyOnly(t *testing.T, server *member.Member) string {
	wait := expiryWaitMax
	if server.Label == "etcd" {
		wait = keptFor
	}
	return internalWork(t, server, wait, func() []string {
		return []string{"token", signedRS256(t, claims{Username: "root", Revision: authRevision(t, server)})}
	}, "/health")
}

// internalWork tells whether a server does what it does by itself while authentication is on: leases end, and it finds
// itself healthy. It waits so long for the end of a lease of two seconds.
func internalWork(t *testing.T, server *member.Member, wait time.Duration, asRoot func() []string, paths ...string) string {
	t.Helper()
	if outcome := onServer(t, server, nil, enableCalls()...); outcome != "OK" {
		t.Fatal(outcome)
	}
	root := asRoot()
	begun := time.Now()
	if outcome := onServer(t, server, root, grantCall(&pb.LeaseGrantRequest{ID: 9, TTL: 2})); outcome != "OK" {
		t.Fatalf("%s: %s", server.Label, outcome)
	}
	told := "lease kept"
	for time.Since(begun) < wait && told == "lease kept" {
		call := timeToLiveCall(&pb.LeaseTimeToLiveRequest{ID: 9})
		call.Metadata = root
		answer := call.Send(server.Connect(t))
		if answer.Code != 0 {
			t.Fatal(answer.Outcome())
		}
		if answer.Messages[0].(*pb.LeaseTimeToLiveResponse).GrantedTTL == 0 {
			told = "lease expired"
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, path := range paths {
		answer, err := http.Get(server.ClientURL + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		told += fmt.Sprintf("; %s %d", path, answer.StatusCode)
	}
	return told
}

func passwordOnDisk(t *testing.T, server *member.Member) string {
	const password = "not-to-be-written"
	request := &pb.AuthUserAddRequest{Name: "u", Password: password, Options: &authpb.UserAddOptions{NoPassword: true}}
	if outcome := onServer(t, server, nil, userAddRequest(request), putCall(&pb.PutRequest{Key: []byte("after")})); outcome != "OK" {
		t.Fatal(outcome)
	}
	if len(filesWith(t, server.DataDir, "after")) == 0 {
		t.Fatal("what was written is not found either")
	}
	if len(filesWith(t, server.DataDir, password)) > 0 {
		return "on disk"
	}
	return "not on disk"
}

// filesWith are the files below a directory that hold the text.
func filesWith(t *testing.T, directory, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if strings.Contains(string(content), text) {
			found = append(found, path)
		}
		// The servers go on: a file may go away.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func rootOfBefore(t *testing.T, server *member.Member) string {
	root := authOn(t, server)
	if outcome := onServer(t, server, root, changePasswordCall("root", "newpw")); outcome != "OK" {
		t.Fatal(outcome)
	}
	return onServer(t, server, root, userListCall())
}

func deletedUser(t *testing.T, server *member.Member) string {
	root, reader := authOn(t, server), loggedIn(t, server, "reader", "readerpw")
	if outcome := onServer(t, server, root, userDeleteCall("reader")); outcome != "OK" {
		t.Fatal(outcome)
	}
	return onServer(t, server, reader, alarmCall(pb.AlarmRequest_GET, 0, pb.AlarmType_NONE))
}

// watchAfter tells what becomes of reader's watch on [a, b) after the call, when root puts a key of it.
func watchAfter(call Call) func(t *testing.T, server *member.Member) string {
	return func(t *testing.T, server *member.Member) string {
		root := authOn(t, server)
		reader := loggedIn(t, server, "reader", "readerpw")
		w, err := openWatch(server.Connect(t), reader...)
		if err != nil {
			t.Fatal(err)
		}
		defer w.cancel()
		created, err := w.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("b")})
		if err != nil || created.Canceled {
			t.Fatalf("%s: %v, %v", server.Label, created, err)
		}
		put := putCall(&pb.PutRequest{Key: []byte("a1")})
		if outcome := onServer(t, server, root, put, call, put); outcome != "OK" {
			t.Fatal(outcome)
		}
		// Two events are what etcd sends; a watch that has ended has sent the first.
		if err := w.await("an end or two events", func() bool { return w.canceled > 0 || w.events >= 2 }); err != nil {
			t.Fatal(err)
		}
		w.lock.Lock()
		defer w.lock.Unlock()
		if w.events >= 2 {
			return "goes on"
		}
		return "canceled: " + w.reason
	}
}
