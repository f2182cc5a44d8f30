package state

import "context"

// Ready waits until this edge has the bucket and a majority confirms a write. generation
// tells the bucket from one that was removed and made again.
func (s *Store) Ready(ctx context.Context) (generation string, err error) {
	x, err := s.complete(ctx)
	if err != nil {
		return "", err
	}
	proven, err := s.barrier.pass(ctx, s.prove)
	if err != nil {
		return "", err
	}
	if err := x.reached(ctx, proven); err != nil {
		return "", err
	}
	if at := s.generation.Load(); at != nil {
		generation = *at
	}
	return generation, nil
}
