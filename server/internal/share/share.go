package share

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/tenant"
)

// The least rates of transfers. Waiting for a visitor makes a transfer late, each byte moved
// makes up for some of it. What was moved early makes up for nothing later: the first
// megabytes of an answer often only go into the kernel's buffer.
const (
	calmLate   = 30 * time.Second // while less than half is held
	strictLate = 3 * time.Second  // when nothing is free
	slowLate   = time.Second      // of a transfer that may be abandoned for a request without room
	calmRate   = 64 << 10         // bytes per second
	strictRate = 256 << 10

	patience = 500 * time.Millisecond // for the room of an abandoned transfer
	insist   = 2 * time.Second        // after that an abandoned transfer is ended by force
)

// Direction is that of a transfer, seen from the host.
type Direction int32

// The directions.
const (
	Reading Direction = iota + 1
	Writing
)

// Pool is a bounded amount of something that requests hold. Its methods are safe for
// concurrent use.
type Pool struct {
	limit  int64
	memory memory
	start  time.Time // transfers are timed from here: the system's clock may jump

	mu       sync.Mutex
	used     int64                  // guarded by mu, as all below
	tenants  map[tenant.ID]int64    // what each holds
	networks map[netip.Prefix]int64 // likewise
	pairs    map[Owner]int64        // likewise
	holds    map[*Hold]struct{}
	freed    chan struct{} // closed when something is given back; nil: nobody waits
}

// Owner is for whom a request holds something.
type Owner struct {
	Tenant  tenant.ID
	Network netip.Prefix // of the visitor
}

// NewPool returns a Pool of limit.
func NewPool(limit int64) *Pool {
	return &Pool{
		limit: limit, start: time.Now(), memory: memory{seed: maphash.MakeSeed()}, tenants: make(map[tenant.ID]int64), networks: make(map[netip.Prefix]int64),
		pairs: make(map[Owner]int64), holds: make(map[*Hold]struct{}),
	}
}

// Hold is what one request holds. Take, Begin, Done and End are for the request's goroutine.
type Hold struct {
	pool    *Pool
	owner   Owner
	abandon func(d Direction, force bool)
	placed  atomic.Bool
	amount  int64     // guarded by pool.mu
	given   time.Time // up, at that time; zero: not; guarded by pool.mu

	began  atomic.Int64 // when the operation under way began, in nanoseconds since pool.start, and 1; 0: none
	way    atomic.Int32 // its Direction
	calm   atomic.Int64 // how late it was after the last operation, at calmRate, in nanoseconds
	strict atomic.Int64 // likewise, at strictRate

	mu    sync.Mutex
	ended bool // guarded by mu
}

// Hold registers a request that holds nothing yet. End must be called. abandon makes the operation
// under way, or the next one, fail; with force it ends the connection. It is not called after
// End has returned, and must not call methods of this package.
func (p *Pool) Hold(o Owner, abandon func(d Direction, force bool)) *Hold {
	h := &Hold{pool: p, owner: o, abandon: abandon}
	p.mu.Lock()
	p.holds[h] = struct{}{}
	p.mu.Unlock()
	return h
}

// Used is how much is held.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// SetPlaced says that the request also holds one of its tenant's places.
func (h *Hold) SetPlaced() { h.placed.Store(true) }

// Take adds n to what the request holds. If there is no room, it abandons a slow transfer,
// and waits a moment for it if that was of another network. False: there is no room.
func (h *Hold) Take(ctx context.Context, n int64) bool {
	p := h.pool
	var late time.Time
	for {
		p.mu.Lock()
		inTheWay, own := p.inTheWay(h.owner, n)
		if inTheWay == nil {
			p.add(h, n)
			p.mu.Unlock()
			return true
		}
		switch {
		case own:
			late = time.Time{}
		case late.IsZero():
			late = time.Now().Add(patience)
		}
		if !p.giveWay(ctx, late, inTheWay) {
			return false
		}
	}
}

// inTheWay tells holds of which one would have to end for n more of an owner, and whether its own
// network is to blame; nil if there is room. p.mu is held.
func (p *Pool) inTheWay(o Owner, n int64) (match func(*Hold) bool, own bool) {
	free := p.limit - p.used - n
	ofTenant, ofPair := p.tenants[o.Tenant]+n, p.pairs[o]+n
	switch {
	case n == 0:
		return nil, false
	case free < 0:
		return func(*Hold) bool { return true }, false
	case p.networks[o.Network]+n > free:
		return func(h *Hold) bool { return h.owner.Network == o.Network }, true
	case ofTenant > free, ofPair > free-ofTenant:
		return func(h *Hold) bool { return h.owner.Tenant == o.Tenant }, 2*p.pairs[o] > p.tenants[o.Tenant]
	}
	return nil, false
}

