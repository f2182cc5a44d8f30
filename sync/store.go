package sync

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/terrane/terrane/sync/internal/folder"
	"github.com/terrane/terrane/sync/internal/gitrepo"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

const (
	// Looks for hints, in a row and then at most: a flood of hints must not become a
	// flood at the origin.
	hintBurst  = 5
	folderGap  = 5 * time.Millisecond
	gitGap     = 100 * time.Millisecond
	maxBackoff = time.Minute
	again      = 20 * time.Millisecond // to the next look, after a folder moved while it was read
	maxOdd     = 100                   // entries of StoreStatus.Odd
	maxWanted  = 1000                  // folders asked for between two looks

	// A store that was never mirrored counts as read when all its folders were found
	// at rest once; one that is always being written to holds that up for so long.
	firstSettle = 10 * time.Second
)

// store follows one origin. Its run is the only user of origin, and the only one
// that begins jobs.
type store struct {
	s      *Syncer
	c      Store
	log    *slog.Logger
	mirror *mirror.Mirror
	origin origin.Origin
	pace   *rate.Limiter // of looks
	label  string        // in metrics
	whole  bool          // the prefix is the ID of the only tenant
	turns  chan struct{} // if not nil, one per look that may be under way at a time
	nudged chan struct{}
	asked  chan func(context.Context) // what run is to do in its turn
	ended  chan struct{}              // closed when run returns
	ready  chan struct{}
	jobs   sync.WaitGroup

	mu      sync.Mutex
	status  StoreStatus
	sites   map[string]*site // by the folder's path below the root
	wanted  map[string]bool  // folders that Want named and that are not in sites
	taking  int              // folders that this look has yet to take
	first   int              // jobs begun before looked
	begun   time.Time        // when the first look began
	looked  bool             // the origin was read once, and what it held was begun
	watches map[*watch]struct{}
	isReady bool
	errors  int // failed looks in a row
}

func newStore(s *Syncer, c Store) *store {
	st := &store{
		s: s, c: c, sites: map[string]*site{}, wanted: map[string]bool{}, watches: map[*watch]struct{}{},
		nudged: make(chan struct{}, 1), ready: make(chan struct{}),
		asked: make(chan func(context.Context)), ended: make(chan struct{}),
	}
	st.label = c.Prefix
	st.log = s.log.With("store", c.Prefix)
	st.status.Prefix = c.Prefix
	poll := defaultGitPoll
	st.pace = rate.NewLimiter(rate.Every(gitGap), hintBurst)
	switch {
	case c.Folder != nil:
		st.status.Kind, st.status.Origin, poll = "folder", c.Folder.Path, defaultFolderPoll
		st.pace = rate.NewLimiter(rate.Every(folderGap), 1)
	case c.Git != nil:
		st.status.Kind, st.status.Origin = "git", redact(c.Git.URL)
	}
	if st.c.Poll == 0 {
		st.c.Poll = poll
	}
	return st
}

// redact cuts the user and password out of a URL.
func redact(origin string) string {
	u, err := url.Parse(origin)
	if err != nil || u.User == nil {
		return origin
	}
	u.User = nil
	return u.String()
}

// want has the next look look for a folder that is not known yet.
func (st *store) want(name string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, ok := st.sites[name]; !ok && len(st.wanted) < maxWanted {
		st.wanted[name] = true
		st.wake()
	}
}

// wantedNames are the folders that are known, and those asked for since the last
// call: what is not there is asked for again.
func (st *store) wantedNames() []string {
	st.mu.Lock()
	defer st.mu.Unlock()
	names := slices.AppendSeq(slices.Collect(maps.Keys(st.sites)), maps.Keys(st.wanted))
	clear(st.wanted)
	return names
}

func (st *store) repoDir() string {
	return filepath.Join(st.s.o.Data, "git", strings.ReplaceAll(url.PathEscape(st.c.Prefix), ".", "%2E"))
}

