// The lines of a server's log that say why a connection was not taken.
package compat

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"netcd.test/member"
)

// lineWaitMax bounds the time from a refusal that a client saw to the line about it.
const lineWaitMax = 5 * time.Second

// rejection is one line about a connection that was not taken.
type rejection struct {
	Message string   `json:"msg"`
	Level   string   `json:"level"`
	Remote  string   `json:"remote-addr"`
	Server  string   `json:"server-name"`
	IPs     []string `json:"ip-addresses"`
	Names   []string `json:"dns-names"`
	Error   string   `json:"error"`
	// Subject, Issuer and Serial are netcd's own: of the certificate that was refused.
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	Serial  string `json:"serial"`
	// at is where the line begins in the log: addresses come again.
	at int
}

// rejections are the lines in their order.
func rejections(t *testing.T, one *member.Member) []rejection {
	t.Helper()
	log, err := one.Log()
	if err != nil {
		t.Fatal(err)
	}
	var found []rejection
	at := 0
	for line := range strings.Lines(log) {
		read := rejection{at: at}
		if json.Unmarshal([]byte(line), &read) == nil && strings.HasPrefix(read.Message, "rejected connection on ") {
			found = append(found, read)
		}
		at += len(line)
	}
	return found
}

// logEnd is how long the log is.
func logEnd(one *member.Member) int {
	file, err := os.Stat(one.LogPath)
	if err != nil {
		return 0
	}
	return int(file.Size())
}

var (
	aboutTime   = regexp.MustCompile(`current time \S+ is (after|before) \S+`)
	aboutLookup = regexp.MustCompile(`\(lookup .*\)`)
	aboutAddr   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// text is the line without what differs from one run to the next.
func (r rejection) text() string {
	if r.Message == "" {
		return "no line"
	}
	text := aboutTime.ReplaceAllString(r.Error, "current time T is $1 T")
	text = aboutLookup.ReplaceAllString(text, "(lookup)")
	text = aboutAddr.ReplaceAllString(text, "ADDRESS")
	return fmt.Sprintf("%s %s: %s (ips %q, names %q, server name %q)", r.Level, r.Message, text, r.IPs, r.Names, r.Server)
}
