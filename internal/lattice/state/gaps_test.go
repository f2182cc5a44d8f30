package state_test

import (
	"sync/atomic"
	"testing"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestCopyWithGaps has home's copies answer for a while that they are complete, and lack
// a key, as one does that catches up after a cut.
func TestCopyWithGaps(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	home, _ := run(t, net.Node("ams1"), state.Options{})
	up(t, home)
	var answers atomic.Int32
	far := open(t, net.Node("fra1"), state.Options{Home: "ams"})
	state.Absent(far, 3, &answers)
	latticetest.Run(t, far.Run)
	up(t, far)

	pauseFollowers(t.Context(), t, net.Node("fra1")) // it hears of nothing, and asks
	put(t, home.KV("/git/alice", state.Near), "key", "value")
	e, err := far.KV("/git/alice", state.Strict).Get(t.Context(), "key")
	if err != nil || string(e.Value) != "value" {
		t.Errorf("a strict read: %q, %v, after %d answers", e.Value, err, answers.Load())
	}
	if answers.Load() <= 3 {
		t.Errorf("home's copies answered %d times", answers.Load())
	}
}
