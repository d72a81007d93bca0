// HTTP/1 as it is on the socket: half-closed clients, wrong targets and hosts, bodies that nobody reads, and how the
// headers of an answer are written and ordered.
package compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// quietMax is how long a connection that stays open is listened to.
const quietMax = 300 * time.Millisecond

type rawCase struct {
	name, request string
	// halfClosed: the client says that it will say no more.
	halfClosed bool
}

func rawCases() []rawCase {
	request := func(first string, headers ...string) string {
		return first + "\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	}
	const version, host = "GET /version HTTP/1.1", "Host: x"
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("X-%d: v", i)
	}
	return []rawCase{
		{"a half-closed client", request(version, host), true},
		{"a half-closed client of HTTP/1.0", request("GET /version HTTP/1.0"), true},
		{"an open connection", request(version, host), false},
		{"HEAD", request("HEAD /version HTTP/1.1", host), false},
		{"an unknown path", request("GET /nope HTTP/1.1", host), false},
		{"a redirect", request("GET //version HTTP/1.1", host), false},
		{"OPTIONS", request("OPTIONS /version HTTP/1.1", host, "Origin: http://a"), false},
		{"GET of everything", request("GET * HTTP/1.1", host), false},
		{"HTTP/1.0", request("GET /version HTTP/1.0"), false},
		{"HTTP/1.0, kept alive", request("GET /version HTTP/1.0", "Connection: keep-alive"), false},
		{"Connection: close", request(version, host, "Connection: close"), false},
		{"two requests at once", request(version, host) + request("GET /nope HTTP/1.1", host), false},
		{"no host", request(version), false},
		{"an empty host", request(version, "Host:"), false},
		{"two hosts", request(version, host, "Host: y"), false},
		{"one host twice", request(version, host, host), false},
		{"two hosts in HTTP/1.0", request("GET /version HTTP/1.0", host, "Host: y"), false},
		{"a host with a space", request(version, "Host: a b"), false},
		{"a host with a slash", request(version, "Host: a/b"), false},
		{"a host that is not ASCII", request(version, "Host: \xc3\xa9"), false},
		{"no escape", request("GET /%zz HTTP/1.1", host), false},
		{"half an escape", request("GET /version%2 HTTP/1.1", host), false},
		{"no escape in a query", request("GET /version?%zz HTTP/1.1", host), false},
		{"a whole URL", request("GET http://foo/version HTTP/1.1", host), false},
		{"a whole URL without a host", request("GET http://foo/version HTTP/1.1"), false},
		{"a path without a slash", request("GET version HTTP/1.1", host), false},
		{"3,000 headers", request(version, append(many, host)...), false},
		{"leave for a body that nobody reads", request("POST /version HTTP/1.1", host, "Content-Length: 10", "Expect: 100-continue"), false},
		{"leave without a body", request(version, host, "Expect: 100-continue"), false},
		{"another expectation", request(version, host, "Expect: more"), false},
		{"a large body that does not come", request("POST /version HTTP/1.1", host, "Content-Length: 20000000"), false},
		{"a body that is skipped", request("POST /version HTTP/1.1", host, "Content-Length: 2") + "hi" + request(version, host), false},
		{"half a body", request("POST /version HTTP/1.1", host, "Content-Length: 10") + "abc", true},
		{"nothing", "", true},
	}
}

func TestRawHTTP(t *testing.T) {
	p := newPair(t, "HTTP/1 on the socket")
	defer p.report()
	awaitClusterVersion(t, p)
	for _, each := range rawCases() {
		var ours, theirs string
		ask := func(quiet time.Duration) {
			var both sync.WaitGroup
			both.Go(func() { ours = each.said(p.servers[0].Endpoint(), quiet) })
			both.Go(func() { theirs = each.said(p.servers[1].Endpoint(), quiet) })
			both.Wait()
		}
		ask(quietMax)
		if ours != theirs {
			// One of them may have had something else to do.
			ask(10 * quietMax)
		}
		p.compared++
		if ours != theirs {
			p.differ(each.name, ours, theirs)
		}
	}
}

// chosen is what a server writes as it likes: the time, and what Go does without in an answer that ends a connection
// before it has seen a request.
var (
	dates   = regexp.MustCompile(`\r\nDate: [^\r]+`)
	lengths = regexp.MustCompile(`\r\nContent-Length: \d+`)
	// Go answers what it refuses in HTTP/1.1, whatever was asked.
	versions = regexp.MustCompile(`^HTTP/1\.[01] 4`)
)

// said is all that comes back, and whether the connection ends.
func (c rawCase) said(endpoint string, quiet time.Duration) string {
	connection, err := net.Dial("tcp", endpoint)
	if err != nil {
		return err.Error()
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, c.request); err != nil {
		return err.Error()
	}
	if c.halfClosed {
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			return err.Error()
		}
	}
	var all bytes.Buffer
	end := "ends"
	for {
		wait := quiet
		if all.Len() == 0 {
			// The first bytes have all the time they need.
			wait = callWaitMax
		}
		if err := connection.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err.Error()
		}
		piece := make([]byte, 64<<10)
		count, err := connection.Read(piece)
		all.Write(piece[:count])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			end = "stays open"
		}
		if err != nil {
			break
		}
	}
	text := dates.ReplaceAllString(all.String(), "\r\nDate: D")
	if strings.Contains(text, "Connection: close\r\n") {
		// Go lingers on some of these, for half a second at most.
		end = "is to end"
	}
	if strings.HasPrefix(text, "HTTP/1.1 4") || strings.HasPrefix(text, "HTTP/1.0 4") {
		text = versions.ReplaceAllString(text, "HTTP/1.x 4")
		if strings.Contains(text, "Connection: close") && !strings.Contains(text, "Allow: ") {
			text = lengths.ReplaceAllString(strings.Replace(text, "\r\nDate: D", "", 1), "")
		}
	}
	return text + "<" + end + ">"
}
