package sync

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

// Peers are the other edges of the fleet. Its methods are called from many goroutines.
type Peers interface {
	// Known is closed once Offer was called with what the edges in reach serve, or no edge
	// has answered for as long as this one should wait.
	Known() <-chan struct{}
	// Open opens an object of the content that a peer serves the tenant at. The content's
	// listing is the object whose digest is the content. What is read is checked by its hash.
	Open(ctx context.Context, id tenant.ID, content, object tenant.Hash) (io.ReadCloser, error)
}

// ServedStores sums up what this edge serves, store by store.
func (s *Syncer) ServedStores() []tenant.ServedStore {
	var out []tenant.ServedStore
	for _, st := range s.stores {
		sum := tenant.ServedStore{Prefix: st.c.Prefix}
		st.sumUp(&sum)
		out = append(out, sum)
	}
	for _, g := range s.groups {
		sum := tenant.ServedStore{Prefix: g.c.Prefix, Partial: true}
		for _, st := range g.all() {
			st.sumUp(&sum)
		}
		out = append(out, sum)
	}
	return out
}

func (st *store) sumUp(sum *tenant.ServedStore) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, s := range st.sites {
		if s.live != nil {
			sum.Tenants++
			sum.Buckets[s.bucket].Add(s.sum)
		}
	}
}

// Served lists what this edge serves of some buckets of the store with the prefix, in no
// order.
func (s *Syncer) Served(prefix string, bucket func(int) bool) (list []tenant.Served) {
	for _, st := range s.all() {
		if !strings.HasPrefix(st.c.Prefix, prefix) {
			continue
		}
		st.mu.Lock()
		for _, one := range st.sites {
			if one.live != nil && bucket(one.bucket) {
				list = append(list, servedOf(one.live))
			}
		}
		st.mu.Unlock()
	}
	return list
}

// Serving returns what this edge serves of a tenant, and whether it serves anything.
func (s *Syncer) Serving(id tenant.ID) (tenant.Served, bool) {
	st, name := s.storeOf(id)
	if st == nil {
		return tenant.Served{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if one := st.sites[name]; one != nil && one.live != nil {
		return servedOf(one.live), true
	}
	return tenant.Served{}, false
}

func servedOf(rec *mirror.Record) tenant.Served {
	return tenant.Served{ID: rec.ID, Revision: rec.Revision, Time: rec.Time, Content: rec.Content(), Pin: rec.Pin}
}

// OpenServed opens an object of a content that the tenant is served at, or was: a file, or
// the content's listing, which is the object whose digest is the content. The caller closes it.
// What is not there is fs.ErrNotExist.
func (s *Syncer) OpenServed(id tenant.ID, content, object tenant.Hash) (r io.ReadSeekCloser, size int64, err error) {
	st, _ := s.storeOf(id)
	if st == nil {
		return nil, 0, fs.ErrNotExist
	}
	for _, rec := range st.history(id) {
		if rec.Content() != content {
			continue
		}
		if object == content {
			data := rec.Listing()
			return listing{bytes.NewReader(data)}, int64(len(data)), nil
		}
		for _, f := range rec.Files {
			if f.Hash == object {
				file, err := os.Open(mirror.Path(s.mirrorDir(), object))
				return file, f.Size, err
			}
		}
	}
	return nil, 0, fs.ErrNotExist
}

type listing struct{ *bytes.Reader }

// Close implements io.Closer.
func (listing) Close() error { return nil }

// Offer tells of what other edges serve and this one does not. A store takes it up when
// it has looked at its origin again: if an operator chose it, and the folder has not
// changed since, or if what the folder has is refused here. It never blocks.
func (s *Syncer) Offer(list []tenant.Served) {
	for i := range list {
		s.offer(&offer{Served: list[i], at: time.Now()})
	}
}

func (s *Syncer) offer(o *offer) {
	for _, st := range s.stores {
		if name, ok := st.name(o.ID); ok {
			st.offer(name, o)
			return
		}
	}
	for _, g := range s.groups {
		of, _, _ := o.ID.CutPreview()
		if _, ok := of.Under(g.c.Prefix); ok {
			g.offer(o)
			return
		}
	}
}

// Adopt takes up what another edge serves without regard to what the folder has, and
// returns once it is live: an operator has just chosen it there.
func (s *Syncer) Adopt(ctx context.Context, o tenant.Served) error {
	if st, _ := s.storeOf(o.ID); st == nil {
		return fmt.Errorf("tenant %s: %w", o.ID, ErrUnknown)
	}
	s.offer(&offer{Served: o, at: time.Now(), force: true})
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if now, ok := s.Serving(o.ID); ok && now.Sum() == o.Sum() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("revision %s is not live yet: %w", o.Revision.Short(), ctx.Err())
		}
	}
}
