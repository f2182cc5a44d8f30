package server

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server/internal/modules"
	"github.com/terrane/terrane/server/internal/rules"
	"github.com/terrane/terrane/tenant"
)

// site is one tenant's place at this edge, over all its releases.
type site struct {
	live     atomic.Pointer[release] // nil once the tenant is removed
	inFlight atomic.Int64            // guests that run
}

// acquire returns the live release, held until release.done; nil if there is none.
func (s *site) acquire() *release {
	for {
		r := s.live.Load()
		if r == nil || r.hold() {
			return r
		}
		// It was swapped out and ended between the two steps: there is a newer one.
	}
}

// enter takes one of the tenant's places for guests that run; leave gives it back.
func (s *site) enter(places int) bool {
	if s.inFlight.Add(1) > int64(places) && places > 0 {
		s.inFlight.Add(-1)
		return false
	}
	return true
}

func (s *site) leave() { s.inFlight.Add(-1) }

// release is one snapshot ready to serve. It is immutable but for its holders.
type release struct {
	id        tenant.ID
	revision  tenant.Revision
	manifest  *tenant.Manifest
	files     map[string]tenant.File
	paths     *tenant.Site
	modules   map[string]*modules.Module
	redirects *rules.Redirects // nil: none
	headers   *rules.Headers   // nil: none
	limits    tenant.Limits
	guest     *hostcalls.Tenant
	rate      *rate.Limiter // nil: unlimited

	revisionHeader []string // shared by all responses; nobody writes to it

	holders atomic.Int64 // one is the table's; at 0 the release has ended
	end     func(context.Context)
}

// wall is how long a guest may take.
func (r *release) wall() time.Duration {
	if r.limits.Wall > 0 {
		return r.limits.Wall
	}
	return defaultWall
}

func (r *release) hold() bool {
	for {
		n := r.holders.Load()
		if n == 0 {
			return false
		}
		if r.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// done ends one hold. The last one closes what the release holds.
func (r *release) done(ctx context.Context) {
	if r.holders.Add(-1) == 0 {
		r.end(ctx)
	}
}

// newRate keeps the bucket of the release before, so that a deploy refills nothing.
func newRate(perSecond int, before *release) *rate.Limiter {
	switch {
	case perSecond <= 0:
		return nil
	case before != nil && before.rate != nil && before.limits.RequestsPerSecond == perSecond:
		return before.rate
	}
	return rate.NewLimiter(rate.Limit(perSecond), perSecond)
}

// allowed takes one request from the tenant's rate.
func (r *release) allowed(now time.Time) bool { return r.rate == nil || r.rate.AllowN(now, 1) }
