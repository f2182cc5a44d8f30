package main

import (
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
)

func TestDoctorOfLattice(t *testing.T) {
	start := func(change func(*config.Lattice)) *anEdge {
		e := startEdge(t, func(c *config.Config) { change(&c.Lattice) })
		if _, err := e.edge.lattice.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	says := func(e *anEdge, healthy bool, want string) {
		t.Helper()
		out, err := terrane(t, "doctor", "--admin=http://"+e.edge.admin.Addr().String())
		if (err == nil) != healthy || !strings.Contains(out, want) {
			t.Errorf("%v, want %q in\n%s", err, want, out)
		}
	}
	hub := start(func(l *config.Lattice) { l.Listen = "127.0.0.1:0" })
	says(hub, true, "nothing is wrong")
	says(start(func(l *config.Lattice) { l.Leaf = []string{"nats://127.0.0.1:9"} }), false, "not reached")

	at, _, _ := hub.edge.lattice.Addrs()
	twin := start(func(l *config.Lattice) { l.URL = []string{"nats://" + at.String()} })
	twin.await("the twin", twin.edge.lattice.presence.Twin)
	says(twin, false, "another edge of the lattice has this name")
	twin.edge.states.clock = func() time.Duration { return -90 * time.Second }
	says(twin, false, "this one is 1m30s ahead of that of the edge that leads")
}
