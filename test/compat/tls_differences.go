// Where netcd answers a TLS client otherwise than etcd on purpose, and why.
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

var tlsDifferences = []tlsDifference{}

// known is the number of the difference that this is, or -1.
func knownTLSDifference(what string, cell tlsCell, etcd, netcd string) int {
	for at, one := range tlsDifferences {
		if one.what == what && strings.Contains(etcd, one.etcd) && strings.Contains(netcd, one.netcd) &&
			strings.Contains(cell.String(), one.cell) {
			return at
		}
	}
	return -1
}
