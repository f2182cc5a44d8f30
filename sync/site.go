package sync

import (
	"context"
	"errors"
	"io/fs"
	"runtime/debug"
	"slices"
	"time"

	"github.com/terrane/terrane/sync/internal/contents"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

// site is what a store knows of one tenant. The store's mu guards all fields; while
// busy is set, the job that set it alone changes live, key and status.
type site struct {
	status TenantStatus
	live   *mirror.Record // nil before the first release
	// key is the state of the folder that was dealt with last: it went live or was
	// refused. Empty: the folder is to be taken again.
	key string
	// seen is the content of that state; zero: it could not be read whole.
	seen     tenant.Hash
	declined tenant.Hash // content of a peer's that is refused here
	search   search      // for an earlier release
	sum      tenant.Sum  // of what is live
	bucket   int
	busy     bool
	missed   bool // the last look found something to do while busy
	restore  bool // the mirror's releases are yet to be published
	failures int  // in a row
	retryAt  time.Time
}

// behind reports whether the site may be about to change; the store's mu is held.
func (s *site) behind() bool { return s.busy || s.missed || s.failures > 0 }

func (t TenantStatus) clone() TenantStatus {
	if t.Live != nil {
		live := *t.Live
		t.Live = &live
	}
	if t.Refused != nil {
		refused := *t.Refused
		t.Refused = &refused
	}
	return t
}

// deploy takes the folder's new state and publishes it in a job of its own. It
// returns false if the folder moved while it was read.
func (st *store) deploy(ctx context.Context, name string, look *origin.Look) bool {
	key := look.Folders[name]
	st.mu.Lock()
	s := st.sites[name]
	prev := s.live
	st.mu.Unlock()
	c, err := st.take(ctx, name, key, prev)
	if err != nil {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.settle(s, key, revisionOf(look, key), err) {
			s.seen = tenant.Hash{}
		}
		return !errors.Is(err, origin.ErrUnsettled)
	}
	content := c.rec.Content()
	same := prev != nil && look.Head == "" && content == prev.Content()
	if prev != nil && prev.Pin != nil {
		same = content == prev.Pin.Over || content == s.seen
	}
	if same { // touched, not changed
		err := c.stage.Close()
		st.mu.Lock()
		defer st.mu.Unlock()
		if err != nil {
			st.log.Warn("cannot remove what was not needed", "tenant", s.status.ID, "err", err)
		}
		s.key, s.seen, s.status.Refused, s.status.Waiting = key, content, nil, ""
		return true
	}
	st.start(ctx, s, func() { st.publishNew(ctx, s, name, c) })
	return true
}

// publishNew publishes what the folder has, unless the fleet is pinned over it. At the
// start it waits for word of that.
func (st *store) publishNew(ctx context.Context, s *site, name string, c *candidate) {
	if p := st.s.o.Peers; p != nil {
		select {
		case <-p.Known():
		case <-ctx.Done():
		}
	}
	st.mu.Lock()
	s.search, s.declined = search{}, tenant.Hash{}
	o := st.offers[name]
	pinned := o != nil && o.Pinned() && o.Pin.Over == c.rec.Content()
	if pinned { // consider takes it from here
		s.key, s.seen = c.rec.Key, c.rec.Content()
	}
	st.mu.Unlock()
	if !pinned {
		_ = st.publish(ctx, s, c) // it is in the status
	} else if err := c.stage.Close(); err != nil {
		st.log.Warn("cannot remove what was not needed", "tenant", s.status.ID, "err", err)
	}
}

// revisionOf names a state that was refused before it had a revision.
func revisionOf(look *origin.Look, key string) tenant.Revision {
	if look.Head != "" {
		return tenant.Revision(look.Head)
	}
	return tenant.Revision(key)
}

// start runs a job for s when a slot is free. Only run may call it.
func (st *store) start(ctx context.Context, s *site, job func()) {
	st.background(s, func() { st.slot(ctx, job) })
}

// slot runs a job when one of the places for publishing is free.
func (st *store) slot(ctx context.Context, job func()) {
	select {
	case st.s.slots <- struct{}{}:
		job()
		<-st.s.slots
	case <-ctx.Done():
	}
}

// background runs a job for s that takes a slot when it needs one. Only run
// may call it.
func (st *store) background(s *site, job func()) {
	name, _ := st.name(s.status.ID)
	st.mu.Lock()
	first := !st.looked
	s.busy = true
	if first {
		st.first++
	}
	st.mu.Unlock()
	st.jobs.Go(func() {
		job()
		st.mu.Lock()
		defer st.mu.Unlock()
		s.busy = false
		if first {
			st.first--
		}
		st.checkReady()
		if s.missed || s.failures > 0 || st.searches(s) || st.offers[name] != nil {
			st.wake()
		}
	})
}

// publish takes a candidate live, or notes why not and returns it.
func (st *store) publish(ctx context.Context, s *site, c *candidate) error {
	begun := time.Now()
	err := c.commit()
	if err == nil {
		err = st.call(ctx, c)
	}
	if err == nil {
		err = st.mirror.Promote(c.rec)
		if err != nil { // it is live; after a restart it will be published once more
			st.log.Warn("release is live but not recorded as such", "tenant", c.rec.ID, "err", err)
			err = nil
		}
	} else if ctx.Err() == nil {
		// What the Publisher could not read may be damaged: then it is removed, and written
		// anew at the next try.
		if errors.Is(err, tenant.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			err = errors.Join(err, st.mirror.Check(c.rec))
		}
		err = errors.Join(err, st.mirror.Drop(c.rec))
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil && !c.older && st.settle(s, c.rec.Key, c.rec.Revision, err) && c.rec.Pin == nil {
			s.seen = c.rec.Content()
		}
		return err
	}
	st.wentLive(s, c.rec)
	s.restore = false
	if !c.older {
		s.status.Refused = nil
	}
	st.log.Info("release is live", "tenant", c.rec.ID, "revision", c.rec.Revision, "took", time.Since(begun))
	return nil
}

func (c *candidate) commit() error {
	if c.stage == nil {
		return nil
	}
	return errors.Join(c.stage.Commit(c.rec), c.stage.Close())
}

// call hands the release to the Publisher. Modules are hostile: a panic over one
// is an error here, and not the end of the edge.
func (st *store) call(ctx context.Context, c *candidate) (err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			st.log.Error("publisher panicked", "tenant", c.rec.ID, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("the edge failed on this release; its log says more")
		}
	}()
	return st.s.o.Publisher.Publish(ctx, c.rec.Snapshot(c.manifest))
}

