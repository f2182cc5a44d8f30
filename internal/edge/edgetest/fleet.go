package edgetest

import (
	"testing"

	"github.com/terrane/terrane/internal/config"
)

// Fleet is a hub and the edges that dial it.
type Fleet struct {
	t     *testing.T
	store func(*config.Config)
	Hub   *Edge
	at    string
}

// StartFleet starts the hub of edges that have the same store.
func StartFleet(t *testing.T, store func(*config.Config)) *Fleet {
	t.Helper()
	f := &Fleet{t: t, store: store}
	f.Hub = f.start("ams1", t.TempDir(), func(l *config.Lattice) { l.LeafListen = "127.0.0.1:0" })
	if _, err := f.Hub.Lattice.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, at := f.Hub.Lattice.Addrs()
	f.at = "nats://" + at.String()
	return f
}

func (f *Fleet) start(name, data string, change func(*config.Lattice)) *Edge {
	f.t.Helper()
	return Start(f.t, func(c *config.Config) {
		f.store(c)
		c.Edge.Name, c.Edge.Region, c.Edge.Data = name, name[:3], data
		c.TLS.Key = "a secret of at least 32 characters"
		change(&c.Lattice)
	}, func(e *Edge) { e.Domain("alice.example", "terrane=/git/alice/") })
}

// Join starts an edge that dials the hub.
func (f *Fleet) Join(name, data string) *Edge {
	f.t.Helper()
	return f.start(name, data, func(l *config.Lattice) { l.Leaf = []string{f.at} })
}

// FolderOf makes a folder every edge's only store.
func FolderOf(dir string) func(*config.Config) {
	return func(c *config.Config) {
		c.Stores[0].Prefix, c.Stores[0].Path = "/git/", dir
	}
}
