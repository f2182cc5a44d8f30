package state_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// flood has a tenant write, read and list from many requests at once as fast as it
// goes, with the largest values, until stop is called.
func flood(t testing.TB, kv hostcalls.KV) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	value := bytes.Repeat([]byte("v"), hostcalls.KVValueMax)
	var requests sync.WaitGroup
	for i := range 128 {
		requests.Go(func() {
			key := strconv.Itoa(i / 4) // more than an edge keeps in memory
			for ctx.Err() == nil {
				e, err := kv.Get(ctx, key)
				if i%4 == 0 && (err == nil || errors.Is(err, hostcalls.ErrNotFound)) {
					_, err = kv.Put(ctx, key, value, e.Version, time.Time{})
				}
				_, _ = kv.List(ctx, "", "", 1000)
				// One that floods may wait for itself for too long.
				if err != nil && ctx.Err() == nil && !errors.Is(err, hostcalls.ErrNotFound) && !errors.Is(err, hostcalls.ErrConflict) && !strings.Contains(err.Error(), "the tenant has too many") {
					t.Errorf("the flood meets %v", err)
				}
			}
		})
	}
	return func() { cancel(); requests.Wait() }
}

// TestFlood has one tenant flood the state: nobody loses the connection, and another
// tenant goes on.
func TestFlood(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	node := net.Node("ams1")
	s, _ := run(t, node, state.Options{})
	up(t, s)
	stop := flood(t, s.KV("/git/alice", state.Near))
	bob := s.KV("/git/bob", state.Near)
	for i := range 50 {
		put(t, bob, "key", strconv.Itoa(i))
		comes(t, bob, "key", strconv.Itoa(i))
	}
	stop()
	nc, err := node.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := nc.Stats().Reconnects; n > 0 {
		t.Errorf("the server has cut the edge off %d times", n)
	}
}

// BenchmarkFlood is what a tenant's operations take beside one that floods.
func BenchmarkFlood(b *testing.B) {
	for _, flooded := range []bool{false, true} {
		b.Run(map[bool]string{false: "calm", true: "flooded"}[flooded], func(b *testing.B) {
			net := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: 1})
			s, _ := run(b, net.Node("ams1"), state.Options{})
			up(b, s)
			if flooded {
				defer flood(b, s.KV("/git/alice", state.Near))()
			}
			bob := s.KV("/git/bob", state.Near)
			var gets, puts []time.Duration
			at := uint64(0)
			for b.Loop() {
				begun := time.Now()
				var err error
				if at, err = bob.Put(b.Context(), "key", []byte("value"), at, time.Time{}); err != nil {
					b.Fatal(err)
				}
				puts, begun = append(puts, time.Since(begun)), time.Now()
				if _, err := bob.Get(b.Context(), "key"); err != nil {
					b.Fatal(err)
				}
				gets = append(gets, time.Since(begun))
			}
			for name, d := range map[string][]time.Duration{"get": gets, "put": puts} {
				slices.Sort(d)
				b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-µs")
			}
		})
	}
}