func (st *store) openOrigin() origin.Origin {
	if f := st.c.Folder; f != nil {
		return folder.Open(folder.Options{Path: f.Path, Depth: st.c.Depth, Settle: f.Settle, Poll: st.c.Poll, Wanted: st.wantedNames})
	}
	g := st.c.Git
	o := gitrepo.Options{
		Dir: st.repoDir(),
		URL: g.URL, Branch: g.Branch, Depth: st.c.Depth, Whole: st.whole, Timeout: g.Timeout,
		Signers: gitrepo.Signers{SSH: g.AllowedSigners, OpenPGP: g.SignerKeys}, FastForward: g.FastForward, Previews: g.Previews,
		Hosted: g.Hosted,
		Auth: gitrepo.Auth{
			Username: g.Username, TokenFile: g.TokenFile, SSHKey: g.SSHKey, KnownHosts: g.KnownHosts, CA: g.CA,
		},
	}
	if o.Branch == "" {
		o.Branch = "main"
	}
	if o.MaxPack = g.MaxPack; o.MaxPack == 0 {
		o.MaxPack = defaultMaxPack
	}
	if o.Timeout == 0 {
		o.Timeout = defaultGitTimeout
	}
	return gitrepo.Open(o)
}

func (st *store) id(name string) tenant.ID {
	if folder, preview, ok := origin.CutPreview(name); ok {
		return st.id(folder).Preview(preview)
	}
	if st.whole {
		return tenant.ID(st.c.Prefix)
	}
	return tenant.ID(st.c.Prefix + name)
}

// name is the path of a tenant's folder below the root, if the tenant is of this
// store.
func (st *store) name(id tenant.ID) (string, bool) {
	of, preview, ok := id.CutPreview()
	name, found := of.Under(st.c.Prefix)
	if st.whole {
		name, found = ".", string(of) == st.c.Prefix
	}
	if ok {
		name = origin.Preview(name, preview)
	}
	return name, found
}

func (st *store) wake() {
	select {
	case st.nudged <- struct{}{}:
	default:
	}
}

// load takes up the tenants that an earlier run left in the mirror.
func (st *store) load(m *mirror.Mirror) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.mirror = m
	for _, id := range m.Tenants() {
		if name, ok := st.name(id); ok {
			st.sites[name] = &site{status: TenantStatus{ID: id}, restore: true}
		}
	}
}

// run looks at the origin until ctx ends, then waits for its jobs.
func (st *store) run(ctx context.Context) error {
	defer close(st.ended)
	st.origin = st.openOrigin()
	defer st.origin.Close() //nolint:errcheck // nothing was written to it
	defer st.jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var earliest time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-st.origin.Hints():
			timer.Reset(time.Until(earliest))
		case do := <-st.asked:
			do(ctx)
		case <-st.nudged:
			timer.Reset(time.Until(earliest))
		case <-timer.C:
			st.restore(ctx)
			begun := time.Now()
			wait := st.look(ctx)
			took := time.Since(begun)
			st.pace.Allow()
			gap := max(took, st.pause())
			earliest = time.Now().Add(gap)
			timer.Reset(max(wait, gap))
		}
	}
}

// pause is how long the next look must wait for the sake of the origin.
func (st *store) pause() time.Duration {
	return time.Duration(max(0, 1-st.pace.Tokens()) / float64(st.pace.Limit()) * float64(time.Second))
}

// look asks the origin once, deals with all that has changed, and returns when to
// ask again.
func (st *store) look(ctx context.Context) time.Duration {
	begun := time.Now()
	if st.begun.IsZero() {
		st.begun = begun
	}
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
	if st.isReady || st.first > 0 || (!st.looked && !restored) {
		return
	}
	st.isReady, st.status.Mirrored = true, true
	close(st.ready)
}

// snapshot copies the state of the store.
func (st *store) snapshot() (StoreStatus, []TenantStatus) {
	st.mu.Lock()
	defer st.mu.Unlock()
	tenants := make([]TenantStatus, 0, len(st.sites))
	for _, s := range st.sites {
		tenants = append(tenants, s.status.clone())
	}
	return st.summary(), tenants
}

// summary copies the state of the store alone; mu is held.
func (st *store) summary() StoreStatus {
	out := st.status
	out.Odd = maps.Clone(out.Odd)
	out.Pending = st.taking
	for _, s := range st.sites {
		if s.behind() {
			out.Pending++
		}
	}
	return out
}

func (st *store) tenant(id tenant.ID) (TenantStatus, bool) {
	name, ok := st.name(id)
	st.mu.Lock()
	defer st.mu.Unlock()
	s, found := st.sites[name]
	if !ok || !found {
		return TenantStatus{}, false
	}
	return s.status.clone(), true
}
