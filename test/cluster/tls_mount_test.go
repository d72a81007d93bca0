// The directories from which members read their certificates, and the ways in which such files are replaced.
package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// mount is a directory that changes as volumes do: in one of three ways.
type mount struct {
	t         *testing.T
	directory string
	how       int
	turns     int
}

// put replaces files: by a symlink of the whole directory, as Kubernetes does; by one rename each; or in place.
func (m *mount) put(files map[string][]byte) {
	m.t.Helper()
	m.turns++
	switch m.how {
	case 0:
		m.do(m.swap(files))
	case 1:
		for name, text := range files {
			next := filepath.Join(m.directory, name+".next")
			m.do(os.WriteFile(next, text, 0o600))
			m.do(os.Rename(next, filepath.Join(m.directory, name)))
		}
	default:
		for name, text := range files {
			m.do(os.WriteFile(filepath.Join(m.directory, name), text, 0o600))
		}
	}
}

// swap makes a directory with all files, old and new, and lets the symlink ..data point there.
func (m *mount) swap(files map[string][]byte) error {
	next := filepath.Join(m.directory, fmt.Sprintf("..%d", m.turns))
	if err := os.Mkdir(next, 0o700); err != nil {
		return err
	}
	data := filepath.Join(m.directory, "..data")
	kept, err := os.ReadDir(data)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, one := range kept {
		text, err := os.ReadFile(filepath.Join(data, one.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(next, one.Name()), text, 0o600); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(next, name), text, 0o600); err != nil {
			return err
		}
		link := filepath.Join(m.directory, name)
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := os.Symlink(filepath.Base(next), data+".next"); err != nil {
		return err
	}
	return os.Rename(data+".next", data)
}

func (m *mount) do(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mount) file(name string) string { return filepath.Join(m.directory, name) }

// flags name the files; both sides use the same.
func (m *mount) flags() []string {
	var flags []string
	for _, side := range []string{"", "peer-"} {
		flags = append(flags, "--"+side+"cert-file="+m.file("server.crt"), "--"+side+"key-file="+m.file("server.key"),
			"--"+side+"trusted-ca-file="+m.file("ca.crt"), "--"+side+"client-cert-auth")
	}
	return append(flags, "--client-crl-file="+m.file("crl"), "--peer-crl-file="+m.file("crl"))
}
