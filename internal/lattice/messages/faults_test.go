package messages_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

// TestFlood: a tenant that publishes more than its modules handle is refused in time,
// loses nothing that was taken, and does not hold up another tenant.
func TestFlood(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	gate, handled, others := make(chan struct{}), make(chan string, 64), make(chan string, 1)
	var running atomic.Int32
	e := start(t, net.Node("ams1"), func(ctx context.Context, task *messages.Task) (*messages.Answer, error) {
		if task.Path == "/bob" {
			others <- string(task.Body)
			return &messages.Answer{Code: 200}, nil
		}
		if running.Add(1); running.Load() > 2 { // as many as the tenant may have in flight
			running.Add(-1)
			return nil, errors.New("busy")
		}
		defer running.Add(-1)
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		handled <- string(task.Body[:2])
		return &messages.Answer{Code: 200}, nil
	})
	e.Set(alice, orders)
	e.Set(bob, &tenant.Manifest{Subscriptions: []tenant.Subscription{{Subject: "orders.*", Path: "/bob"}}})
	ctx := limit(t)
	guest, large := e.Of(alice, orders), make([]byte, messages.MaxBytes)
	e.publish(t, alice, []byte("00"))
	kept := 1
	for {
		copy(large, fmt.Sprintf("%02d", kept))
		err := guest.Publish(ctx, &hostcalls.Message{Subject: "orders.new", Body: large, Hops: 1})
		if err != nil {
			if !strings.Contains(err.Error(), "messages wait already") {
				t.Fatal(err)
			}
			break
		}
		if kept++; kept > 60 {
			t.Fatal("60 messages of the largest size wait, and none is refused")
		}
	}
	if n, err := e.Waiting(ctx); err != nil || n != uint64(kept) {
		t.Errorf("%d messages wait, %v, want %d", n, err, kept)
	}
	e.publish(t, bob, []byte("7"))
	select {
	case <-others:
	case <-ctx.Done():
		t.Fatal("another tenant's message waits for the flood's")
	}
	close(gate)
	missing := map[string]bool{}
	for i := range kept {
		missing[fmt.Sprintf("%02d", i)] = true
	}
	for len(missing) > 0 {
		select {
		case body := <-handled:
			delete(missing, body)
		case text := <-e.told:
			t.Fatalf("the tenant is told: %s", text)
		case <-ctx.Done():
			t.Fatalf("not handled: %v", missing)
		}
	}
}

// TestLoop: a module that answers each message by two of the same subject fills what is
// its own, and holds up nobody else.
func TestLoop(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	refused, others := make(chan struct{}, 1), make(chan string, 1)
	var guest hostcalls.Messages
	var deepest atomic.Int64
	e := start(t, net.Node("ams1"), func(ctx context.Context, task *messages.Task) (*messages.Answer, error) {
		if task.Path == "/bob" {
			others <- string(task.Body)
			return &messages.Answer{Code: 200}, nil
		}
		deepest.Store(max(deepest.Load(), int64(task.Hops)))
		for range 2 {
			err := guest.Publish(ctx, &hostcalls.Message{Subject: "orders.new", Body: task.Body, Hops: task.Hops + 1})
			if err != nil && strings.Contains(err.Error(), "messages wait already") {
				select {
				case refused <- struct{}{}:
				default:
				}
			}
		}
		return &messages.Answer{Code: 200}, nil
	})
	guest = e.Of(alice, orders)
	e.Set(alice, orders)
	e.Set(bob, &tenant.Manifest{Subscriptions: []tenant.Subscription{{Subject: "orders.*", Path: "/bob"}}})
	e.publish(t, alice, make([]byte, 100<<10)) // 160 of them may wait
	ctx := limit(t)
	select {
	case <-refused:
	case <-ctx.Done():
		t.Fatal("nothing of a loop is refused")
	}
	if n, err := e.Waiting(ctx); err != nil || n > 200 {
		t.Errorf("%d messages wait, %v, want 160 or a few more", n, err)
	}
	e.publish(t, bob, []byte("7"))
	select {
	case <-others:
	case <-ctx.Done():
		t.Fatal("another tenant's message waits for the loop's")
	}
	if n := deepest.Load(); n > messages.MaxHops {
		t.Errorf("a message led to %d others, one after the other", n)
	}
}

// hears wants that the tenant is told something.
func (e *edge) hears(t *testing.T, want string) {
	t.Helper()
	select {
	case text := <-e.told:
		if !strings.Contains(text, want) {
			t.Errorf("the tenant is told %q, want in it %q", text, want)
		}
	case <-limit(t).Done():
		t.Fatalf("the tenant is not told of %q", want)
	}
}

