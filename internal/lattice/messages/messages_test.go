package messages_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

const alice, bob tenant.ID = "/git/alice", "/git/bob"

var orders = &tenant.Manifest{Subscriptions: []tenant.Subscription{{Subject: "orders.*", Path: "/orders"}}}

// edge is one that does tasks as do says.
type edge struct {
	*messages.Messages
	node *latticetest.Node
	told chan string
	stop func()
}

type doer func(ctx context.Context, t *messages.Task) (*messages.Answer, error)

// start runs messages on a node.
func start(t testing.TB, node *latticetest.Node, do doer) *edge {
	t.Helper()
	return startWithin(t, node, 20*time.Second, do)
}

// startWithin bounds tasks by wait. again is between the tries of a message, by default
// next to nothing.
func startWithin(t testing.TB, node *latticetest.Node, wait time.Duration, do doer, again ...time.Duration) *edge {
	t.Helper()
	if again == nil {
		again = []time.Duration{0, 10 * time.Millisecond, 0, 0}
	}
	e := &edge{node: node, told: make(chan string, 16)}
	var err error
	e.Messages, err = messages.New(messages.Options{
		Lattice: node.Lattice,
		Run: func(ctx context.Context, id tenant.ID, task *messages.Task) (*messages.Answer, error) {
			if id != alice && id != bob {
				return nil, fmt.Errorf("no tenant %q", id)
			}
			return do(ctx, task)
		},
		Wait:   wait,
		Again:  again,
		Logger: latticetest.Logger(t),
		Tell:   func(_ tenant.ID, _ slog.Level, text string) { e.told <- text },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	e.stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(e.stop)
	return e
}

// names answers with the edge's name, and counts.
func names(node *latticetest.Node) doer {
	return func(_ context.Context, t *messages.Task) (*messages.Answer, error) {
		return &messages.Answer{Code: 200, Header: map[string][]string{"X-Edge": {node.Name()}}, Body: fmt.Appendf(nil, "%s %s %s %d", t.Path, t.Subject, t.Body, t.Hops)}, nil
	}
}

func limit(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// up waits until there is a stream: a server that is stopped while it makes one leaves
// goroutines behind.
func (e *edge) up(t testing.TB) {
	t.Helper()
	latticetest.Await(t, func() bool { _, err := e.Waiting(t.Context()); return err == nil }, nil)
}

// ask asks until somebody answers, which takes a moment after a change.
func (e *edge) ask(t testing.TB) (by string) {
	t.Helper()
	ctx := limit(t)
	for {
		a, err := e.Ask(ctx, alice, &messages.Task{Subject: "orders.new", Body: []byte("7"), Hops: 1})
		if err == nil {
			if want := "/orders orders.new 7 1"; string(a.Body) != want || a.Code != 200 {
				t.Fatalf("answer %d %q, want %q", a.Code, a.Body, want)
			}
			return a.Header.Get("X-Edge")
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// publish publishes until it is kept: there is a stream in a moment.
func (e *edge) publish(t testing.TB, id tenant.ID, body []byte) {
	t.Helper()
	ctx := limit(t)
	for {
		err := e.Of(id, orders).Publish(ctx, &hostcalls.Message{Subject: "orders.new", Body: body, Hops: 1})
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestNearest: an edge that serves the tenant asks itself, another one whoever does.
func TestNearest(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2})
	one, two := start(t, net.Node("ams1"), names(net.Node("ams1"))), start(t, net.Node("ams2"), names(net.Node("ams2")))
	one.up(t)
	if _, err := one.Ask(limit(t), alice, &messages.Task{Subject: "orders.new"}); !errors.Is(err, messages.ErrNobody) {
		t.Errorf("where nobody serves the tenant: %v", err)
	}
	two.Set(alice, orders)
	if by := one.ask(t); by != "ams2" {
		t.Errorf("answered by %s", by)
	}
	if _, err := one.Ask(limit(t), alice, &messages.Task{Subject: "invoices.new"}); !errors.Is(err, messages.ErrNobody) {
		t.Errorf("a subject that nobody takes: %v", err)
	}
	one.Set(alice, orders)
	if by := one.ask(t); by != "ams1" {
		t.Errorf("answered by %s though ams1 can", by)
	}
	elsewhere := *orders
	elsewhere.Regions = []string{"fra"}
	one.Set(alice, &elsewhere)
	if by := one.ask(t); by != "ams2" {
		t.Errorf("answered by %s though it may not", by)
	}
}

// TestRegionFirst: an edge of the own region answers before one of another, unless it has
// no room.
func TestRegionFirst(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1})
	var full atomic.Bool
	near := net.Node("ams2")
	start(t, near, func(ctx context.Context, task *messages.Task) (*messages.Answer, error) {
		if full.Load() {
			return nil, errors.New("busy")
		}
		return names(near)(ctx, task)
	}).Set(alice, orders)
	far := start(t, net.Node("fra1"), names(net.Node("fra1")))
	far.Set(alice, orders)
	asker := start(t, net.Node("ams1"), names(net.Node("ams1")))
	asker.up(t)
	far.up(t)
	latticetest.Await(t, func() bool { return asker.ask(t) == "ams2" }, nil)
	for range 30 {
		if by := asker.ask(t); by != "ams2" {
			t.Fatalf("answered by %s, want the region's ams2", by)
		}
	}
	full.Store(true)
	if by := asker.ask(t); by != "fra1" {
		t.Errorf("answered by %s, which is full", by)
	}
	full.Store(false)
	if by := asker.ask(t); by != "ams2" {
		t.Errorf("answered by %s, though ams2 has room again", by)
	}
	// An edge that is full itself asks others, not itself again.
	self := start(t, net.Node("ams1"), func(context.Context, *messages.Task) (*messages.Answer, error) { return nil, errors.New("busy") })
	self.Set(alice, orders)
	for range 10 {
		if by := self.ask(t); by != "ams2" {
			t.Errorf("answered by %s, want the region's ams2", by)
		}
	}
}

// TestFailOver: work moves to another region when an edge dies with it in hand, and the
// asker does not notice.
func TestFailOver(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1}, latticetest.Region{Name: "nyc", Edges: 1})
	taken := make(chan string, 8)
	release := make(chan struct{})
	slow := func(node *latticetest.Node) doer {
		return func(ctx context.Context, task *messages.Task) (*messages.Answer, error) {
			select {
			case taken <- node.Name():
			default:
			}
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return names(node)(ctx, task)
		}
	}
	fra, nyc := start(t, net.Node("fra1"), slow(net.Node("fra1"))), start(t, net.Node("nyc1"), slow(net.Node("nyc1")))
	fra.Set(alice, orders)
	nyc.Set(alice, orders)
	ams := start(t, net.Node("ams1"), names(net.Node("ams1")))
	for _, e := range []*edge{ams, fra, nyc} {
		e.up(t)
	}
	answered := make(chan string, 1)
	go func() { answered <- ams.ask(t) }()
	first := <-taken
	net.Cut(true, first)
	second := <-taken
	for second == first { // the first attempts may both have found it, before the cut was felt
		second = <-taken
	}
	close(release)
	if by := <-answered; by != second {
		t.Errorf("%s fell silent, %s took over, and %s answered", first, second, by)
	}
	net.Cut(false, first)
}

// TestPublish: a message that was kept is handled though edges fail and leave.
func TestPublish(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	handled := make(chan string, 64)
	var edges []*edge
	for _, node := range net.Nodes() {
		e := startWithin(t, node, 20*time.Second, func(_ context.Context, task *messages.Task) (*messages.Answer, error) {
			if node.Name() == "ams1" { // takes nothing well
				return &messages.Answer{Code: 500}, nil
			}
			handled <- string(task.Body)
			return &messages.Answer{Code: 204}, nil
		}, time.Second, time.Second, time.Second, time.Second) // by then it is gone
		e.Set(alice, orders)
		edges = append(edges, e)
	}
	ctx := limit(t)
	const count = 20
	for i := range count {
		edges[0].publish(t, alice, fmt.Append(nil, i))
	}
	edges[0].stop()
	net.Node("ams1").Stop()
	missing := map[string]bool{}
	for i := range count {
		missing[strconv.Itoa(i)] = true
	}
	for len(missing) > 0 {
		select {
		case body := <-handled:
			delete(missing, body)
		case <-ctx.Done():
			t.Fatalf("not handled: %v", missing)
		}
	}
}

func TestPublishRefused(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	e := start(t, net.Node("ams1"), names(net.Node("ams1")))
	e.up(t)
	guest := e.Of(alice, orders)
	for name, msg := range map[string]*hostcalls.Message{
		"nobody takes it": {Subject: "invoices.new"},
		"too large":       {Subject: "orders.new", Body: make([]byte, messages.MaxBytes+1)},
		"a circle":        {Subject: "orders.new", Hops: messages.MaxHops + 1},
	} {
		if err := guest.Publish(limit(t), msg); err == nil {
			t.Errorf("%s: published", name)
		}
		if _, err := guest.Request(limit(t), msg); err == nil {
			t.Errorf("%s: answered", name)
		}
	}
}
