package sync

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

// Progress says how far a revision has come: rev, or its beginning, is the commit that
// a store is at, or a tenant's revision. It is live when all that it brought is, and the
// error says what of it was refused, and why.
func (s *Status) Progress(rev tenant.Revision) (live bool, err error) {
	if err := mirror.CheckRevision(rev); err != nil {
		return false, err
	}
	var errs []error
	pending := false
	for i := range s.Stores {
		st := &s.Stores[i]
		is := strings.HasPrefix(st.Head, string(rev))
		var since time.Time
		if is {
			live, since = true, st.HeadSince
		}
		for _, t := range s.tenants(st) {
			brought := t.has(rev, since)
			switch {
			case brought && t.Refused != nil && !t.Refused.Retry:
				errs = append(errs, fmt.Errorf("%s: %s", t.ID, t.Refused.Reason))
			case brought && t.Refused != nil:
				pending = true
			case t.Live != nil && strings.HasPrefix(string(t.Live.Revision), string(rev)):
				live, is = true, true
			}
		}
		for _, commit := range slices.Sorted(maps.Keys(st.NotTaken)) {
			if strings.HasPrefix(string(commit), string(rev)) {
				errs = append(errs, fmt.Errorf("%s: %s", st.Prefix, st.NotTaken[commit]))
			}
		}
		pending = pending || is && st.Pending > 0
	}
	return live && !pending && len(errs) == 0, errors.Join(errs...)
}

// tenants are those of a store, previews included. Tenants are sorted.
func (s *Status) tenants(st *StoreStatus) []TenantStatus {
	first, _ := slices.BinarySearchFunc(s.Tenants, st.Prefix, func(t TenantStatus, prefix string) int { return cmp.Compare(string(t.ID), prefix) })
	end := first
	for end < len(s.Tenants) && strings.HasPrefix(string(s.Tenants[end].ID), st.Prefix) {
		end++
	}
	if st.Kind != tenant.GitTenantStore {
		return s.Tenants[first:end]
	}
	var own []TenantStatus // "https://h/a" is the beginning of "https://h/ab" too
	for _, t := range s.Tenants[first:end] {
		if of, _, _ := t.ID.CutPreview(); string(of) == st.Prefix {
			own = append(own, t)
		}
	}
	return own
}

// has reports whether what was refused last is rev, or came with a head that was found
// at since.
func (t *TenantStatus) has(rev tenant.Revision, since time.Time) bool {
	return t.Refused != nil &&
		(strings.HasPrefix(string(t.Refused.Revision), string(rev)) || !since.IsZero() && !t.Refused.Time.Before(since))
}
