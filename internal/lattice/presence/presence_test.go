package presence

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const beat = 100 * time.Millisecond

// run starts the presence of an edge, until the test ends or stop is called.
func run(t *testing.T, node *latticetest.Node, o Options) (p *Presence, stop func()) {
	t.Helper()
	o.Lattice, o.Logger = node, latticetest.Logger(t)
	if o.Interval == 0 {
		o.Interval = beat
	}
	if o.Self == nil {
		o.Self = func() Edge { return Edge{Ready: true} }
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, latticetest.Run(t, p.Run)
}

// seen awaits the edges that are not silent.
func seen(t *testing.T, p *Presence, want ...string) {
	t.Helper()
	var got []string
	latticetest.Await(t, func() bool {
		got = nil
		for _, e := range p.Edges() {
			if !e.Silent {
				got = append(got, e.Name)
			}
		}
		return slices.Equal(got, want)
	}, func() string { return fmt.Sprintf("%s sees %v, want %v", p.name, got, want) })
}

func TestEdgesSeeEachOtherAcrossRegions(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3}, latticetest.Region{Name: "fra", Edges: 2})
	all := []string{"ams1", "ams2", "ams3", "fra1", "fra2"}
	var edges []*Presence
	var stops []func()
	for _, node := range n.Nodes() {
		p, stop := run(t, node, Options{})
		edges, stops = append(edges, p), append(stops, stop)
	}
	for _, p := range edges {
		seen(t, p, all...)
	}

	n.Cut(true, "ams1") // a partition, and the return
	seen(t, edges[0], "ams1")
	seen(t, edges[1], all[1:]...)
	seen(t, edges[3], all[1:]...)
	n.Cut(false, "ams1")
	for _, p := range edges {
		seen(t, p, all...)
	}

	n.Cut(true, "fra1", "fra2") // a whole region
	seen(t, edges[0], all[:3]...)
	seen(t, edges[4], all[3:]...)
	n.Cut(false, "fra1", "fra2")
	for _, p := range edges {
		seen(t, p, all...)
	}

	stops[4]()
	seen(t, edges[0], all[:4]...)
	if list := edges[0].Edges(); !list[4].Leaving {
		t.Errorf("an edge that stopped in order is %+v", list[4])
	}
}

func TestHeardTellsOfRevisions(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	heads, heard := make(chan string, 1), make(chan Store, 16)
	head := "one"
	speaker, _ := run(t, n.Node("ams1"), Options{Self: func() Edge {
		select {
		case head = <-heads:
		default:
		}
		return Edge{Stores: []Store{{Prefix: "/same/", Head: "x"}, {Prefix: "/git/", Head: head}}}
	}})
	run(t, n.Node("fra1"), Options{Heard: func(_ string, stores []Store) {
		for _, s := range stores {
			heard <- s
		}
	}})
	next := func(want ...Store) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-heard:
				if got != w {
					t.Errorf("heard %+v, want %+v", got, w)
				}
			case <-time.After(latticetest.Patience):
				t.Fatalf("waited in vain for %+v", w)
			}
		}
	}
	next(Store{Prefix: "/same/", Head: "x"}, Store{Prefix: "/git/", Head: "one"})
	heads <- "two"
	speaker.Touch()
	next(Store{Prefix: "/git/", Head: "two"})
	// After a partition an edge is told of everything again: it has missed notices.
	n.Cut(true, "fra1")
	latticetest.Await(t, func() bool { return len(heard) == 0 && silent(speaker, "fra1") }, nil)
	n.Cut(false, "fra1")
	next(Store{Prefix: "/same/", Head: "x"}, Store{Prefix: "/git/", Head: "two"})
}

// TestNewsAfterPartition has edges that speak by themselves too seldom to be heard here:
// what changed during a partition that nobody noticed is told when it ends.
func TestNewsAfterPartition(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1})
	var head atomic.Int64
	heard := make(chan string, 64)
	self := func() Edge {
		return Edge{Stores: []Store{{Prefix: "/git/", Head: strconv.FormatInt(head.Load(), 10)}}}
	}
	speaker, _ := run(t, n.Node("ams1"), Options{Interval: time.Hour, Self: self})
	edges := []*Presence{speaker}
	for _, name := range []string{"ams2", "fra1"} {
		p, _ := run(t, n.Node(name), Options{Interval: time.Hour, Self: self, Heard: func(_ string, stores []Store) {
			heard <- name + stores[0].Head
		}})
		edges = append(edges, p)
	}
	for _, p := range edges {
		seen(t, p, "ams1", "ams2", "fra1")
	}
	for _, name := range []string{"ams2", "fra1"} {
		n.Cut(true, name)
		want := name + strconv.FormatInt(head.Add(1), 10)
		speaker.Touch() // in vain
		n.Cut(false, name)
		for got := ""; got != want; {
			select {
			case got = <-heard:
			case <-time.After(latticetest.Patience):
				t.Fatalf("waited in vain for %s", want)
			}
		}
	}
}

func silent(p *Presence, name string) bool {
	return slices.ContainsFunc(p.Edges(), func(e Peer) bool { return e.Name == name && e.Silent })
}

func TestTwins(t *testing.T) {
	node := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
	a, stopA := run(t, node, Options{})
	b, _ := run(t, node, Options{})
	latticetest.Await(t, func() bool { return a.Twin() && b.Twin() }, nil)
	stopA()
	latticetest.Await(t, func() bool { return !b.Twin() }, nil)
}

