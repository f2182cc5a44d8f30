package gate

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/terrane/terrane/tenant"
)

// TestRoomForAnother lets many guests of some tenants wait for ever: one of another finds a place
// at once, and all places are free when they have left.
func TestRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		const places = 100
		r := NewRoom(places)
		var wg sync.WaitGroup
		for i := range 5 {
			of := tenant.ID(fmt.Sprintf("/git/bad%d", i))
			for range 1000 {
				wg.Go(func() {
					if r.Enter(ctx, of) == nil {
						<-ctx.Done()
						r.Leave(of)
					}
				})
			}
			synctest.Wait()
		}
		if r.free == 0 || r.free > places/2 || len(r.waiting)+places-r.free != 5000 {
			t.Errorf("%d places free, %d guests wait", r.free, len(r.waiting))
		}
		late, stop := context.WithCancel(ctx)
		stop()
		if err := r.Enter(late, "/git/alice"); err != nil {
			t.Errorf("no place for another tenant: %v", err)
		}
		r.Leave("/git/alice")
		if err := r.Enter(late, "/git/bad0"); err == nil {
			t.Error("a place for one who has too many")
		}
		cancel()
		wg.Wait()
		if r.free != places || len(r.held) != 0 || len(r.waiting) != 0 {
			t.Errorf("%d places free, held %v, %d wait when all have left", r.free, r.held, len(r.waiting))
		}
	})
}
