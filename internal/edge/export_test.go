package edge

import (
	"context"
	"net/netip"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

// Permit is nil for hosts that may have a certificate.
func (e *Edge) Permit(ctx context.Context, host tenant.Host, source netip.Addr) error {
	return e.permit(ctx, host, source)
}

// Address is where a tenant is shown.
func (e *Edge) Address(id tenant.ID) string { return e.address(id) }

// Fetch is a guest's outbound request.
func (e *Edge) Fetch(ctx context.Context, r *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	return e.fetcher.Fetch(ctx, r)
}

// Close frees what an edge holds that has not run.
func (e *Edge) Close(ctx context.Context) error { return e.engine.Close(ctx) }

// SetClock replaces what tells how far the clock of the state's leader is ahead.
func (e *Edge) SetClock(ahead func() time.Duration) { e.states.clock = ahead }
