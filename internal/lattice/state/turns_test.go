package state

import (
	"context"
	"sync"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// TestTurns has one tenant fill its part of what may be on its way, and many more of its
// operations wait: another tenant's do not.
func TestTurns(t *testing.T) {
	turns, floods := newTurns(), 0
	var ends []func()
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for ; ; floods++ { // until nothing more fits
		short, cancel := context.WithCancel(ctx)
		if floods == tenantsUnits {
			cancel()
		}
		end, err := turns.wait(short, "alice", 0)
		cancel()
		if err != nil {
			break
		}
		ends = append(ends, end)
	}
	for range 1000 {
		waiting.Go(func() {
			if end, err := turns.wait(ctx, "alice", hostcalls.KVValueMax); err == nil {
				end()
			}
		})
	}
	for range 3 { // the largest too
		end, err := turns.wait(t.Context(), "bob", hostcalls.KVValueMax)
		if err != nil {
			t.Fatal(err)
		}
		end()
	}
	if floods != tenantsUnits {
		t.Errorf("%d operations of one tenant are under way", floods)
	}
	for _, end := range ends {
		end()
	}
	cancel()
	waiting.Wait()
	if !turns.all.TryAcquire(allUnits) {
		t.Error("turns are lost")
	}
}
