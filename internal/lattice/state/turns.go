package state

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
)

// What is on its way at once, in units of small operations: a value counts one more for
// each unitBytes of it. More, and the server takes this edge's one connection for stuck
// and ends it; and a tenant would have all others wait behind it.
const (
	unitBytes    = 64 << 10
	allUnits     = 128 // of an edge
	tenantsUnits = 24  // of one tenant: a large value at a time, or several small ones
)

// turns lets operations in, each tenant's and all in the order in which they come.
type turns struct {
	all     *semaphore.Weighted
	tenants sync.Map // token -> *semaphore.Weighted
}

func newTurns() *turns { return &turns{all: semaphore.NewWeighted(allUnits)} }

// wait waits for a turn of an operation with a value of so many bytes, and returns what
// ends it. Those who wait for their tenant's do not hold up others.
func (w *turns) wait(ctx context.Context, token string, size int) (end func(), err error) {
	own, ok := w.tenants.Load(token)
	if !ok {
		own, _ = w.tenants.LoadOrStore(token, semaphore.NewWeighted(tenantsUnits))
	}
	tenant, n := own.(*semaphore.Weighted), int64(1+size/unitBytes)
	if err := tenant.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("state: the tenant has too many operations under way: %w", err)
	}
	if err := w.all.Acquire(ctx, n); err != nil {
		tenant.Release(n)
		return nil, fmt.Errorf("state: this edge has too many operations under way: %w", err)
	}
	return func() { w.all.Release(n); tenant.Release(n) }, nil
}
