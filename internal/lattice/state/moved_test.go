package state_test

import (
	"errors"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestRemoved removes all state under an edge that runs: nothing of it is read again.
func TestRemoved(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	node := net.Node("ams1")
	s, _ := run(t, node, state.Options{})
	up(t, s)
	kv := s.KV("/git/alice", state.Near)
	put(t, kv, "key", "old")
	put(t, kv, "gone", "old")
	js, err := node.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "KV_terrane_state"); err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool {
		_, err := kv.Get(t.Context(), "gone")
		return errors.Is(err, hostcalls.ErrNotFound)
	}, nil)
	put(t, kv, "key", "new") // at a sequence that old values had
	put(t, kv, "other", "new")
	comes(t, kv, "key", "new")
	comes(t, kv, "other", "new")
	if keys, err := kv.List(t.Context(), "", "", 10); err != nil || len(keys) != 2 {
		t.Errorf("listed: %q, %v", keys, err)
	}
}
