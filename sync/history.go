package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

var (
	// ErrUnknown is wrapped when a tenant, or a revision of it, is not in the mirror.
	ErrUnknown = mirror.ErrUnknown
	errBusy    = errors.New("a release is just being published: try again")
	errStopped = errors.New("the edge is shutting down")
)

// Releases lists the releases of a tenant that can be rolled back to, one for each
// content that was live: first the live one, then the others by when they were last
// live, the newest first. Since is known of the live one alone.
func (s *Syncer) Releases(id tenant.ID) ([]Release, error) {
	st, name := s.storeOf(id)
	if st == nil {
		return nil, fmt.Errorf("tenant %s: %w", id, ErrUnknown)
	}
	records := st.history(id)
	out := make([]Release, 0, len(records))
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, rec := range slices.Backward(records) {
		r := releaseOf(rec)
		if one := st.sites[name]; one != nil && one.live == rec {
			r = *one.status.Live
		} else {
			r.Pinned, r.Pin = false, nil // it is not live
		}
		out = append(out, r)
	}
	return out, nil
}

// Rollback makes an earlier release live again, and keeps it, also over restarts,
// until the tenant's folder has content that it does not have now and that goes live.
// rev may be the beginning of a revision; pin says who asks, and why. It returns once
// the release is live; the error is in words for the tenant.
func (s *Syncer) Rollback(ctx context.Context, id tenant.ID, rev tenant.Revision, pin tenant.Pin) error {
	st, name := s.storeOf(id)
	if st == nil {
		return fmt.Errorf("tenant %s: %w", id, ErrUnknown)
	}
	for {
		err := st.do(ctx, func(run context.Context, done chan<- error) { st.rollback(run, name, rev, pin, done) })
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// do has run begin something, and waits until that is done.
func (st *store) do(ctx context.Context, begin func(run context.Context, done chan<- error)) error {
	done := make(chan error, 1)
	select {
	case st.asked <- func(run context.Context) { begin(run, done) }:
	case <-st.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-st.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// storeOf finds the store that has a tenant, and its name there; nil if none has.
func (s *Syncer) storeOf(id tenant.ID) (*store, string) {
	for _, st := range s.all() {
		if _, ok := st.tenant(id); ok {
			name, _ := st.name(id)
			return st, name
		}
	}
	return nil, ""
}

func (st *store) history(id tenant.ID) []*mirror.Record {
	st.mu.Lock()
	m := st.mirror
	st.mu.Unlock()
	live, _ := m.History(id)
	return live
}

// rollback is called by run alone.
func (st *store) rollback(ctx context.Context, name string, rev tenant.Revision, pin tenant.Pin, done chan<- error) {
	st.mu.Lock()
	s := st.sites[name]
	busy := s == nil || s.busy || s.restore
	if !busy && pin.Over == (tenant.Hash{}) {
		pin.Over = s.seen
	}
	st.mu.Unlock()
	if busy {
		done <- errBusy
		return
	}
	rec, rev, err := mirror.Pick(st.history(s.status.ID), rev)
	if err != nil {
		done <- err
		return
	}
	st.start(ctx, s, func() { done <- st.goBack(ctx, s, rec, rev, pin) })
}

// goBack publishes the content of an old record as a new one, which belongs to the
// state that the origin is in: so the next look finds nothing to do.
func (st *store) goBack(ctx context.Context, s *site, old *mirror.Record, rev tenant.Revision, pin tenant.Pin) error {
	c, err := st.again(old)
	if err != nil {
		return err
	}
	st.mu.Lock()
	c.rec = &mirror.Record{
		ID: old.ID, Revision: rev, Time: old.Time, Key: s.key, Files: maps.Clone(old.Files), Pinned: pin.Over != old.Content(), Pin: &pin,
	}
	st.mu.Unlock()
	return st.publish(ctx, s, c)
}
