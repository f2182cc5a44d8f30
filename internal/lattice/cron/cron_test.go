package cron_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

const alice tenant.ID = "/git/alice"

// run is a line that fired.
type run struct {
	edge, path string
	due        time.Time
}

// fleet is edges with cron, whose clock is faster than time: a minute takes 2 s.
type fleet struct {
	t     *testing.T
	net   *latticetest.Net
	start time.Time
	moved atomic.Int64             // of all edges' clocks, in nanoseconds
	skew  map[string]time.Duration // of an edge's clock; read only
	runs  chan run
	fired map[run]bool // without their edges
	told  chan string
	hold  chan struct{} // runs wait for it; nil: they do not
	stops map[string]func()
	edges map[string]*cron.Cron
}

const speed = 30

func (f *fleet) now() time.Time {
	return f.start.Add(speed*time.Since(f.start) + time.Duration(f.moved.Load()))
}

func newFleet(t *testing.T, regions ...latticetest.Region) *fleet {
	return newSkewed(t, nil, regions...)
}

// newSkewed is newFleet with clocks that are wrong.
func newSkewed(t *testing.T, skew map[string]time.Duration, regions ...latticetest.Region) *fleet {
	f := &fleet{
		t: t, net: latticetest.Start(t, regions...), start: time.Now(), skew: skew, fired: map[run]bool{},
		runs: make(chan run, 64), told: make(chan string, 64), stops: map[string]func(){}, edges: map[string]*cron.Cron{},
	}
	for _, node := range f.net.Nodes() {
		f.run(node)
	}
	return f
}

func (f *fleet) run(node *latticetest.Node) {
	name := node.Name()
	c, err := cron.New(cron.Options{
		Lattice: node.Lattice,
		Ask: func(_ context.Context, id tenant.ID, task *messages.Task) (*messages.Answer, error) {
			if id != alice || task.Cron != "* * * * *" {
				return nil, fmt.Errorf("not to be run: %s %+v", id, task)
			}
			f.runs <- run{name, task.Path, task.Due}
			if f.hold != nil {
				<-f.hold
			}
			if task.Path == "/broken" {
				return &messages.Answer{Code: 500}, nil
			}
			return &messages.Answer{Code: 200}, nil
		},
		Tell:   func(_ tenant.ID, _ slog.Level, text string) { f.told <- text },
		Logger: latticetest.Logger(f.t).With("edge", name),
		Now:    func() time.Time { return f.now().Add(f.skew[name]) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var stopped bool
	f.edges[name], f.stops[name] = c, func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			f.t.Error(err)
		}
	}
	f.t.Cleanup(func() { f.stops[name]() })
}

func (f *fleet) set(regions []string, paths ...string) {
	m := &tenant.Manifest{Regions: regions}
	for _, p := range paths {
		m.Crons = append(m.Crons, tenant.Cron{Schedule: "* * * * *", Path: p})
	}
	for _, c := range f.edges {
		c.Set(alice, m)
	}
}

func (f *fleet) next() run {
	f.t.Helper()
	select {
	case r := <-f.runs:
		of := run{path: r.path, due: r.due}
		if f.fired[of] {
			f.t.Errorf("%s fires twice for %s", r.path, r.due)
		}
		f.fired[of] = true
		return r
	case <-time.After(latticetest.Patience):
		f.t.Fatal("nothing fires")
	}
	return run{}
}

func (f *fleet) hears(want string) {
	f.t.Helper()
	late := time.After(latticetest.Patience)
	for {
		select {
		case text := <-f.told:
			if strings.Contains(text, want) {
				return
			}
		case <-late:
			f.t.Fatalf("the tenant is not told of %q", want)
		}
	}
}

// TestOnce: each line fires once a minute, at the leader.
func TestOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, latticetest.Region{Name: "ams", Edges: 3})
	f.set(nil, "/tick", "/broken")
	counts := map[string]int{}
	leader := ""
	from := f.now()
	for range 4 {
		r := f.next()
		counts[r.path]++
		if leader == "" {
			leader = r.edge
		}
		if r.edge != leader {
			t.Errorf("fired by %s and by %s", leader, r.edge)
		}
	}
	minutes := int(f.now().Sub(from)/time.Minute) + 1
	for path, n := range counts {
		if n > minutes {
			t.Errorf("%s fired %d times in %d minutes", path, n, minutes)
		}
	}
	f.hears("answered 500")
}

// TestCutLeader: while its leader is cut off, another edge of the region leads; each time
// fires once, also when the cut is healed.
func TestCutLeader(t *testing.T) {
	t.Parallel()
	f := newFleet(t, latticetest.Region{Name: "ams", Edges: 3})
	f.set(nil, "/tick")
	first := f.next().edge
	f.net.Cut(true, first)
	r := f.next()
	for r.edge == first { // what it had begun before it felt the cut
		r = f.next()
	}
	if next := f.next(); next.edge != r.edge {
		t.Errorf("fired by %s, cut off, and by %s", r.edge, next.edge)
	}
	f.net.Cut(false, first)
	for range 2 {
		f.next()
	}
}

// TestSkew: edges whose clocks are two minutes apart lead one after the other, and each
// time fires once.
func TestSkew(t *testing.T) {
	t.Parallel()
	f := newSkewed(t, map[string]time.Duration{"ams1": time.Minute, "ams2": -time.Minute}, latticetest.Region{Name: "ams", Edges: 2})
	f.set(nil, "/tick")
	leader := f.next().edge
	f.stops[leader]() // which resigns
	for range 3 {
		if r := f.next(); r.edge == leader {
			t.Errorf("%s has resigned, and fires", leader)
		}
	}
}

// TestPutBack: a clock that was put back by hours does not silence a line for as long, and one
// that was put back by minutes makes it fire twice for no time.
func TestPutBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, latticetest.Region{Name: "ams", Edges: 1})
	f.set(nil, "/tick")
	f.next()
	f.moved.Store(-int64(12 * time.Hour))
	for {
		if r := f.next(); r.due.After(f.now()) {
			continue // due before
		} else if f.now().Sub(r.due) > 5*time.Minute {
			t.Errorf("fired at %s for %s", f.now(), r.due)
		}
		break
	}
	f.moved.Add(-int64(2 * time.Minute))
	f.next()
	f.next()
}

// TestHome: lines of a tenant that lives in a region fire in that one alone.
func TestHome(t *testing.T) {
	t.Parallel()
	f := newFleet(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	f.set([]string{"fra", "ams"}, "/tick")
	for range 2 {
		if r := f.next(); r.edge != "fra1" {
			t.Fatalf("fired by %s", r.edge)
		}
	}
	f.set(nil, "/tick")
	for r := f.next(); r.edge != "ams1"; r = f.next() {
	}
}

// TestMissed: runs that no edge was there for are told, and so is one that would run
// while the one before goes on.
func TestMissed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, latticetest.Region{Name: "ams", Edges: 1})
	f.hold = make(chan struct{})
	f.set(nil, "/tick")
	f.next()
	f.hears("the run before it goes on")
	close(f.hold)
	f.next()
	f.stops["ams1"]()
	f.start = f.start.Add(-time.Minute) // 14 more by the fleet's clock
	f.run(f.net.Node("ams1"))
	f.set(nil, "/tick")
	f.hears("no edge led")
}
