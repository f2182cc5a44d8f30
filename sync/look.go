package sync

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// pause is how long the next look must wait for the sake of the origin.
func (st *store) pause() time.Duration {
	return time.Duration(max(0, 1-st.pace.Tokens()) / float64(st.pace.Limit()) * float64(time.Second))
}

// look asks the origin once, deals with all that has changed, and returns when to
// ask again.
func (st *store) look(ctx context.Context) time.Duration {
	begun := time.Now()
	st.mu.Lock()
	if st.begun.IsZero() {
		st.begun = begun
	}
	st.mu.Unlock()
	look, err := st.ask(ctx)
	st.s.metrics.looks.WithLabelValues(st.label).Observe(time.Since(begun).Seconds())
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		return st.unreachable(err)
	}
	st.reached(look)
	wait := st.jitter(st.c.Poll)
	if look.Again > 0 {
		wait = min(wait, look.Again)
	}
	settled := look.Again == 0
	changed := st.changed(look)
	for i, name := range changed {
		st.setTaking(len(changed) - i)
		if !st.deploy(ctx, name, look) {
			wait = min(wait, again)
			settled = false
		}
		if ctx.Err() != nil {
			return 0
		}
	}
	st.setTaking(0)
	for _, name := range st.gone(look) {
		st.remove(ctx, name)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.status.Head != look.Head { // only now, so that Pending counts what it brought
		st.status.Head, st.status.HeadSince = look.Head, begun
	}
	st.note(begun, look)
	st.looked = st.looked || settled || begun.Sub(st.begun) > firstSettle
	st.checkReady()
	return min(wait, st.nextRetry(time.Now()))
}

func (st *store) setTaking(n int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.taking = n
}

// ask looks at the origin when it is this store's turn.
func (st *store) ask(ctx context.Context) (*origin.Look, error) {
	if st.turns != nil {
		select {
		case st.turns <- struct{}{}:
			defer func() { <-st.turns }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return st.origin.Look(ctx)
}

// jitter keeps the edges from asking all at once.
func (st *store) jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/8+1)) //nolint:gosec // spreads load, hides nothing
}

func (st *store) unreachable(err error) time.Duration {
	st.s.metrics.failures.WithLabelValues(st.label).Inc()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.status.Error != err.Error() {
		st.log.Warn("store cannot be read, what is live stays", "err", err)
	}
	if st.whole { // one tenant's fault does not make the edge wait
		st.looked = true
		st.checkReady()
	}
	refused := errors.Is(err, ErrRefused)
	st.status.Reachable, st.status.Error, st.status.LastLook = refused, err.Error(), time.Now()
	st.status.NotTaken = nil
	if c, ok := errors.AsType[*origin.CommitError](err); ok {
		st.status.NotTaken = map[tenant.Revision]string{tenant.Revision(c.Commit): err.Error()}
	}
	if refused { // it answers, and may have something better soon
		return st.jitter(st.c.Poll)
	}
	st.errors++
	return min(st.jitter(backoff(st.c.Poll, st.errors)), st.nextRetry(time.Now()))
}

// backoff doubles first with each failure after the first.
func backoff(first time.Duration, failures int) time.Duration {
	return max(first, min(maxBackoff, first<<min(failures-1, 16)))
}

func (st *store) reached(look *origin.Look) {
	now := time.Now()
	st.s.metrics.success.WithLabelValues(st.label).Set(float64(now.Unix()))
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.errors > 0 {
		st.log.Info("store can be read again")
	}
	st.errors = 0
	if look.Refused != "" && look.Refused != st.status.Refused {
		st.s.metrics.refusals.WithLabelValues(st.label).Inc()
		st.log.Warn("store is not followed to its newest state", "err", look.Refused)
	}
	st.status.Refused = look.Refused
	st.status.NotTaken = make(map[tenant.Revision]string, len(look.NotTaken))
	for commit, why := range look.NotTaken {
		st.status.NotTaken[tenant.Revision(commit)] = why
	}
	st.status.Reachable, st.status.Error = true, ""
	st.status.LastLook, st.status.LastSuccess = now, now
	if slices.Contains(look.Blind, ".") {
		st.status.Error = "the store is empty: what is live stays"
	}
	st.status.Odd = maps.Clone(look.Odd)
	for name := range st.status.Odd {
		if len(st.status.Odd) > maxOdd {
			delete(st.status.Odd, name)
		}
	}
}

// changed lists the folders whose state is new and that may be taken now.
func (st *store) changed(look *origin.Look) []string {
	now := time.Now()
	st.mu.Lock()
	defer st.mu.Unlock()
	var names []string
	for name, key := range look.Folders {
		s, ok := st.sites[name]
		if !ok {
			of, _, _ := st.id(name).CutPreview() // whose name the origin has checked
			id, err := tenant.ParseID(string(of))
			if err == nil && id != of {
				err = errors.New("its name ends in a slash")
			}
			if err != nil {
				st.odd(name, err.Error())
				continue
			}
			s = &site{status: TenantStatus{ID: st.id(name)}}
			st.sites[name] = s
		}
		s.missed = key != "" && (s.busy || s.restore && s.failures == 0)
		if !s.missed && key != "" && key != s.key && !now.Before(s.retryAt) {
			names = append(names, name)
		}
	}
	st.taking = len(names)
	slices.Sort(names)
	return names
}

// odd notes why something is no tenant; mu is held.
func (st *store) odd(name, why string) {
	if len(st.status.Odd) >= maxOdd {
		return
	}
	if st.status.Odd == nil {
		st.status.Odd = map[string]string{}
	}
	st.status.Odd[name] = why
}

// gone lists the tenants that the store no longer has.
func (st *store) gone(look *origin.Look) []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	var names []string
	for name, s := range st.sites {
		if _, ok := look.Folders[name]; ok || look.Keeps(name) {
			continue
		}
		if s.busy {
			s.missed = true
			continue
		}
		names = append(names, name)
	}
	return names
}

// nextRetry is how soon a release that failed is due again; mu is held.
func (st *store) nextRetry(now time.Time) time.Duration {
	next := maxBackoff
	for _, s := range st.sites {
		if !s.retryAt.IsZero() {
			next = min(next, max(0, s.retryAt.Sub(now)))
		}
	}
	for _, o := range st.offers {
		if !o.due.IsZero() {
			next = min(next, max(again, o.due.Sub(now)))
		}
	}
	return next
}

// checkReady closes ready once the first releases of the mirror or of the origin
// are dealt with; mu is held.
func (st *store) checkReady() {
	restored := false
	for _, s := range st.sites {
		if s.restore && s.failures == 0 {
			return
		}
		restored = restored || s.live != nil
	}
	if st.isReady || st.first > 0 || (!st.looked && !restored) || st.joining() {
		return
	}
	st.isReady, st.status.Mirrored = true, true
	close(st.ready)
}
