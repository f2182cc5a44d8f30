package main

import (
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

func TestDoctorOfLattice(t *testing.T) {
	start := func(change func(*config.Lattice)) *edgetest.Edge {
		e := edgetest.Start(t, func(c *config.Config) { change(&c.Lattice) })
		if _, err := e.Lattice.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	says := func(e *edgetest.Edge, healthy bool, want string) {
		t.Helper()
		out, err := terrane(t, "doctor", "--admin=http://"+e.Admin.Addr().String())
		if (err == nil) != healthy || !strings.Contains(out, want) {
			t.Errorf("%v, want %q in\n%s", err, want, out)
		}
	}
	hub := start(func(l *config.Lattice) { l.Listen = "127.0.0.1:0" })
	says(hub, true, "nothing is wrong")
	says(start(func(l *config.Lattice) { l.Leaf = []string{"nats://127.0.0.1:9"} }), false, "not reached")

	at, _, _ := hub.Lattice.Addrs()
	twin := start(func(l *config.Lattice) { l.URL = []string{"nats://" + at.String()} })
	twin.Await("the twin", twin.Lattice.Presence.Twin)
	says(twin, false, "another edge of the lattice has this name")
}
