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
