package state

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/internal/lattice/state/index"
)

// TestReplacedIndex has operations wait for an index that another takes the place of: they go on
// with that one.
func TestReplacedIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{hooks: noHooks{}}
		s.useKeys(index.New())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got := make(chan error, 2)
		go func() { _, err := s.loadedKeys(ctx); got <- err }()
		synctest.Wait()
		second := index.New()
		second.SetLoaded()
		s.useKeys(second)
		if err := <-got; err != nil {
			t.Errorf("wait for an index that is loaded: %v", err)
		}
		go func() { _, err := s.keysAt(ctx, 5); got <- err }()
		synctest.Wait()
		third := index.New()
		third.SetLoaded()
		third.Advance(5)
		s.useKeys(third)
		if err := <-got; err != nil {
			t.Errorf("wait for a sequence: %v", err)
		}
	})
}
