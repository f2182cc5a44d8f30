package share

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/tenant"
)

func owner(id, network string) Owner {
	return Owner{tenant.ID(id), netip.MustParsePrefix(network)}
}

var (
	aliceA = owner("/alice", "203.0.113.0/24")
	aliceB = owner("/alice", "198.51.100.0/24")
	bobA   = owner("/bob", "203.0.113.0/24")
	bobB   = owner("/bob", "198.51.100.0/24")
)

func never(t *testing.T) func(Direction, bool) {
	return func(Direction, bool) { t.Error("abandoned") }
}

// TestShares: how much one can hold, alone and next to others.
func TestShares(t *testing.T) {
	type step struct {
		by   Owner
		most int64 // that it gets, in units of 10
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one network at one tenant gets a third", []step{{aliceA, 400}}},
		{"a tenant gets at most half", []step{{aliceA, 400}, {aliceB, 130}, {owner("/alice", "192.0.2.0/24"), 40}}},
		{"a network gets half", []step{{aliceA, 400}, {bobA, 200}, {owner("/carol", "203.0.113.0/24"), 0}}},
		{"others find room", []step{{aliceA, 400}, {bobB, 260}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPool(1200)
			for i, s := range tt.steps {
				h := p.Hold(s.by, never(t))
				defer h.End()
				var got int64
				for h.Take(t.Context(), 10) {
					got += 10
				}
				if got != s.most {
					t.Errorf("step %d: %v got %d, want %d", i, s.by, got, s.most)
				}
			}
		})
	}
}

func TestEverythingIsGivenBack(t *testing.T) {
	p := NewPool(1 << 20)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				h := p.Hold([]Owner{aliceA, aliceB, bobA, bobB}[i%4], func(Direction, bool) {})
				h.Take(t.Context(), 1<<17)
				h.Begin(Writing)
				h.Done(1)
				h.End()
			}
		})
	}
	wg.Wait()
	if p.Used() != 0 || len(p.tenants)+len(p.networks)+len(p.pairs)+len(p.holds) != 0 {
		t.Errorf("left: %d, %v %v %v %v", p.Used(), p.tenants, p.networks, p.pairs, p.holds)
	}
}

// transfer is a hold whose visitor takes n bytes a second; n = 0: none. It reports when it was abandoned.
func transfer(ctx context.Context, p *Pool, o Owner, amount int64, rate int) (h *Hold, abandoned <-chan time.Time) {
	end := make(chan time.Time, 1)
	h = p.Hold(o, func(Direction, bool) {
		select {
		case end <- time.Now():
		default:
		}
	})
	h.Take(ctx, amount)
	gone := make(chan time.Time, 1)
	go func() {
		for {
			h.Begin(Writing)
			tick := time.NewTimer(time.Second)
			if rate == 0 {
				tick.Stop()
			}
			select {
			case at := <-end:
				h.End()
				gone <- at
				return
			case <-ctx.Done():
				h.End()
				return
			case <-tick.C:
				h.Done(rate)
			}
		}
	}()
	return h, gone
}

// TestLeastRatesRise: how long transfers of several rates may go on, by how full the pool is.
func TestLeastRatesRise(t *testing.T) {
	for _, tt := range []struct {
		name       string
		held       int64 // of 1200, by the transfer's tenant and network
		rate       int
		min, max   time.Duration
		everything bool // it never ends
	}{
		{"calm, nothing is taken", 10, 0, 30 * time.Second, 32 * time.Second, false},
		{"calm, 32 KiB/s", 10, 32 << 10, 59 * time.Second, 63 * time.Second, false},
		{"calm, 65 KiB/s", 10, 65 << 10, 0, 0, true},
		{"full, nothing is taken", 400, 0, 3 * time.Second, 5 * time.Second, false},
		{"full, 128 KiB/s", 400, 128 << 10, 4 * time.Second, 8 * time.Second, false},
		{"full, 257 KiB/s", 400, 257 << 10, 0, 0, true},
		{"three quarters, nothing is taken", 300, 0, 16 * time.Second, 18 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p := NewPool(1200)
				_, gone := transfer(ctx, p, aliceA, tt.held, tt.rate)
				start := time.Now()
				for range 200 {
					time.Sleep(time.Second)
					p.Sweep(time.Now())
				}
				select {
				case at := <-gone:
					if took := at.Sub(start); tt.everything || took < tt.min || took > tt.max {
						t.Errorf("abandoned after %v, want %v to %v (never: %v)", took, tt.min, tt.max, tt.everything)
					}
				default:
					if !tt.everything {
						t.Error("still there after 200 s")
					}
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

// TestEarlyBytesMakeUpForNothingLater: what went into the kernel's buffer at once.
func TestEarlyBytesMakeUpForNothingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1200)
		abandoned := false
		h := p.Hold(aliceA, func(Direction, bool) { abandoned = true })
		h.Begin(Writing)
		h.Done(100 << 20)
		h.Begin(Writing)
		time.Sleep(31 * time.Second)
		p.Sweep(time.Now())
		if !abandoned {
			t.Error("not abandoned")
		}
		h.End()
	})
}

// TestSlowOnesGiveWay: a request without room has the slowest of the network that has most end.
func TestSlowOnesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := NewPool(1200)
		_, few := transfer(ctx, p, aliceB, 100, 0)
		var many [2]<-chan time.Time
		for i := range many {
			_, many[i] = transfer(ctx, p, aliceA, 150, 0)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h := p.Hold(owner("/alice", "192.0.2.0/24"), never(t))
		if !h.Take(t.Context(), 200) {
			t.Error("no room was made")
		}
		synctest.Wait()
		if len(many[0])+len(many[1]) != 1 || len(few) != 0 {
			t.Errorf("abandoned: %d of the network that holds most, %d of the other; want 1 and 0", len(many[0])+len(many[1]), len(few))
		}
		h.End()
		cancel()
		synctest.Wait()
	})
}

// TestPlaces: a place is freed if its holder is slow, and only of the same tenant.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := NewPool(1200)
		h, gone := transfer(ctx, p, aliceA, 0, 0)
		h.SetPlaced()
		if p.FreePlace(ctx, "/alice") {
			t.Error("a transfer that has just begun gave way")
		}
		time.Sleep(2 * time.Second)
		if p.FreePlace(ctx, "/bob") {
			t.Error("another tenant's place was freed")
		}
		if !p.FreePlace(ctx, "/alice") || len(gone) != 1 {
			t.Error("no place was freed")
		}
		cancel()
		synctest.Wait()
	})
}

// TestForceFollows: who does not end is ended by force.
func TestForceFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1200)
		var calls []bool
		h := p.Hold(aliceA, func(_ Direction, force bool) { calls = append(calls, force) })
		h.Begin(Reading)
		for range 35 {
			time.Sleep(time.Second)
			p.Sweep(time.Now())
		}
		if len(calls) < 2 || calls[0] || !calls[1] {
			t.Errorf("calls with force: %v, want false, true", calls)
		}
		if !h.End() {
			t.Error("End does not report it")
		}
	})
}
