// openssl, curl and etcdctl as clients of the TLS matrix.
package compat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"netcd.test/member"
)

// refusedToolMax ends etcdctl, which tries again until then, where etcd has let nobody in with the same.
const refusedToolMax = time.Second

// runTool is the cell by one of the tools. expected is whether it is to be let in.
func (c tlsCell) runTool(f *tlsFiles, tool string, server *tlsServer, expected bool) (tlsSeen, error) {
	since := logEnd(server.Member)
	through, err := newRelay(server.addresses[c.listener])
	if err != nil {
		return tlsSeen{}, err
	}
	program, stdin := c.command(f, tool, through.address(), expected)
	ctx, cancel := context.WithTimeout(context.Background(), probeWaitMax)
	defer cancel()
	command := exec.CommandContext(ctx, program[0], program[1:]...)
	command.Env = environment()
	command.Stdin = strings.NewReader(stdin)
	output, err := command.CombinedOutput()
	seen := tlsSeen{since: since, from: through.close(), text: toolText(string(output))}
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		return seen, fmt.Errorf("%v: %w", program, err)
	}
	switch tool {
	case "openssl":
		seen.in = strings.Contains(string(output), "HTTP/1.1 ")
	case "curl":
		seen.in = err == nil && !strings.HasSuffix(string(output), "status 000")
	case "etcdctl":
		seen.in = err == nil
	}
	return seen, nil
}

// command is a tool's command line and what it reads.
func (c tlsCell) command(f *tlsFiles, tool, address string, expected bool) (line []string, stdin string) {
	shown := f.clients[c.certificate]
	switch tool {
	case "openssl":
		line = []string{"openssl", "s_client", "-connect", address, "-ign_eof", "-CAfile", f.root.CertFile,
			"-cipher", "DEFAULT@SECLEVEL=0"}
		if shown != nil {
			line = append(line, "-cert", shown.CertFile, "-cert_chain", shown.CertFile, "-key", shown.KeyFile)
		}
		if c.kind.alpn != nil {
			line = append(line, "-alpn", strings.Join(c.kind.alpn, ","))
		}
		return append(line, opensslVersions(c.kind)...), "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	case "curl":
		line = []string{"curl", "-sS", "--noproxy", "*", "--http1.1", "--cacert", f.root.CertFile, "-w", "status %{http_code}", "-o", "/dev/null"}
		if c.set.own {
			line = append(line, "--insecure")
		}
		if shown != nil {
			line = append(line, "--cert", shown.CertFile, "--key", shown.KeyFile)
		}
		if c.kind.alpn == nil {
			line = append(line, "--no-alpn")
		}
		if c.kind.max == tls.VersionTLS12 {
			line = append(line, "--tls-max", "1.2")
		}
		if c.kind.min == tls.VersionTLS13 {
			line = append(line, "--tlsv1.3")
		}
		return append(line, "https://"+address+"/version"), ""
	}
	line = []string{member.Reference("etcdctl"), "get", "k", "--endpoints=https://" + address}
	if !expected {
		line = append(line, "--command-timeout="+refusedToolMax.String(), "--dial-timeout="+refusedToolMax.String())
	}
	if c.set.own {
		line = append(line, "--insecure-skip-tls-verify", "--insecure-transport=false")
	} else {
		line = append(line, "--cacert="+f.root.CertFile)
	}
	if shown != nil {
		line = append(line, "--cert="+shown.CertFile, "--key="+shown.KeyFile)
	}
	return line, ""
}

func opensslVersions(kind tlsKind) []string {
	var line []string
	for version, flag := range map[uint16]string{tls.VersionTLS10: "-tls1", tls.VersionTLS11: "-tls1_1",
		tls.VersionTLS12: "-tls1_2"} {
		if kind.max == version {
			line = append(line, flag)
		}
	}
	if kind.min == tls.VersionTLS13 {
		line = append(line, "-tls1_3")
	}
	return line
}

var toolReason = regexp.MustCompile(`alert [a-z ]+|latest balancer error: .*desc = \\?"[^"]*|curl: .*`)

// toolText is the line of a tool's output that says why not.
func toolText(output string) string {
	found := toolReason.FindAllString(output, -1)
	slices.Sort(found)
	return strings.Join(slices.Compact(found), "; ")
}
