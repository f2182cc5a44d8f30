package sync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/sync/internal/contents"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	// joinTime bounds how long an edge counts as not mirrored for the sake of what its
	// peers serve, and of earlier releases.
	joinTime   = time.Minute
	offerTime  = 10 * time.Minute // for which an offer is kept that nothing could be decided on
	maxOffers  = 200_000          // of one store
	offerTries = 3                // before an earlier release is searched for
	fetchers   = 4                // releases that are fetched from peers at a time
	fetchTime  = 5 * time.Minute  // for one
	searchTurn = time.Second      // of searching in one turn: the store is looked at in between
	searchMax  = 50               // earlier releases that are tried
)

// offer is what a peer serves of a tenant.
type offer struct {
	tenant.Served
	force bool // whatever the folder has
	at    time.Time
	tries int
	due   time.Time // of the next
}

// search is how far a store has gone back for a release that is good.
type search struct {
	at    tenant.Revision // that was tried last
	tries int
	over  bool
}

// offer notes what peers serve: of several, an operator's choice before others, the
// newest first.
func (st *store) offer(name string, o *offer) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if old := st.offers[name]; old != nil && !o.force {
		if old.Sum() == o.Sum() {
			old.at = o.at
			return
		}
		if old.force || old.Pin.Newer(o.Pin) || !o.Pin.Newer(old.Pin) && !o.Time.After(old.Time) {
			return
		}
	} else if len(st.offers) >= maxOffers {
		return
	}
	st.offers[name] = o
	st.wake()
}

// joining reports whether the store is to wait for what its peers serve, and for
// earlier releases of tenants that have none; mu is held.
func (st *store) joining() bool {
	switch {
	case st.begun.IsZero():
		return st.s.o.Peers != nil
	case time.Since(st.begun) > joinTime:
		return false
	case !st.s.peersKnown():
		return true
	}
	for name := range st.offers {
		if s := st.sites[name]; s != nil && s.failures == 0 {
			return true
		}
	}
	for _, s := range st.sites {
		if st.searches(s) {
			return true
		}
	}
	return false
}

func (s *Syncer) peersKnown() bool {
	if s.o.Peers == nil {
		return true
	}
	select {
	case <-s.o.Peers.Known():
		return true
	default:
		return false
	}
}

// searches reports whether an earlier release of s is wanted: nothing is live and what the
// folder has is refused. mu is held.
func (st *store) searches(s *site) bool {
	return s.live == nil && s.refusedNow() && !s.search.over && st.historian() != nil
}

func (st *store) historian() origin.Historian {
	h, _ := st.origin.(origin.Historian)
	return h
}

// refusedNow reports whether what the folder has is refused; mu is held.
func (s *site) refusedNow() bool { return s.status.Refused != nil && !s.status.Refused.Retry }

// consider decides on what peers serve, and goes back where nothing is live. Only run
// calls it, after a look.
func (st *store) consider(ctx context.Context) {
	begun := time.Now()
	st.mu.Lock()
	adopt, search := map[*site]*offer{}, []*site{}
	var doubtful []tenant.ID
	known := st.s.peersKnown()
	for name, s := range st.sites {
		o := st.offers[name]
		switch {
		case s.busy || s.missed || s.restore && s.failures == 0:
		case s.key == "" && s.failures == 0 && st.status.Reachable: // its folder is yet to be taken
		case o != nil && begun.Before(o.due):
		case o != nil && st.wants(s, o):
			adopt[s] = o
		case o != nil:
			delete(st.offers, name)
			if s.live != nil && s.live.Pin == nil && o.Pin == nil && !s.refusedNow() && s.live.Content() != o.Content {
				doubtful = append(doubtful, s.status.ID)
			}
		case known && st.searches(s):
			search = append(search, s)
		}
	}
	for name, o := range st.offers {
		if begun.Sub(o.at) < offerTime {
			continue
		}
		delete(st.offers, name) // no edge serves it any more
		if s := st.sites[name]; s != nil && s.live == nil && !s.busy && !s.refusedNow() {
			s.key = "" // nothing but what was held back for it is left
			st.wake()
		}
	}
	st.checkReady()
	st.mu.Unlock()
	for _, id := range doubtful { // a mount may show what is stale
		st.s.Recheck(id)
	}
	for s, o := range adopt {
		if ctx.Err() == nil {
			st.adopt(ctx, s, o)
		}
	}
	for _, s := range search {
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > searchTurn {
			st.wake()
			return
		}
		st.goFurther(ctx, s)
	}
}

