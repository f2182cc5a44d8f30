package presence

import (
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestExternal has edges that meet in the operator's NATS.
func TestExternal(t *testing.T) {
	x := latticetest.StartJWT(t, nil, "ams1", "fra1")
	news := make(chan Store, 64)
	head := make(chan string, 1)
	now := "one"
	lines := map[string]*latticetest.Line{}
	edges := map[string]*Presence{}
	stops := map[string]func(){}
	for _, name := range []string{"ams1", "fra1"} {
		lines[name] = x.Line(t)
		l, err := lattice.New(lattice.Options{Name: name, URLs: []string{lines[name].URL}, Credentials: x.Credentials[name]})
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, l.Run)
		o := Options{Lattice: l, Logger: latticetest.Logger(t), Interval: beat}
		if name == "ams1" {
			o.Self = func() Edge {
				select {
				case now = <-head:
				default:
				}
				return Edge{Stores: []Store{{Prefix: "/git/", Head: now}}}
			}
		} else {
			o.Self = func() Edge { return Edge{} }
			o.Heard = func(_ string, stores []Store) { news <- stores[0] }
		}
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		edges[name], stops[name] = p, latticetest.Run(t, p.Run)
	}
	hears := func(head string) {
		t.Helper()
		for late := time.After(latticetest.Patience); ; {
			select {
			case s := <-news:
				if s.Head == head {
					return
				}
			case <-late:
				t.Fatalf("waited in vain for %s", head)
			}
		}
	}
	for _, p := range edges {
		seen(t, p, "ams1", "fra1")
	}
	hears("one")
	for _, cut := range []string{"ams1", "fra1"} {
		lines[cut].Cut(true)
		seen(t, edges["ams1"], "ams1")
		seen(t, edges["fra1"], "fra1")
		head <- "missed by way of " + cut
		lines[cut].Cut(false)
		for _, p := range edges {
			seen(t, p, "ams1", "fra1")
		}
		hears("missed by way of " + cut)
	}
	stops["fra1"]() // in order
	seen(t, edges["ams1"], "ams1")
	if list := edges["ams1"].Edges(); !list[1].Leaving {
		t.Errorf("an edge that stopped in order is %+v", list[1])
	}
}
