package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// followEvery is how often a watch is compared with what jobs have done.
const followEvery = 10 * time.Millisecond

// watch waits for a look that begins after it.
type watch struct {
	name  string
	since time.Time
	seen  bool   // such a look has ended
	key   string // of the folder then; empty: it is not there
	err   error  // why that state is not taken
}

// Follow has the tenant's store look at its origin, and waits until what it finds
// there of the tenant has gone live or was refused: the status returned says which,
// and is empty for a tenant that has left the store. An error says why it is
// undecided, or wraps ErrRefused when the origin's state as a whole is not taken. A
// tenant whose own repository this edge keeps is wanted by that.
func (s *Syncer) Follow(ctx context.Context, id tenant.ID) (TenantStatus, error) {
	for _, st := range s.all() {
		if name, ok := st.name(id); ok {
			return st.follow(ctx, name)
		}
	}
	of, _, _ := id.CutPreview()
	for _, g := range s.groups {
		if _, ok := of.Under(g.c.Prefix); ok && g.c.GitTenant.Hosted && g.mayHave(of) {
			st, err := g.await(ctx, of)
			if err != nil {
				return TenantStatus{}, err
			}
			if name, ok := st.name(id); ok {
				return st.follow(ctx, name)
			}
		}
	}
	return TenantStatus{}, fmt.Errorf("tenant %s: %w", id, ErrUnknown)
}

// await wants a tenant's repository, and returns its store once there is one.
func (g *group) await(ctx context.Context, id tenant.ID) (*store, error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		g.want(id)
		if st := g.store(id); st != nil {
			return st, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (st *store) follow(ctx context.Context, name string) (TenantStatus, error) {
	w := &watch{name: name, since: time.Now()}
	st.mu.Lock()
	st.watches[w] = struct{}{}
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		delete(st.watches, w)
		st.mu.Unlock()
	}()
	st.wake()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-st.ended:
			return TenantStatus{}, errStopped
		case <-ctx.Done():
			st.mu.Lock()
			defer st.mu.Unlock()
			if st.status.Error != "" {
				return TenantStatus{}, errors.New(st.status.Error)
			}
			return TenantStatus{}, ctx.Err()
		case <-tick.C:
		}
		if status, done, err := st.decided(w); done {
			return status, err
		}
	}
}

// note tells the watches what a look has found; mu is held.
func (st *store) note(begun time.Time, look *origin.Look) {
	for w := range st.watches {
		key, there := look.Folders[w.name]
		if begun.Before(w.since) || (there && key == "") {
			continue
		}
		w.seen, w.key, w.err = true, key, nil
		odd := cmp.Or(look.Odd[w.name], st.status.Odd[w.name])
		if _, preview, ok := origin.CutPreview(w.name); ok {
			odd = cmp.Or(odd, look.Odd["preview/"+preview])
		}
		if odd != "" {
			w.err = origin.Refuse("%s", odd)
		}
		if look.Refused != "" {
			w.err = origin.Refuse("%s", look.Refused)
		}
	}
}

// decided reports whether what w has seen is dealt with.
func (st *store) decided(w *watch) (t TenantStatus, done bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.sites[w.name]
	switch {
	case !w.seen:
		return t, false, nil
	case w.err != nil || s == nil:
		return t, true, w.err
	case s.busy || s.missed || s.restore:
		return t, false, nil
	case w.key == "": // it is kept
		return s.status.clone(), true, errors.New("the store is empty: what is live stays")
	}
	return s.status.clone(), s.key == w.key || s.failures > 0, nil
}
