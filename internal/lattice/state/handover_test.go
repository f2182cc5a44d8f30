package state_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// leader is the edge that leads a bucket.
func leader(t testing.TB, net *latticetest.Net, at *latticetest.Node) *latticetest.Node {
	t.Helper()
	var name string
	latticetest.Await(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		js, err := at.JetStream(ctx)
		if err != nil {
			return false
		}
		stream, err := js.Stream(ctx, "KV_terrane_state")
		if err != nil || stream.CachedInfo().Cluster == nil {
			return false
		}
		name = stream.CachedInfo().Cluster.Leader
		return name != ""
	}, nil)
	return net.Node(name)
}

// TestHandOver stops the edge that leads, in order, under writes at another: all of
// them are confirmed.
func TestHandOver(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	stops, stores := map[*latticetest.Node]func(){}, map[*latticetest.Node]*state.Store{}
	for _, node := range net.Nodes() {
		stores[node], stops[node] = run(t, node, state.Options{Answer: time.Second})
		up(t, stores[node])
	}
	lead := leader(t, net, net.Nodes()[0])
	other := net.Nodes()[0]
	if other == lead {
		other = net.Nodes()[1]
	}
	kv := stores[other].KV("/git/alice", state.Near)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var confirmed atomic.Int64
	var writers errgroup.Group
	for w := range 8 {
		writers.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := kv.Put(t.Context(), fmt.Sprint(w, "/", i), nil, 0, time.Time{}); err != nil {
					return err
				}
				confirmed.Add(1)
			}
			return nil
		})
	}
	more := func() {
		n := confirmed.Load() + 100
		latticetest.Await(t, func() bool { return confirmed.Load() >= n }, nil)
	}
	more()
	stops[lead]()
	lead.Stop()
	more()
	cancel()
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	if now := leader(t, net, other); now == lead {
		t.Errorf("%s leads, which was stopped", now.Name())
	}
}

// send is what an edge's writes pass through.
type send = func(context.Context, *nats.Msg) (*nats.Msg, error)

// TestUnanswered loses writes, or what confirms them, on the way: each is done once, or
// the error does not say that it was not done.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	var lose atomic.Pointer[func(context.Context, *nats.Msg, send)] // what happens to the next write, of which nothing is heard
	s := open(t, net.Node("ams1"), state.Options{Answer: time.Second})
	state.Intercept(s, func(pass send) send {
		return func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
			if how := lose.Swap(nil); how != nil && len(m.Data) > 0 {
				(*how)(ctx, m, pass)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return pass(ctx, m)
		}
	})
	latticetest.Run(t, s.Run)
	up(t, s)
	other, _ := run(t, net.Node("ams1"), state.Options{})
	up(t, other)
	another := other.KV("/git/alice", state.Near)
	written := func(ctx context.Context, m *nats.Msg, pass send) {
		if _, err := pass(ctx, m); err != nil {
			t.Error(err)
		}
	}
	overwritten := func(ctx context.Context, _ *nats.Msg, _ send) {
		if err := tryPut(ctx, another, "key", "another's"); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name string
		how  func(context.Context, *nats.Msg, send)
		want string // what is there in the end
		ok   func(error) bool
	}{
		{"the write", func(context.Context, *nats.Msg, send) {}, "ours", func(err error) bool { return err == nil }},
		{"the confirmation", written, "ours", func(err error) bool { return err == nil }},
		{"the write, and another is there", overwritten, "another's", func(err error) bool { return errors.Is(err, hostcalls.ErrConflict) }},
		{"the confirmation, and another is there", func(ctx context.Context, m *nats.Msg, pass send) {
			written(ctx, m, pass)
			overwritten(ctx, m, pass)
		}, "another's", func(err error) bool { return err != nil && !errors.Is(err, hostcalls.ErrConflict) }},
	} {
		kv := s.KV("/git/alice", state.Near)
		put(t, kv, "key", "before")
		e, err := kv.Get(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		lose.Store(&c.how)
		version, err := kv.Put(t.Context(), "key", []byte("ours"), e.Version, time.Time{})
		if !c.ok(err) {
			t.Errorf("%s is lost: %v", c.name, err)
		}
		now, getErr := s.KV("/git/alice", state.Strict).Get(t.Context(), "key")
		if getErr != nil || string(now.Value) != c.want || err == nil && now.Version != version {
			t.Errorf("%s is lost: %q at %d, %v; want %q at %d", c.name, now.Value, now.Version, getErr, c.want, version)
		}
	}

	// A write at a version that the key never had was not done, whatever was lost.
	kv := s.KV("/git/alice", state.Near)
	put(t, kv, "key", "before")
	e, err := kv.Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context, *nats.Msg, send) {}
	lose.Store(&nothing)
	if _, err := kv.Put(t.Context(), "key", []byte("ours"), e.Version+1, time.Time{}); !errors.Is(err, hostcalls.ErrConflict) {
		t.Errorf("a write at a version that is not there is lost: %v", err)
	}
}
