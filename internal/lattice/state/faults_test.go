package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// put stores a value whatever is there, and fails the test if that is not confirmed.
func put(t *testing.T, kv hostcalls.KV, key, value string) {
	t.Helper()
	if err := tryPut(t.Context(), kv, key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func tryPut(ctx context.Context, kv hostcalls.KV, key, value string) error {
	for {
		e, err := kv.Get(ctx, key)
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return err
		}
		if _, err = kv.Put(ctx, key, []byte(value), e.Version, time.Time{}); !errors.Is(err, hostcalls.ErrConflict) {
			return err
		}
	}
}

// comes waits until a key has a value.
func comes(t *testing.T, kv hostcalls.KV, key, value string) {
	t.Helper()
	var e hostcalls.KVEntry
	var err error
	latticetest.Await(t, func() bool {
		e, err = kv.Get(t.Context(), key)
		return err == nil && string(e.Value) == value
	}, func() string { return fmt.Sprintf("%s is %q, %v; want %q", key, e.Value, err, value) })
}

// shortly is a context for what must not succeed: it ends soon.
func shortly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// cutOff checks an edge that has no majority: it reads what it had, confirms no
// write, and lets no strict read pass.
func cutOff(t *testing.T, s *state.Store, key, had string) {
	t.Helper()
	near, strict := s.KV("/git/alice", state.Near), s.KV("/git/alice", state.Strict)
	ctx := func() context.Context { return shortly(t) }
	if e, err := near.Get(t.Context(), key); err != nil || string(e.Value) != had {
		t.Errorf("a read without the majority: %q, %v; want %q", e.Value, err, had)
	}
	if e, err := strict.Get(ctx(), key); err == nil {
		t.Errorf("a strict read without the majority: %q", e.Value)
	}
	if keys, err := strict.List(ctx(), "", "", 10); err == nil {
		t.Errorf("a strict list without the majority: %q", keys)
	}
	if _, err := near.Put(ctx(), "minority", []byte("x"), 0, time.Time{}); err == nil {
		t.Error("a write without the majority is confirmed")
	}
}

// TestEdgeCutOff cuts an edge of a cluster off; with TERRANE_LONG_TESTS each in turn,
// the leader among them.
func TestEdgeCutOff(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	var stores []*state.Store
	for _, node := range net.Nodes() {
		s, _ := run(t, node, state.Options{})
		up(t, s)
		stores = append(stores, s)
	}
	for i, node := range net.Nodes() {
		if i > 0 && os.Getenv("TERRANE_LONG_TESTS") == "" {
			break
		}
		before, after := fmt.Sprint("before ", i), fmt.Sprint("after ", i)
		other := stores[(i+1)%3].KV("/git/alice", state.Near)
		put(t, other, "key", before)
		near := stores[i].KV("/git/alice", state.Near)
		latticetest.Await(t, func() bool { // a copy answers by itself only some time after it is whole
			comes(t, near, "key", before)
			net.Cut(true, node.Name())
			_, err := near.Get(shortly(t), "key")
			if err != nil {
				net.Cut(false, node.Name())
			}
			return err == nil
		}, nil)
		latticetest.Await(t, func() bool { return tryPut(t.Context(), other, "key", after) == nil }, nil)
		cutOff(t, stores[i], "key", before)
		net.Cut(false, node.Name())
		comes(t, stores[i].KV("/git/alice", state.Near), "key", after)
		comes(t, stores[i].KV("/git/alice", state.Strict), "key", after)
	}
	if _, err := stores[0].KV("/git/alice", state.Strict).Get(t.Context(), "minority"); !errors.Is(err, hostcalls.ErrNotFound) {
		t.Errorf("a write that was not confirmed is there: %v", err)
	}
}

// TestRegionCutOff cuts a region off from the state's home, and restarts its edge meanwhile.
func TestRegionCutOff(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	home, _ := run(t, net.Node("ams1"), state.Options{})
	up(t, home)
	o := state.Options{Home: "ams"}
	far, stop := run(t, net.Node("fra1"), o)
	up(t, far)
	put(t, home.KV("/git/alice", state.Near), "key", "before")
	put(t, far.KV("/git/alice", state.Near), "there", "from afar")
	comes(t, far.KV("/git/alice", state.Near), "key", "before")

	net.Cut(true, "fra1")
	put(t, home.KV("/git/alice", state.Near), "key", "after")
	cutOff(t, far, "key", "before")
	stop()
	net.Node("fra1").Stop()
	net.Node("fra1").Start()
	far, _ = run(t, net.Node("fra1"), o)
	up(t, far)
	cutOff(t, far, "there", "from afar")

	net.Cut(false, "fra1")
	comes(t, far.KV("/git/alice", state.Near), "key", "after")
	put(t, far.KV("/git/alice", state.Near), "key", "again")
	comes(t, home.KV("/git/alice", state.Near), "key", "again")
}

// TestClocksApart has an edge whose clock is a minute ahead, and one that is behind.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	var kvs []hostcalls.KV
	var clocks []func() time.Time
	for _, skew := range []time.Duration{time.Minute, -time.Minute, 0} {
		clock := func() time.Time { return time.Now().Add(skew) }
		s := start(t, net.Node("ams1"), state.Options{}, clock)
		up(t, s)
		latticetest.Await(t, func() bool { return (state.Offset(s) + skew).Abs() < time.Second }, nil)
		kvs, clocks = append(kvs, s.KV("/git/alice", state.Near)), append(clocks, clock)
	}
	const ttl, short = time.Hour, 2 * time.Second
	for i, kv := range kvs {
		if _, err := kv.Put(t.Context(), fmt.Sprint("key", i), nil, 0, clocks[i]().Add(ttl)); err != nil {
			t.Fatal(err)
		}
	}
	for _, reader := range kvs { // what another edge has stored comes a moment later
		latticetest.Await(t, func() bool {
			keys, err := reader.List(t.Context(), "", "", 10)
			return err == nil && len(keys) == len(kvs)
		}, nil)
	}
	for i := range kvs {
		for j, reader := range kvs {
			e, err := reader.Get(t.Context(), fmt.Sprint("key", i))
			if left := e.Expires.Sub(clocks[j]()); err != nil || left > ttl || left < 0 {
				t.Errorf("edge %d reads what %d has stored: %v left, %v", j, i, left, err)
			}
		}
	}
	for i, kv := range kvs {
		if _, err := kv.Put(t.Context(), fmt.Sprint("short", i), nil, 0, clocks[i]().Add(short)); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(short + 100*time.Millisecond)
	for i := range kvs {
		for j, reader := range kvs {
			if _, err := reader.Get(t.Context(), fmt.Sprint("short", i)); !errors.Is(err, hostcalls.ErrNotFound) {
				t.Errorf("edge %d reads what %d has stored, and is over: %v", j, i, err)
			}
		}
	}
}
