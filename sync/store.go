package sync

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/terrane/terrane/sync/internal/folder"
	"github.com/terrane/terrane/sync/internal/gitrepo"
	"github.com/terrane/terrane/sync/internal/gitwire"
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
	folder  *folder.Folder   // origin, if it is one
	sites   map[string]*site // by the folder's path below the root
	wanted  map[string]bool  // folders that Want named and that are not in sites
	taking  int              // folders that this look has yet to take
	first   int              // jobs begun before looked
	begun   time.Time        // when the first look began
	looked  bool             // the origin was read once, and what it held was begun
	watches map[*watch]struct{}
	offers  map[string]*offer // what peers serve otherwise, by the folder's path
	isReady bool
	errors  int // failed looks in a row
}

func newStore(s *Syncer, c Store) *store {
	st := &store{
		s: s, c: c, sites: map[string]*site{}, wanted: map[string]bool{}, watches: map[*watch]struct{}{}, offers: map[string]*offer{},
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
		st.status.Kind, st.status.Origin, poll = tenant.FolderStore, c.Folder.Path, defaultFolderPoll
		st.pace = rate.NewLimiter(rate.Every(folderGap), 1)
	case c.Git != nil:
		st.status.Kind, st.status.Origin = tenant.GitStore, gitwire.Redact(c.Git.URL)
	}
	if st.c.Poll == 0 {
		st.c.Poll = poll
	}
	return st
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

func (st *store) openOrigin(ctx context.Context) origin.Origin {
	if f := st.c.Folder; f != nil {
		o := folder.Open(ctx, folder.Options{
			Path: f.Path, Depth: st.c.Depth, Settle: f.Settle, Poll: st.c.Poll, Wanted: st.wantedNames,
			Reread: folder.Reread{
				Budget: st.s.reread, Max: st.s.o.Limits.SiteSize, Taken: st.taken, Digest: mirror.ContentOf, Read: st.reread,
			},
		})
		st.mu.Lock()
		defer st.mu.Unlock()
		st.folder = o
		return o
	}
	return gitrepo.Open(st.gitOptions())
}

func (st *store) gitOptions() gitrepo.Options {
	g := st.c.Git
	return gitrepo.Options{
		Dir: st.repoDir(),
		URL: g.URL, Branch: g.Branch, Depth: st.c.Depth, Whole: st.whole, Timeout: g.Timeout, MaxPack: g.MaxPack,
		Signers: gitrepo.Signers{SSH: g.AllowedSigners, OpenPGP: g.SignerKeys}, FastForward: g.FastForward, Previews: g.Previews,
		Hosted: g.Hosted, Within: g.within, Judge: st.s.o.Judge,
		Auth: gitwire.Auth{Username: g.Username, TokenFile: g.TokenFile, SSHKey: g.SSHKey, KnownHosts: g.KnownHosts, CA: g.CA},
	}
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
	st.origin = st.openOrigin(ctx)
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
			st.consider(ctx)
			took := time.Since(begun)
			st.pace.Allow()
			gap := max(took, st.pause())
			earliest = time.Now().Add(gap)
			timer.Reset(max(wait, gap))
		}
	}
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
	out.Odd, out.NotTaken = maps.Clone(out.Odd), maps.Clone(out.NotTaken)
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
