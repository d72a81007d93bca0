// HTTP/1.1 endpoints and their error paths, byte for byte.
package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"netcd.test/member"
)

// comparedHeaders are those that a client can rely on.
var comparedHeaders = []string{"Content-Type", "Allow", "X-Content-Type-Options", "Location", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "X-Etcd-Cluster-Id"}

type httpCase struct {
	method, path, body string
	// sortLines is for bodies whose lines have no order.
	sortLines bool
}

func httpCases() []httpCase {
	var cases []httpCase
	for _, path := range []string{"/version", "/health", "/livez", "/readyz"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			cases = append(cases, httpCase{method: method, path: path})
		}
	}
	for _, path := range []string{"/health?serializable=true", "/health?serializable=false", "/health?serializable=maybe",
		"/health?exclude=NOSPACE", "/health?exclude=NOSPACE&serializable=true", "/health?exclude=CORRUPT&exclude=NOSPACE", "/health?exclude=nonsense", "/health/", "/health/x",
		"/livez?verbose", "/livez?verbose=false", "/readyz?verbose", "/livez?exclude=serializable_read&verbose",
		"/readyz?exclude=data_corruption&verbose", "/readyz?exclude=nonsense", "/readyz?exclude=linearizable_read&exclude=non_learner&verbose",
		"/livez/serializable_read", "/livez/serializable_read?verbose", "/readyz/serializable_read", "/readyz/linearizable_read",
		"/readyz/data_corruption", "/readyz/non_learner?verbose", "/readyz/nonsense", "/livez/data_corruption", "/livez/", "/readyz/",
		"/", "/v2/keys", "/v2/keys/foo", "/v3alpha/kv/range", "/nonsense", "/version/", "/config/local/log", "/stats/self", "/members",
		"//version", "/version?x=1", "/%76ersion"} {
		cases = append(cases, httpCase{method: "GET", path: path, sortLines: strings.Contains(path, "verbose")})
	}
	for _, method := range []string{"HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
		cases = append(cases, httpCase{method: method, path: "/debug/vars"})
	}
	for _, path := range []string{"/debug", "/debug/", "/debug/vars/", "/debug/vars/x", "/debug/requests", "/debug/pprof/"} {
		cases = append(cases, httpCase{method: "GET", path: path})
	}
	return append(cases, httpCase{method: "OPTIONS", path: "/nonsense"}, httpCase{method: "OPTIONS", path: "/"},
		httpCase{method: "POST", path: "/nonsense"}, httpCase{method: "DELETE", path: "/v2/keys/foo"})
}

func TestHTTP(t *testing.T) {
	p := newPair(t, "HTTP")
	defer p.report()
	awaitClusterVersion(t, p)
	client := &http.Client{Timeout: callWaitMax, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, request := range httpCases() {
		ours := fetched(t, client, p.servers[0].ClientURL, request)
		theirs := fetched(t, client, p.servers[1].ClientURL, request)
		p.compared++
		if ours != theirs {
			p.differ(request.method+" "+request.path, ours, theirs)
		}
	}
	p.compareDebugVars(client)
	p.compareEncodings(client)
}

// peerCases are the endpoints of peer URLs without those of raft's own messages, whose protocol is netcd's own.
func peerCases() []httpCase {
	var cases []httpCase
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/downgrade/enabled", "/members", "/members/", "/members/promote/1", "/members/promote/zz", "/members/promote/",
			"/members/promote", "/version", "/raft/probing", "/raft/probing/", "/raft/x", "/leases/x", "/downgrade", "/downgrade/x", "/health", "/metrics",
			"/", "/v3/kv/put", "//members", "/v2/keys"} {
			cases = append(cases, httpCase{method: method, path: path})
		}
		for _, body := range []string{"", "{", "{}", `{"revision":1}`, `{"revision":9}`, `{"revision":"1"}`, `[]`, `null`} {
			cases = append(cases, httpCase{method: method, path: "/members/hashkv", body: body})
		}
		for _, path := range []string{"/leases", "/leases/internal"} {
			// Without a message etcd's /leases/internal breaks off the connection.
			cases = append(cases, httpCase{method: method, path: path, body: "\x0a\x02\x08\x07"})
		}
	}
	return append(cases, httpCase{method: "POST", path: "/leases"}, httpCase{method: "POST", path: "/leases", body: strings.Repeat("x", 1<<16+1)})
}

// peerMasks are what each server chooses itself.
var peerMasks = regexp.MustCompile(`\d{15,20}|127\.0\.0\.1:\d+|[0-9-]{10}T[0-9:.]+Z`)

