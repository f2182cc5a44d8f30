package ticket

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = bytes.Repeat([]byte("s"), 32)

// edge notes the keys it was given.
type edge struct {
	mu   sync.Mutex
	keys [][32]byte
}

func (e *edge) set(keys [][32]byte) { e.mu.Lock(); defer e.mu.Unlock(); e.keys = keys }

func (e *edge) get() [][32]byte { e.mu.Lock(); defer e.mu.Unlock(); return e.keys }

func run(t *testing.T, node *latticetest.Node, secret []byte) (e *edge, stop func()) {
	t.Helper()
	e = new(edge)
	tickets, err := New(Options{Lattice: node, Secret: secret, Set: e.set, Logger: latticetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	return e, latticetest.Run(t, tickets.Run)
}

// agree waits until all edges decrypt each other's tickets.
func agree(t *testing.T, edges ...*edge) {
	t.Helper()
	latticetest.Await(t, func() bool {
		for _, a := range edges {
			for _, b := range edges {
				if keys := a.get(); len(keys) == 0 || !slices.Contains(b.get(), keys[0]) {
					return false
				}
			}
		}
		return true
	}, func() string { return fmt.Sprint("edges do not agree: ", edges[0].get(), edges[len(edges)-1].get()) })
}

func TestEdgesAgreeAcrossRegionsAndPartitions(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1})
	var edges []*edge
	var stop func()
	for _, node := range n.Nodes() {
		var e *edge
		e, stop = run(t, node, secret)
		edges = append(edges, e)
	}
	agree(t, edges...)
	n.Cut(true, "fra1")
	stop()
	edges[2], _ = run(t, n.Node("fra1"), secret) // an edge that starts while it is cut off makes a key
	agree(t, edges[2])
	if slices.Contains(edges[0].get(), edges[2].get()[0]) {
		t.Error("a key crossed the partition")
	}
	n.Cut(false, "fra1")
	agree(t, edges...)
}

func TestOtherSecretsAreRefused(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	ours, _ := run(t, n.Node("ams1"), secret)
	theirs, _ := run(t, n.Node("fra1"), bytes.Repeat([]byte("x"), 32))
	latticetest.Await(t, func() bool { return len(ours.get()) > 0 && len(theirs.get()) > 0 }, nil)
	if slices.Contains(ours.get(), theirs.get()[0]) {
		t.Error("an edge of another secret gave us its key")
	}
	if _, err := New(Options{Secret: secret[:31]}); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestNothingIsToldInTheClear(t *testing.T) {
	tickets, err := New(Options{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	box := tickets.seal([]byte(`{"keys":[]}`))
	if bytes.Contains(box, []byte("keys")) {
		t.Error("a message is not sealed")
	}
	box[len(box)-1] ^= 1
	if _, err := tickets.open(box); err == nil {
		t.Error("a changed message is taken")
	}
	if _, err := tickets.open(make([]byte, maxMessage+1)); err == nil {
		t.Error("a long message is taken")
	}
}

func TestRing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := ring{period: time.Hour}
	made := func(created time.Time) key {
		return key{Created: created.Unix(), Key: bytes.Repeat([]byte{byte(created.Unix())}, keySize)}
	}
	if !r.due(now) {
		t.Error("an empty ring wants no key")
	}
	r.rotate(now)
	first := r.keys[0]
	if got := r.ordered(now); len(got) != 1 {
		t.Errorf("%d keys", len(got))
	}
	now = now.Add(2 * time.Hour)
	if !r.due(now) {
		t.Error("a key encrypts for longer than its period")
	}
	r.rotate(now)
	if got := r.ordered(now); [32]byte(first.Key) != got[0] {
		t.Error("a key encrypts before it has spread")
	}
	if got := r.ordered(now.Add(settle)); [32]byte(first.Key) != got[1] {
		t.Error("the new key does not encrypt")
	}
	if changed, lacks := r.merge([]key{first}, now); changed || !lacks {
		t.Errorf("another edge lacks a key: changed %v, lacks %v", changed, lacks)
	}
	for name, bad := range map[string]key{
		"of tomorrow": made(now.Add(24 * time.Hour)), "long gone": made(now.Add(-24 * time.Hour)), "short": {Created: now.Unix(), Key: []byte("x")},
	} {
		if changed, _ := r.merge([]key{bad}, now); changed {
			t.Errorf("a key %s is taken", name)
		}
	}
	if changed, _ := r.merge([]key{made(now.Add(5 * time.Minute))}, now); !changed {
		t.Error("a key of an edge whose clock is ahead is refused")
	}
	var many []key
	for i := range 100 {
		many = append(many, made(now.Add(-time.Duration(i)*time.Minute)))
	}
	for i := range many {
		r.merge(many[i:], now)
	}
	if len(r.keys) != maxKeys {
		t.Errorf("%d keys", len(r.keys))
	}
	if r.trim(now.Add(24 * time.Hour)); len(r.keys) != 0 {
		t.Error("keys outlive three periods")
	}
	r.rotate(now.Add(24 * time.Hour))
	if r.trim(now); !r.due(now) {
		t.Error("a clock was put back, and the key that was made before, which no other edge takes, is kept")
	}
}

func FuzzOpen(f *testing.F) {
	tickets, err := New(Options{Secret: secret})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"ask":true,"keys":[{"created":1,"key":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := tickets.open(tickets.seal(data)); err == nil {
			r := ring{period: time.Hour}
			r.merge(m.Keys, time.Unix(1, 0))
			if len(r.keys) > maxKeys {
				t.Errorf("%d keys", len(r.keys))
			}
			r.ordered(time.Unix(1, 0))
		}
	})
}
