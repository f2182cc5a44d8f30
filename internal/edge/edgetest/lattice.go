package edgetest

import (
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// StartLattice starts a hub and a leaf that mirror a repository and hardly ever poll.
func StartLattice(t *testing.T, g *GitStore) (hub, leaf *Edge) {
	t.Helper()
	start := func(name string, change func(*config.Lattice)) *Edge {
		return Start(t, func(c *config.Config) {
			g.Store(time.Hour)(c)
			c.Edge.Name, c.Edge.Region = name+"1", name
			c.TLS.Key = "a secret of at least 32 characters"
			change(&c.Lattice)
		}, func(e *Edge) { e.Domain("alice.example", "terrane=/git/alice/") })
	}
	hub = start("ams", func(l *config.Lattice) { l.LeafListen = "127.0.0.1:0" })
	if _, err := hub.Lattice.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, at := hub.Lattice.Addrs()
	leaf = start("fra", func(l *config.Lattice) { l.Leaf = []string{"nats://" + at.String()} })
	for _, e := range []*Edge{hub, leaf} {
		e.Await("the other edge", func() bool { return len(e.Heard()) == 2 })
	}
	return hub, leaf
}

// Heard are the names of the edges that are not silent.
func (e *Edge) Heard() (names []string) {
	for _, p := range e.Lattice.Presence.Edges() {
		if !p.Silent {
			names = append(names, p.Name)
		}
	}
	return names
}

// Shows returns what reports whether alice.example has the text.
func (e *Edge) Shows(text string) func() bool {
	return func() bool { _, body := e.Request("alice.example", "alice.example", "/"); return body == text }
}

// AdminFlag has commands ask this edge.
func (e *Edge) AdminFlag() string { return "--admin=http://" + e.Admin.Addr().String() }

// Served is what an edge serves of alice.
func (e *Edge) Served() tenant.Served {
	s, _ := e.Syncer.Serving("/git/alice")
	return s
}

// Recorded waits until a text is live, and recorded as what is served instead of before.
func (e *Edge) Recorded(text string, before tenant.Served) tenant.Served {
	e.t.Helper()
	e.Await(text, func() bool { return e.Shows(text)() && e.Served().Content != before.Content })
	return e.Served()
}

// IsReady reports whether the edge is ready.
func (e *Edge) IsReady() bool { ready, _ := e.Ready(); return ready }

// Logged reports whether alice's log at the edge has a line.
func (e *Edge) Logged(text string) bool {
	for line := range e.Logs.Read(e.t.Context(), "/git/alice", 1000, false) {
		if strings.Contains(line.Text, text) {
			return true
		}
	}
	return false
}

// Lines are what a tenant's log has.
func (e *Edge) Lines(id tenant.ID) (list []server.LogLine) {
	for line := range e.Logs.Read(e.t.Context(), id, 1000, false) {
		if !line.Time.IsZero() {
			list = append(list, line)
		}
	}
	return list
}