func TestPeerHTTP(t *testing.T) {
	p := newPair(t, "HTTP of peer URLs")
	defer p.report()
	awaitClusterVersion(t, p)
	client := &http.Client{Timeout: callWaitMax, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, request := range peerCases() {
		ours := peerMasks.ReplaceAllString(fetched(t, client, p.servers[0].PeerURL, request), "MASK")
		theirs := peerMasks.ReplaceAllString(fetched(t, client, p.servers[1].PeerURL, request), "MASK")
		p.compared++
		if ours != theirs {
			p.differ(fmt.Sprintf("%s %s %q", request.method, request.path, request.body[:min(20, len(request.body))]), ours, theirs)
		}
	}
}

// awaitClusterVersion waits until both have decided it, which happens a moment after they serve.
func awaitClusterVersion(t *testing.T, p *pair) {
	t.Helper()
	for _, server := range p.servers {
		awaitVersion(t, server)
	}
}

func awaitVersion(t *testing.T, server *member.Member) {
	t.Helper()
	for deadline := time.Now().Add(callWaitMax); ; time.Sleep(20 * time.Millisecond) {
		answer := fetched(t, server.HTTP(), server.ClientURL, httpCase{method: "GET", path: "/version"})
		// A cluster whose members could not all be asked begins with 3.0.0 and a storage of 3.5.0.
		if strings.Contains(answer, `etcdcluster\":\"3.7.0`) && strings.Contains(answer, `storage\":\"3.7.0`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not decide a cluster version: %s", server.Label, answer)
		}
	}
}

// fetched is everything of an answer that is compared, as text.
func fetched(t *testing.T, client *http.Client, base string, request httpCase) string {
	t.Helper()
	made, err := http.NewRequest(request.method, base+request.path, strings.NewReader(request.body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(made)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(body), "\n")
	if request.sortLines {
		sort.Strings(lines)
	}
	var headers []string
	for _, name := range comparedHeaders {
		if value, set := answer.Header[name]; set {
			if name == "X-Etcd-Cluster-Id" {
				value = []string{"set"}
			}
			headers = append(headers, fmt.Sprintf("%s=%q", name, value))
		}
	}
	return fmt.Sprintf("%d %s body %q", answer.StatusCode, strings.Join(headers, " "), strings.Join(lines, "\n"))
}

// compareDebugVars compares the names of what is published, and raft's status but for the ids.
func (p *pair) compareDebugVars(client *http.Client) {
	p.t.Helper()
	var shapes [2]string
	for side, server := range p.servers {
		answer, err := client.Get(server.ClientURL + "/debug/vars")
		if err != nil {
			p.t.Fatal(err)
		}
		defer answer.Body.Close()
		variables := map[string]any{}
		if err := json.NewDecoder(answer.Body).Decode(&variables); err != nil {
			p.t.Fatalf("%s: %v", server.Label, err)
		}
		status := variables["raft.status"].(map[string]any)
		own := status["id"].(string)
		for _, name := range []string{"id", "vote", "lead"} {
			if status[name] != own {
				p.t.Errorf("%s: %s is %v, the only member is %s", server.Label, name, status[name], own)
			}
			delete(status, name)
		}
		progress := status["progress"].(map[string]any)[own].(map[string]any)
		if progress["match"] != status["commit"] || progress["state"] != "StateReplicate" {
			p.t.Errorf("%s: progress %v at commit %v", server.Label, progress, status["commit"])
		}
		for _, name := range []string{"progress", "commit", "applied", "term"} {
			delete(status, name)
		}
		names := slices.Sorted(maps.Keys(variables))
		shapes[side] = fmt.Sprint(answer.Header["Content-Type"], names, status, variables["file_descriptor_limit"])
		if args := variables["cmdline"].([]any); len(args) < 3 || !strings.HasPrefix(args[1].(string), "--") {
			p.t.Errorf("%s: cmdline %v", server.Label, args)
		}
	}
	p.compared++
	if shapes[0] != shapes[1] {
		p.differ("/debug/vars", shapes[0], shapes[1])
	}
}

// compareEncodings asks for /metrics as clients do that can and cannot read gzip.
func (p *pair) compareEncodings(client *http.Client) {
	p.t.Helper()
	for _, accepted := range []string{"identity", "gzip", "zstd, gzip;q=0.5", "gzip;q=0", "*"} {
		var encodings [2]string
		for side, server := range p.servers {
			request, err := http.NewRequest(http.MethodGet, server.ClientURL+"/metrics", nil)
			if err != nil {
				p.t.Fatal(err)
			}
			request.Header.Set("Accept-Encoding", accepted)
			answer, err := client.Do(request)
			if err != nil {
				p.t.Fatal(err)
			}
			encodings[side] = fmt.Sprint(answer.Header["Content-Encoding"], answer.Header["Content-Type"])
			answer.Body.Close()
		}
		p.compared++
		if encodings[0] != encodings[1] {
			p.differ("/metrics for "+accepted, encodings[0], encodings[1])
		}
	}
}