// add changes what h holds by n. p.mu is held.
func (p *Pool) add(h *Hold, n int64) {
	h.amount += n
	p.used += n
	count(p.tenants, h.owner.Tenant, n)
	count(p.networks, h.owner.Network, n)
	count(p.pairs, h.owner, n)
}

func count[K comparable](m map[K]int64, k K, n int64) {
	if m[k] += n; m[k] == 0 {
		delete(m, k)
	}
}

// FreePlace abandons the slowest transfer of a request that holds one of the tenant's
// places, and waits a moment for its end. False: there is none that is slow.
func (p *Pool) FreePlace(ctx context.Context, id tenant.ID) bool {
	p.mu.Lock()
	return p.giveWay(ctx, time.Now().Add(patience), func(h *Hold) bool { return h.placed.Load() && h.owner.Tenant == id })
}

// giveWay abandons the slowest of the holds that match, and waits until something is given
// back. p.mu is held, and released.
func (p *Pool) giveWay(ctx context.Context, late time.Time, match func(*Hold) bool) bool {
	now := time.Now()
	victim, waiting := p.slowest(match, now)
	if victim == nil && !waiting {
		p.mu.Unlock()
		return false
	}
	if p.freed == nil {
		p.freed = make(chan struct{})
	}
	freed := p.freed
	if victim != nil {
		victim.given = now
	}
	p.mu.Unlock()
	if victim != nil {
		victim.giveUp(false)
	}
	if !now.Before(late) {
		return false
	}
	timer := time.NewTimer(late.Sub(now))
	defer timer.Stop()
	select {
	case <-freed:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// slowest is the latest transfer of those that match, of the network that has most of them;
// nil if none is late. waiting: one that was given up before has not ended yet. p.mu is held.
func (p *Pool) slowest(match func(*Hold) bool, now time.Time) (victim *Hold, waiting bool) {
	byNetwork := make(map[netip.Prefix]int)
	for h := range p.holds {
		if match(h) {
			byNetwork[h.owner.Network]++
			waiting = waiting || !h.given.IsZero()
		}
	}
	var most int
	var latest time.Duration
	for h := range p.holds {
		late := h.late(now, 1)
		if !match(h) || !h.given.IsZero() || late < slowLate {
			continue
		}
		if n := byNetwork[h.owner.Network]; n > most || n == most && late > latest {
			victim, most, latest = h, n, late
		}
	}
	return victim, waiting
}

// Begin notes that an operation of a transfer begins.
func (h *Hold) Begin(d Direction) {
	h.way.Store(int32(d))
	h.began.Store(1 + int64(time.Since(h.pool.start)))
}

// Done notes that it has ended, and what it has moved.
func (h *Hold) Done(n int) {
	took := 1 + int64(time.Since(h.pool.start)) - h.began.Swap(0)
	h.calm.Store(max(0, h.calm.Load()+took-int64(n)*int64(time.Second)/calmRate))
	h.strict.Store(max(0, h.strict.Load()+took-int64(n)*int64(time.Second)/strictRate))
}

// late is how late the transfer is while an operation is under way, else 0; strict is 0 to 1.
func (h *Hold) late(now time.Time, strict float64) time.Duration {
	began := h.began.Load()
	if began == 0 {
		return 0
	}
	before := between(strict, float64(h.calm.Load()), float64(h.strict.Load()))
	return time.Duration(before) + 1 + now.Sub(h.pool.start) - time.Duration(began)
}

func between(at, a, b float64) float64 { return a + at*(b-a) }

// End gives everything back, and reports whether a transfer was abandoned.
func (h *Hold) End() (abandoned bool) {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	p := h.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(h, -h.amount)
	delete(p.holds, h)
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
	return !h.given.IsZero()
}

func (h *Hold) giveUp(force bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.abandon(Direction(h.way.Load()), force)
	}
}

// Sweep abandons transfers that are too slow. It is to be called about once a second.
func (p *Pool) Sweep(now time.Time) {
	type given struct {
		*Hold
		force bool
	}
	var all []given
	p.mu.Lock()
	for h := range p.holds {
		switch {
		case !h.given.IsZero():
			if now.Sub(h.given) > insist {
				all = append(all, given{h, true})
			}
		default:
			strict := p.strictness(h.owner)
			if h.late(now, strict) > time.Duration(between(strict, float64(calmLate), float64(strictLate))) {
				h.given = now
				all = append(all, given{h, false})
			}
		}
	}
	p.mu.Unlock()
	for _, g := range all {
		g.giveUp(g.force)
	}
}

// strictness is 0 while the pool, and what is for the owner, is not half full, and 1 when it is
// full. p.mu is held.
func (p *Pool) strictness(o Owner) float64 {
	held := max(p.used, 2*p.tenants[o.Tenant], 2*p.networks[o.Network], 3*p.pairs[o])
	return min(1, max(0, 2*float64(held)/float64(max(1, p.limit))-1))
}
