package logtail

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ring is an edge's log of one tenant.
type ring struct {
	mu    sync.Mutex
	lines []Line
	more  chan struct{}
}

func (r *ring) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, Line{Time: time.Now(), Text: text})
	close(r.more)
	r.more = make(chan struct{})
}

func (r *ring) read(ctx context.Context, tenant string, n int, follow bool) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		r.mu.Lock()
		at := max(0, len(r.lines)-n)
		if tenant != "/git/alice" {
			at = len(r.lines)
		}
		r.mu.Unlock()
		for marked := false; ; marked = true {
			r.mu.Lock()
			lines, more := r.lines[at:], r.more
			at = len(r.lines)
			r.mu.Unlock()
			for _, line := range lines {
				if !yield(line) {
					return
				}
			}
			if !marked && !yield(Line{}) || !follow {
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}
}

type edge struct {
	*Logs
	*ring
}

func run(t *testing.T, n *latticetest.Net) (edges []edge) {
	t.Helper()
	var names []string
	for _, node := range n.Nodes() {
		names = append(names, node.Name())
		e := edge{ring: &ring{more: make(chan struct{})}}
		e.Logs = New(Options{Lattice: node, Read: e.read, Edges: func() []string { return names }, Logger: latticetest.Logger(t)})
		latticetest.Run(t, e.Run)
		edges = append(edges, e)
	}
	for _, e := range edges { // until subscriptions have spread
		latticetest.Await(t, func() bool { return len(texts(e.Tail(t.Context(), "/git/nobody", 0, false))) == 0 }, nil)
	}
	return edges
}

func texts(lines iter.Seq[Line]) (list []string) {
	for l := range lines {
		list = append(list, l.Edge+" "+l.Text)
	}
	return list
}

func TestLinesOfAllEdgesInOrder(t *testing.T) {
	edges := run(t, latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1}))
	for i := range 9 {
		edges[i%3].add(fmt.Sprint("line ", i))
	}
	for _, e := range edges {
		if got := strings.Join(texts(e.Tail(t.Context(), "/git/alice", 4, false)), ", "); got != "fra1 line 5, ams1 line 6, ams2 line 7, fra1 line 8" {
			t.Errorf("got %s", got)
		}
	}
}

func TestFollow(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	edges := run(t, n)
	edges[1].add("old")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, stop := iter.Pull(edges[0].Tail(ctx, "/git/alice", 10, true))
	defer stop()
	wants := func(want string) {
		t.Helper()
		if l, ok := next(); !ok || l.Edge+" "+l.Text != want {
			t.Fatalf("got %+v, %v, want %s", l, ok, want)
		}
	}
	wants("fra1 old")
	edges[1].add("new")
	wants("fra1 new")
	edges[0].add("here")
	wants("ams1 here")
	cancel()
	if l, ok := next(); ok {
		t.Errorf("after the end: %+v", l)
	}
}

func TestEdgesThatDoNotAnswerAreNamed(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	edges := run(t, n)
	n.Cut(true, "fra1")
	if got := texts(edges[0].Tail(t.Context(), "/git/alice", 1, false)); len(got) != 1 || got[0] != "ams1 edge fra1 has not answered" {
		t.Errorf("got %q", got)
	}
}

// TestSlowReader has an edge write more than one stream may carry to a reader that does not read.
func TestSlowReader(t *testing.T) {
	edges := run(t, latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e := edges[0]
	inbox := open(t, e, 10)
	if err := put(inbox, question{ID: "x", Tenant: "/git/alice", Follow: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := inbox.Next(ctx); err != nil { // the mark: the stream is open
		t.Fatal(err)
	}
	r := reader{inbox: inbox, seqs: map[string]int{}}
	latticetest.Await(t, func() bool {
		for i := range 100 { // what waits was numbered before anything was lost
			e.add(strconv.Itoa(i))
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		line, err := r.next(ctx)
		return err == nil && line != nil && strings.Contains(line.Text, "lines missed)")
	}, nil)
}

// open is an inbox of so many messages.
func open(t *testing.T, e edge, messages int) *ask.Inbox {
	t.Helper()
	inbox, err := ask.Open(t.Context(), e.o.Lattice, part, messages, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inbox.Close)
	return inbox
}

func TestStreamsAreBounded(t *testing.T) {
	edges := run(t, latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}))
	e := edges[0]
	inbox := open(t, e, -1)
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	for i := range 2 * maxStreams {
		if err := put(inbox, question{ID: strconv.Itoa(i), Tenant: "/git/alice", Follow: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range maxStreams {
		if _, err := inbox.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	soon, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if data, err := inbox.Next(soon); err == nil {
		t.Errorf("another stream: %s", data)
	}
}
