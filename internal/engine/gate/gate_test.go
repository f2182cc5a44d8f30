package gate

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/terrane/terrane/tenant"
)

// TestFairToTenants lets 1,000 guests of one tenant, and
// one each of two others tick: the slot goes round the tenants, not the guests.
func TestFairToTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := New(1)
		var order []tenant.ID // appended to by whoever has the slot
		spin := func(wg *sync.WaitGroup, id tenant.ID, ticks int) {
			wg.Go(func() {
				var seat Seat
				for range ticks {
					g.Pass(id, &seat, ctx.Done())
					if ctx.Err() != nil {
						break
					}
					order = append(order, id)
				}
				g.Leave(&seat)
			})
		}
		var first Seat // has the slot until all have come
		g.Pass("/git/first", &first, ctx.Done())
		var bad, good sync.WaitGroup
		for range 1000 {
			spin(&bad, "/git/bad", 1<<30)
		}
		synctest.Wait()
		const ticks = 50
		spin(&good, "/git/alice", ticks)
		spin(&good, "/git/bob", ticks)
		synctest.Wait()
		g.Leave(&first)
		good.Wait()
		cancel()
		bad.Wait()

		passes := map[tenant.ID]int{}
		for _, id := range order {
			if passes[id]++; passes["/git/alice"] == ticks {
				break
			}
		}
		if n := passes["/git/bad"]; n < ticks-2 || n > ticks+2 {
			t.Errorf("1,000 guests of one tenant passed %d times while one of another passed %d times", n, ticks)
		}
		if n := passes["/git/bob"]; n < ticks-2 {
			t.Errorf("a third tenant's guest passed %d times in that time", n)
		}
		if g.free != 1 || len(g.ring) != 0 || len(g.lanes) != 0 {
			t.Errorf("%d slots, %d in the ring, %d lanes when all have left", g.free, len(g.ring), len(g.lanes))
		}
	})
}