// wants reports whether s is to be served as a peer does; mu is held.
func (st *store) wants(s *site, o *offer) bool {
	if s.live != nil {
		if mine := servedOf(s.live); mine.Sum() == o.Sum() {
			return false
		}
	}
	if o.force {
		return true
	}
	if o.Content == s.declined {
		return false
	}
	var mine *tenant.Pin
	if s.live != nil {
		mine = s.live.Pin
	}
	switch {
	case o.Pin.Newer(mine): // it holds unless the folder has changed since
		return s.seen == o.Pin.Over || s.seen == tenant.Hash{} || s.refusedNow() || !st.status.Reachable
	case mine != nil || o.Pin != nil:
		return false
	}
	return s.refusedNow() && o.Content != s.seen && (s.live == nil || o.Time.After(s.live.Time))
}

// adopt serves what a peer serves: from the mirror, from the origin's past, or from a
// peer. Only run calls it.
func (st *store) adopt(ctx context.Context, s *site, o *offer) {
	c, err := st.nearby(ctx, o)
	st.background(s, func() {
		if c == nil && err == nil {
			c, err = st.fetch(ctx, o)
		}
		if err == nil {
			st.slot(ctx, func() { err = st.publish(ctx, s, st.asServed(s, c, o)) })
		}
		if ctx.Err() == nil {
			st.adopted(s, o, err)
		}
	})
}

// asServed gives a candidate the name that it has at the peer.
func (st *store) asServed(s *site, c *candidate, o *offer) *candidate {
	st.mu.Lock()
	defer st.mu.Unlock()
	rec := &mirror.Record{ID: o.ID, Revision: o.Revision, Time: o.Time, Files: c.rec.Files, Pinned: o.Pinned(), Pin: o.Pin}
	c.older = true
	if !s.refusedNow() { // else a restart is to find out again that it is refused
		rec.Key = s.key
	}
	c.rec = rec
	return c
}

// adopted notes how it went.
func (st *store) adopted(s *site, o *offer, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	name, _ := st.name(o.ID)
	current := st.offers[name] == o
	switch {
	case err == nil:
		st.log.Info("release of the other edges is live", "tenant", o.ID, "revision", o.Revision, "pinned", o.Pinned())
		if current {
			delete(st.offers, name)
		}
	case st.isRefusal(err):
		st.log.Warn("release of the other edges is refused here", "tenant", o.ID, "revision", o.Revision, "err", err)
		s.declined = o.Content
		if current {
			delete(st.offers, name)
		}
	default:
		o.tries++
		o.due = time.Now().Add(st.jitter(backoff(time.Second, o.tries)))
		st.log.Warn("release of the other edges cannot be had", "tenant", o.ID, "revision", o.Revision, "retry_at", o.due, "err", err)
		if current && o.tries >= offerTries && o.Pin == nil { // another comparison offers it again
			delete(st.offers, name)
		}
	}
	st.wake()
}

func (st *store) isRefusal(err error) bool {
	return errors.Is(err, ErrRefused) || (st.s.o.IsRefusal != nil && st.s.o.IsRefusal(err))
}

// nearby finds the content of an offer in the mirror or in the origin's past; nil if it is
// in neither.
func (st *store) nearby(ctx context.Context, o *offer) (*candidate, error) {
	for _, rec := range st.history(o.ID) {
		if rec.Content() == o.Content {
			if c, err := st.again(rec); err == nil {
				return c, nil
			}
		}
	}
	h := st.historian()
	if h == nil {
		return nil, nil
	}
	name, _ := st.name(o.ID)
	l, err := h.At(ctx, name, o.Revision)
	if err == nil {
		var c *candidate
		if c, err = st.takeListing(ctx, name, "", nil, l); err == nil {
			if c.rec.Content() == o.Content {
				return c, nil
			}
			err = errors.Join(fmt.Errorf("commit %s has other content here", o.Revision), c.stage.Close())
		}
	}
	if h.Signed() { // what a peer has is signed by nobody
		return nil, err
	}
	return nil, nil //nolint:nilerr // a peer has it
}

// again makes a candidate of a record of the mirror.
func (st *store) again(rec *mirror.Record) (*candidate, error) {
	c, err := st.candidate(rec)
	if err != nil {
		return nil, err
	}
	c.stage = st.mirror.Stage()
	for name, f := range rec.Files {
		if !c.stage.Reuse(f.Hash) {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, tenant.ErrDamaged), c.stage.Close())
		}
	}
	return c, nil
}