func TestPeersAreNotTrusted(t *testing.T) {
	long := strings.Repeat("x", maxText+9)
	many := make([]Store, maxList+9)
	for _, tt := range []struct {
		name, subject string
		in            any
		want          func(Edge) bool // nil: refused
	}{
		{"another's name", "ams1", Edge{Name: "ams2"}, nil},
		{"no name", "", Edge{}, nil},
		{"not JSON", "ams1", json.RawMessage(`"x"`), nil},
		{"too long", "ams1", Edge{Name: "ams1", Unmet: []string{strings.Repeat("x", maxMessage)}}, nil},
		{"long texts are cut", "ams1", Edge{Name: "ams1", Version: long}, func(e Edge) bool { return len(e.Version) == maxText }},
		{"long lists are cut", "ams1", Edge{Name: "ams1", Stores: many}, func(e Edge) bool { return len(e.Stores) == maxList }},
		{"terminals are safe", "ams1", Edge{Name: "ams1", Region: "\x1b[2J"}, func(e Edge) bool { return e.Region == "?[2J" }},
		{"a later version says more", "ams1", json.RawMessage(`{"name":"ams1","mood":{"of":"tomorrow"},"ready":true}`), func(e Edge) bool { return e.Ready }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := json.Marshal(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			e, err := parse(tt.subject, data)
			if tt.want == nil && err == nil || tt.want != nil && (err != nil || !tt.want(e)) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}

func TestTableIsBounded(t *testing.T) {
	tab := table{silence: time.Second, peers: map[string]Peer{}}
	start := time.Now()
	add := func(name string, now time.Time) bool {
		_, _, ok := tab.note(Edge{Name: name}, now)
		return ok
	}
	for i := range maxEdges {
		add(fmt.Sprint("edge", i), start)
	}
	if add("late", start) {
		t.Error("a full table took another edge")
	}
	if !add("edge0", start.Add(time.Minute)) || !add("late", start.Add(time.Minute)) {
		t.Error("an edge that is silent for long kept its place")
	}
	if n := len(tab.list(start.Add(time.Minute))); n != maxEdges {
		t.Errorf("%d edges", n)
	}
	if n := len(tab.list(start.Add(time.Minute + forget))); n != 2 {
		t.Errorf("after an hour %d edges are listed, want the 2 heard since", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ams1", []byte(`{"name":"ams1","stores":[{"prefix":"/git/","head":"\u0007"}]}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		e, err := parse(name, data)
		if err != nil {
			return
		}
		if out, err := json.Marshal(e); err != nil || len(e.Stores) > maxList || strings.ContainsAny(e.Region, "\x1b\n") {
			t.Errorf("%s, %v", out, err)
		}
	})
}

// BenchmarkHealedPartition is the time from the end of a partition, of an edge that had
// been silent, until that edge hears of a deploy it has missed. All on this machine.
func BenchmarkHealedPartition(b *testing.B) {
	for _, cut := range []string{"ams3", "fra1"} {
		b.Run(cut, func(b *testing.B) {
			n := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: 3}, latticetest.Region{Name: "fra", Edges: 1})
			var head atomic.Int64
			heard := make(chan string, 1024)
			var edges []*Presence
			for _, node := range n.Nodes() {
				o := Options{Lattice: node, Self: func() Edge {
					if node.Name() != "ams1" {
						return Edge{}
					}
					return Edge{Stores: []Store{{Prefix: "/git/", Head: strconv.FormatInt(head.Load(), 10)}}}
				}}
				if node.Name() == cut {
					o.Heard = func(_ string, stores []Store) {
						for _, s := range stores {
							heard <- s.Head
						}
					}
				}
				p, err := New(o)
				if err != nil {
					b.Fatal(err)
				}
				latticetest.Run(b, p.Run)
				edges = append(edges, p)
			}
			for b.Loop() {
				b.StopTimer()
				latticetest.Await(b, func() bool { return edges[0].count() == 4 }, nil)
				n.Cut(true, cut)
				latticetest.Await(b, func() bool { return silent(edges[0], cut) }, nil)
				want := strconv.FormatInt(head.Add(1), 10)
				b.StartTimer()
				n.Cut(false, cut)
				for <-heard != want {
				}
			}
		})
	}
}

// BenchmarkIdle is what each edge of a cluster of three, with presence, costs while
// nothing happens: processor time of a second, memory and goroutines.
func BenchmarkIdle(b *testing.B) {
	const edges = 3
	before := runtime.NumGoroutine()
	n := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: edges})
	var last *Presence
	for _, node := range n.Nodes() {
		p, err := New(Options{Lattice: node, Self: func() Edge { return Edge{Ready: true} }})
		if err != nil {
			b.Fatal(err)
		}
		latticetest.Run(b, p.Run)
		last = p
	}
	latticetest.Await(b, func() bool { return last.count() == edges }, nil)
	for b.Loop() {
		start := spent(b)
		<-time.After(5 * time.Second)
		b.ReportMetric(float64((spent(b)-start).Microseconds())/5/edges, "cpu-us/s/edge")
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	b.ReportMetric(float64(mem.HeapAlloc)/edges/(1<<20), "MiB/edge")
	b.ReportMetric(float64(runtime.NumGoroutine()-before)/edges, "goroutines/edge")
}

// spent is the processor time of this process.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
