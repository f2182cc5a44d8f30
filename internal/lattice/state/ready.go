package state

import (
	"context"
	"encoding/base64"
	"slices"

	"github.com/terrane/terrane/internal/lattice/state/index"
)

// refreshed waits until the index has everything that was confirmed before the call.
func (s *Store) refreshed(ctx context.Context) (*index.Index, error) {
	if _, err := s.loadedKeys(ctx); err != nil {
		return nil, err
	}
	seq, err := s.barrier.wait(ctx, s.writeBarrier)
	if err != nil {
		return nil, err
	}
	return s.keysAt(ctx, seq)
}

// Ready waits until this edge has the bucket and a majority confirms a write. generation
// tells the bucket from one that was removed and made again.
func (s *Store) Ready(ctx context.Context) (generation string, err error) {
	if _, err := s.refreshed(ctx); err != nil {
		return "", err
	}
	if at := s.generation.Load(); at != nil {
		generation = *at
	}
	return generation, nil
}

// Tenants are the ids of those that have any state. It fails without a majority.
func (s *Store) Tenants(ctx context.Context) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.refreshed(ctx)
	if err != nil {
		return nil, err
	}
	for token, t := range x.Tenants() {
		id, err := base64.RawURLEncoding.DecodeString(token[1:])
		if keys, _ := t.Usage(s.now()); err == nil && keys > 0 {
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return ids, nil
}