// fetch reads the content of an offer from peers.
func (st *store) fetch(ctx context.Context, o *offer) (_ *candidate, err error) {
	if st.s.o.Peers == nil {
		return nil, errors.New("there is no peer to have it from")
	}
	select {
	case st.s.fetching <- struct{}{}:
		defer func() { <-st.s.fetching }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	limits := &st.s.o.Limits
	data, err := st.fetchObject(ctx, o, o.Content, int64(st.s.o.MaxFiles)*(contents.MaxPath+int64(len(tenant.Hash{}))+1))
	if err != nil {
		return nil, err
	}
	hashes, err := mirror.ParseListing(data, st.s.o.MaxFiles)
	if err != nil {
		return nil, err
	}
	c := &candidate{rec: &mirror.Record{ID: o.ID, Files: map[string]mirror.File{}}, stage: st.mirror.Stage()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stage.Close())
		}
	}()
	left := limits.SiteSize
	var entries []origin.Entry
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		limit := left
		if limits.ModuleSize > 0 && strings.HasSuffix(name, ".wasm") && (limit == 0 || limit > limits.ModuleSize) {
			limit = limits.ModuleSize
		}
		if limit <= 0 {
			limit = maxFetched
		}
		f, err := st.fetchFile(ctx, c.stage, o, hashes[name], limit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if limits.SiteSize > 0 {
			left = max(1, left-f.Size)
		}
		c.rec.Files[name] = mirror.File{File: f}
		entries = append(entries, origin.Entry{Path: name, Size: f.Size})
	}
	if err := errors.Join(contents.Check(entries, st.s.o.MaxFiles, &st.s.o.Limits), c.readManifest()); err != nil {
		return nil, err
	}
	return c, nil
}

// maxFetched bounds an object where the operator sets no limit.
const maxFetched = 1 << 30

// fetchObject reads one object of a peer into memory.
func (st *store) fetchObject(ctx context.Context, o *offer, h tenant.Hash, limit int64) ([]byte, error) {
	r, err := st.s.o.Peers.Open(ctx, o.ID, o.Content, h)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit || tenant.Hash(sha256.Sum256(data)) != h {
		return nil, fmt.Errorf("a peer's object %s is not what it should be", h)
	}
	return data, nil
}

// fetchFile brings one object of a peer into the stage.
func (st *store) fetchFile(ctx context.Context, stage *mirror.Stage, o *offer, h tenant.Hash, limit int64) (tenant.File, error) {
	if f, ok := stage.Have(h); ok {
		return f, nil
	}
	r, err := st.s.o.Peers.Open(ctx, o.ID, o.Content, h)
	if err != nil {
		return tenant.File{}, err
	}
	f, err := stage.Put(r, limit)
	if err := errors.Join(err, r.Close()); err != nil {
		return f, err
	}
	if f.Hash != h {
		return f, fmt.Errorf("a peer's object %s is not what it should be", h)
	}
	return f, nil
}

// goFurther tries the release before the one that was tried last. Only run calls it.
func (st *store) goFurther(ctx context.Context, s *site) {
	name, _ := st.name(s.status.ID)
	st.mu.Lock()
	at := s.search.at
	s.search.tries++
	enough := s.search.tries > searchMax
	st.mu.Unlock()
	l, err := (*origin.Listing)(nil), origin.ErrNoEarlier
	if !enough {
		l, err = st.historian().Before(ctx, name, at)
	}
	var c *candidate
	if err == nil {
		c, err = st.takeListing(ctx, name, "", nil, l)
	}
	if ctx.Err() != nil {
		return
	}
	st.mu.Lock()
	if l != nil {
		s.search.at = l.Revision
	}
	if err != nil && (l == nil || !errors.Is(err, ErrRefused)) {
		s.search.over = true
		st.log.Warn("no earlier release of a tenant is good", "tenant", s.status.ID, "tried", s.search.tries-1, "err", err)
	}
	st.mu.Unlock()
	if c == nil {
		st.wake() // for the next, or for who waits
		return
	}
	c.older = true
	st.start(ctx, s, func() {
		switch err := st.publish(ctx, s, c); {
		case err == nil:
			st.log.Warn("an earlier release is live: the newest one is refused", "tenant", s.status.ID, "revision", c.rec.Revision)
		case !st.isRefusal(err): // to be tried again
			st.mu.Lock()
			s.search.at = at
			st.mu.Unlock()
			st.log.Warn("an earlier release cannot be published", "tenant", s.status.ID, "revision", c.rec.Revision, "err", err)
		}
	})
}
