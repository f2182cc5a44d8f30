package state

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
)

// Tenants are the ids of those that have any state. It fails without a majority.
func (s *Store) Tenants(ctx context.Context) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err != nil {
		return nil, err
	}
	proven, err := s.barrier.pass(ctx, s.prove)
	if err == nil {
		err = x.reached(ctx, proven)
	}
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	tenants := maps.Clone(x.tenants)
	x.mu.Unlock()
	for token, u := range tenants {
		if id, err := base64.RawURLEncoding.DecodeString(token[1:]); err == nil && !u.empty() {
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return ids, nil
}