// TestGivenUp: a message that is never handled is tried five times, and told.
func TestGivenUp(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	var times atomic.Int32
	e := start(t, net.Node("ams1"), func(context.Context, *messages.Task) (*messages.Answer, error) {
		times.Add(1)
		return &messages.Answer{Code: 500}, nil
	})
	e.Set(alice, orders)
	e.publish(t, alice, []byte("7"))
	e.hears(t, "orders.new is given up after 5 times: /orders answered 500")
	if n := times.Load(); n != 5 {
		t.Errorf("tried %d times, want 5", n)
	}
}

// TestRemoved: messages wait for a subscriber that has gone for a while, and one that
// no release takes any more is told.
func TestRemoved(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	handled := make(chan string, 1)
	e := start(t, net.Node("ams1"), func(_ context.Context, task *messages.Task) (*messages.Answer, error) {
		handled <- string(task.Body)
		return &messages.Answer{Code: 200}, nil
	})
	e.Set(alice, orders)
	e.publish(t, alice, []byte("first"))
	<-handled
	e.Remove(alice)
	e.publish(t, alice, []byte("second")) // by a release that still runs
	e.Set(alice, orders)
	select {
	case body := <-handled:
		if body != "second" {
			t.Errorf("handled %q", body)
		}
	case <-limit(t).Done():
		t.Fatal("the message that waited is not handled")
	}
	e.Set(alice, &tenant.Manifest{Subscriptions: []tenant.Subscription{{Subject: "invoices.*", Path: "/"}}})
	e.publish(t, alice, []byte("third"))
	e.hears(t, "no [[subscribe]] takes it")
}

// TestHolderDies: an edge that dies with a message in hand loses it to another.
func TestHolderDies(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	taken, over := make(chan string, 16), make(chan struct{})
	var dead atomic.Value
	dead.Store("")
	edges := map[string]*edge{}
	for _, node := range net.Nodes() {
		edges[node.Name()] = startWithin(t, node, 2*time.Second, func(context.Context, *messages.Task) (*messages.Answer, error) {
			if dead.CompareAndSwap("", node.Name()) || dead.Load() == node.Name() {
				taken <- node.Name()
				<-over // nothing more is heard of it
				return nil, errors.New("dead")
			}
			taken <- node.Name()
			return &messages.Answer{Code: 200}, nil
		})
		edges[node.Name()].Set(alice, orders)
	}
	defer close(over)
	edges["ams1"].publish(t, alice, []byte("7"))
	first := <-taken
	net.Cut(true, first)
	for {
		select {
		case by := <-taken:
			if by != first {
				return
			}
		case <-limit(t).Done():
			t.Fatalf("%s died with the message, and no other edge handles it", first)
		}
	}
}

// TestRegionCut: a region that is cut off goes on with what it has, fails in time at
// what it has not, and finds the others again.
func TestRegionCut(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	handled := make(chan string, 16)
	do := func(node *latticetest.Node) doer {
		return func(ctx context.Context, task *messages.Task) (*messages.Answer, error) {
			if string(task.Body) != "7" {
				handled <- node.Name() + string(task.Body)
			}
			return names(node)(ctx, task)
		}
	}
	ams, fra := start(t, net.Node("ams1"), do(net.Node("ams1"))), start(t, net.Node("fra1"), do(net.Node("fra1")))
	ams.Set(alice, orders)
	fra.Set(alice, orders)
	fra.publish(t, alice, []byte("0"))
	if got := <-handled; got != "fra10" {
		t.Errorf("handled as %s, want it in its region", got)
	}
	net.Cut(true, "fra1")
	for i := 1; i < 4; i++ {
		fra.publish(t, alice, strconv.AppendInt(nil, int64(i), 10))
		select {
		case got := <-handled:
			if want := "fra1" + strconv.Itoa(i); got != want {
				t.Errorf("handled %s, want %s", got, want)
			}
		case <-limit(t).Done():
			t.Fatal("a region that is cut off handles no messages")
		}
	}
	if by := fra.ask(t); by != "fra1" {
		t.Errorf("answered by %s", by)
	}
	fra.Remove(alice)
	ctx := limit(t)
	if a, err := fra.Ask(ctx, alice, &messages.Task{Subject: "orders.new"}); err == nil || ctx.Err() != nil {
		t.Errorf("asked where nobody is: %+v, %v", a, err)
	}
	net.Cut(false, "fra1")
	if by := fra.ask(t); by != "ams1" {
		t.Errorf("answered by %s", by)
	}
}
