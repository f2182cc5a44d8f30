package sync

import (
	"context"
	"time"
)

// Expire drops the repositories of tenants that are not wanted at now.
func (s *Syncer) Expire(ctx context.Context, now time.Time) {
	for _, g := range s.groups {
		g.expire(ctx, now)
	}
}

// LastLook is that of the first store's status, without the rest of it.
func (s *Syncer) LastLook() time.Time {
	s.stores[0].mu.Lock()
	defer s.stores[0].mu.Unlock()
	return s.stores[0].status.LastLook
}
