package acme_test

import (
	"context"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestACMEWithoutQuorum has an edge keep its certificates in the lattice, and cuts it off
// from the others: it serves what it and its copy have, refuses the rest in bounded time
// and without an order, and goes on by itself when it is back.
func TestACMEWithoutQuorum(t *testing.T) {
	p := startPebble(t)
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	s, err := state.New(state.Options{Lattice: net.Node("ams1").Lattice, Bucket: "terrane_certs", Timeout: 4 * time.Second, Logger: latticetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	latticetest.Run(t, s.Run)
	kv := storage.Refreshed(s.KV("certs", state.Near), func(ctx context.Context) error { return s.Refresh(ctx, "certs") })
	latticetest.Await(t, func() bool { _, err := kv.List(t.Context(), "", "", 1); return err == nil }, nil)
	start := func() *edge {
		e := startEdge(t, p, "", nil, acme.Options{Storage: storage.NewShared(kv, 0)})
		validateAt(p, e)
		return e
	}
	e := start()
	alice, bob := "alice.without-quorum.example", "bob.without-quorum.example"
	first, orders := e.mustGet(t, p, alice), p.Orders(t)

	net.Cut(true, "ams1")
	latticetest.Await(t, func() bool { // it may lead until it notices
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.KV("certs", state.Strict).Get(ctx, "any")
		return err != nil && ctx.Err() != nil
	}, nil)
	e.mustGet(t, p, alice)
	if _, err := e.get(t, p, bob); err == nil || p.Orders(t) != orders {
		t.Errorf("without a quorum: %v, %d orders", err, p.Orders(t)-orders)
	}
	e.stop()
	e = start()
	if again := e.mustGet(t, p, alice); again.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("another certificate after a restart")
	}
	if p.Orders(t) != orders {
		t.Errorf("%d orders without a quorum", p.Orders(t)-orders)
	}

	net.Cut(false, "ams1")
	certstest.Eventually(t, "a certificate is ordered", func() bool {
		_, err := e.get(t, p, bob)
		return err == nil
	})
	e.stop()
}