// wentLive notes success; mu is held.
func (st *store) wentLive(s *site, rec *mirror.Record) {
	if s.live == nil {
		st.s.metrics.tenants.WithLabelValues(st.label).Inc()
	}
	st.s.metrics.deploys.WithLabelValues(st.label).Inc()
	s.live, s.failures, s.retryAt = rec, 0, time.Time{}
	served := servedOf(rec)
	s.sum, s.bucket = served.Sum(), rec.ID.Bucket()
	if rec.Key != "" {
		s.key = rec.Key
	}
	switch {
	case rec.Pin == nil && rec.Key != "": // else it is not what the folder has
		s.seen = rec.Content()
	case rec.Pin != nil && s.seen == tenant.Hash{}: // after a restart
		s.seen = rec.Pin.Over
	}
	live := releaseOf(rec)
	live.Since, live.Live = time.Now(), true
	s.status.Live = &live
	s.status.Waiting = ""
}

// settle notes why a state of the folder is not live, and reports whether it is refused
// for good; mu is held.
func (st *store) settle(s *site, key string, rev tenant.Revision, err error) (refused bool) {
	id := s.status.ID
	if errors.Is(err, origin.ErrUnsettled) {
		s.status.Waiting = err.Error()
		return false
	}
	refused = st.isRefusal(err)
	s.status.Refused = &Refusal{Revision: rev, Time: time.Now(), Reason: err.Error(), Retry: !refused}
	s.status.Waiting = ""
	if refused {
		s.key, s.failures, s.retryAt = key, 0, time.Time{}
		st.s.metrics.refusals.WithLabelValues(st.label).Inc()
		st.log.Warn("release refused", "tenant", id, "revision", rev, "err", err)
		return true
	}
	s.key = ""
	s.failures++
	s.retryAt = time.Now().Add(st.jitter(backoff(time.Second, s.failures)))
	st.s.metrics.failures.WithLabelValues(st.label).Inc()
	st.log.Error("release failed, trying again", "tenant", id, "revision", rev, "retry_at", s.retryAt, "err", err)
	return false
}

