package state

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/state/index"
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

// TestTurnOfWhatGrows has an operation wait for its turn while what it will read grows.
func TestTurnOfWhatGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{turns: newTurns(), hooks: noHooks{}}
		x := index.New()
		x.SetLoaded()
		s.index.inUse.Store(x)
		k := &kv{store: s, token: "alice"}
		all, err := s.turns.wait(t.Context(), k.token, (tenantsUnits-1)*unitBytes)
		if err != nil {
			t.Fatal(err)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := k.turn(t.Context(), "key", 0); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		x.Tenant(k.token).Apply(index.Item{Key: "key", Seq: 1, Size: hostcalls.KVValueMax}, false, s.now())
		all()
		waiting.Wait()
		if s.turns.all.TryAcquire(allUnits - hostcalls.KVValueMax/unitBytes) {
			t.Error("it counts as small")
		}
	})
}
