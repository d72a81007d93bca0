// Where netcd answers a TLS client otherwise than etcd, and why.
package compat

import "strings"

// tlsDifference is one such place. Texts are those that the matrix compares; a part of one is enough.
type tlsDifference struct {
	// what is compared: "entry" (who gets in), "client" (what it sees) or "line" (what the server logs).
	what        string
	etcd, netcd string
	// cell is what the cell's name holds; empty is any.
	cell string
	why  string
}

const (
	noCBC       = "the library has no suites with CBC, whose order of MAC and cipher is broken"
	noP521      = "the library agrees on no key by P-521; who has it has X25519 or P-256 too"
	saysOwnALPN = "etcd says nothing to who offers http/1.1 without h2; netcd confirms it, and both speak it"
	saysMore    = "etcd drops the lines of this port's handshakes; an operator wants to know who was refused and why"
	otherAlert  = "the library's alert for the same reason; the line says the same as etcd's"
)

var tlsDifferences = []tlsDifference{
	{"entry", "in", "out", "CBC by 1.2", noCBC},
	{"client", "200 OK", "alert tls: handshake failure", "CBC by 1.2", noCBC},
	{"client", "404 Not Found", "alert tls: handshake failure", "CBC by 1.2", noCBC},
	{"line", "no line", "tls: no cipher suite supported by both client and server; client offered: [c0", "CBC by 1.2", noCBC},
	{"line", "tls: client didn't provide a certificate", "tls: no cipher suite supported by both client and server", "CBC by 1.2", noCBC},
	{"line", "tls: no cipher suite supported by both client and server", "tls: no key exchanges supported by both client and server",
		"to 1.2", "of a group that 1.2 does not have, both say that nothing is in common"},
	{"entry", "in", "out", "P-521 agreed", noP521},
	{"client", "", "alert tls: handshake failure", "P-521 agreed", noP521},
	{"line", "", "tls: no key exchanges supported by both client and server", "P-521 agreed", noP521},
	{"client", `protocol ""`, `protocol "http/1.1"`, "http/1.1 offered", saysOwnALPN},
	{"line", "no line", "warn rejected connection on client endpoint", "split, client port", saysMore},
	{"line", "no line", "warn rejected connection on ", "auto-tls,", saysMore},
	{"client", "alert tls: bad certificate", "alert tls: unsupported certificate", "wrong EKU", otherAlert},
	{"client", "alert tls: bad certificate", "alert tls: unsupported certificate", "narrow intermediate", otherAlert},
	{"client", "alert tls: handshake failure", "alert tls: certificate required", "certificate none", otherAlert},
	{"client", "alert tls: protocol version not supported", "alert tls: handshake failure", "by 1.", otherAlert},
	{"line", "unknown authority (possibly because of", "unknown authority (possibly because of", "self-signed",
		"a hint about a CA of the same name, which both have in other words"},
}

// knownTLSDifference is the number of the difference that this is, or -1.
func knownTLSDifference(what string, cell tlsCell, etcd, netcd string) int {
	for at, one := range tlsDifferences {
		if one.what == what && strings.Contains(etcd, one.etcd) && strings.Contains(netcd, one.netcd) &&
			strings.Contains(cell.String(), one.cell) {
			return at
		}
	}
	return -1
}