// remove takes down a tenant that left the store.
func (st *store) remove(ctx context.Context, name string) {
	st.mu.Lock()
	s := st.sites[name]
	live := s.live != nil
	delete(st.sites, name)
	st.mu.Unlock()
	if live {
		st.s.metrics.tenants.WithLabelValues(st.label).Dec()
	}
	st.s.o.Publisher.Remove(ctx, s.status.ID)
	if err := st.mirror.Remove(s.status.ID); err != nil {
		st.log.Error("cannot remove a tenant from the mirror", "tenant", s.status.ID, "err", err)
	}
	st.log.Info("tenant has left the store", "tenant", s.status.ID)
}

// restore publishes what the mirror holds of each tenant that is not restored yet.
func (st *store) restore(ctx context.Context) {
	now := time.Now()
	st.mu.Lock()
	var due []*site
	for _, s := range st.sites {
		// What failed and can be had from the origin is the look's to try again.
		if s.restore && !s.busy && !now.Before(s.retryAt) && (s.failures == 0 || !st.status.Reachable) {
			due = append(due, s)
		}
	}
	st.mu.Unlock()
	for _, s := range due {
		st.start(ctx, s, func() { st.restoreOne(ctx, s) })
	}
}

// restoreOne publishes the newest release that is whole and that the Publisher
// takes; then the one that an earlier run committed and did not get to promote,
// in that order, lest it was what ended that run.
func (st *store) restoreOne(ctx context.Context, s *site) {
	live, fresh := st.mirror.History(s.status.ID)
	for _, rec := range slices.Backward(live) {
		c, err := st.candidate(rec)
		if err != nil && !errors.Is(err, ErrRefused) { // the next look takes it from the origin
			st.damaged(rec, err)
			continue
		}
		if err == nil {
			err = st.call(ctx, c)
		}
		if ctx.Err() != nil {
			return
		}
		st.mu.Lock()
		if err == nil {
			st.wentLive(s, rec)
		} else {
			st.settle(s, "", rec.Revision, err)
		}
		failed := s.failures > 0
		st.mu.Unlock()
		if failed {
			return // to be tried again
		}
		if err == nil {
			break
		}
	}
	st.mu.Lock()
	s.restore = false
	st.mu.Unlock()
	if fresh == nil {
		return
	}
	c, err := st.candidate(fresh)
	if err != nil {
		st.damaged(fresh, err)
		return
	}
	_ = st.publish(ctx, s, c) // it is in the status
}

// damaged gives up a release that cannot be read from the mirror any more.
func (st *store) damaged(rec *mirror.Record, err error) {
	if errors.Is(err, tenant.ErrDamaged) || errors.Is(err, ErrRefused) {
		err = errors.Join(err, st.mirror.Drop(rec))
	}
	st.log.Error("release in the mirror cannot be used", "tenant", rec.ID, "revision", rec.Revision, "err", err)
}

// candidate checks a record of the mirror and reads its manifest.
func (st *store) candidate(rec *mirror.Record) (*candidate, error) {
	if err := st.mirror.Check(rec); err != nil {
		return nil, err
	}
	c := &candidate{rec: rec}
	f, ok := rec.Files[tenant.ManifestName]
	if !ok {
		return c, nil
	}
	data, err := st.mirror.Read(f.Hash)
	if err != nil {
		return nil, err
	}
	c.manifest, err = contents.Manifest(rec, data)
	return c, err
}
