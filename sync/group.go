package sync

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

const (
	// wantedFor is how long a tenant's own repository is mirrored after its last Want.
	wantedFor         = 24 * time.Hour
	defaultTenantPoll = time.Minute
	// groupTurns bounds how many repositories are asked at a time.
	groupTurns = 16
	// maxRepos bounds the repositories of one group.
	maxRepos = 10_000
)

// group follows the repositories that tenants' domains name, each by a store of
// its own.
type group struct {
	s      *Syncer
	c      Store
	turns  chan struct{}
	wanted chan tenant.ID
	added  chan struct{} // run is to begin what demand has added

	mu     sync.Mutex
	mirror *mirror.Mirror // nil before Run
	repos  map[tenant.ID]*repo
	early  []*offer // that came before Run
}

// repo is one tenant's repository.
type repo struct {
	st    *store
	until time.Time
	stop  context.CancelFunc // nil: not begun
	done  chan struct{}
}

func newGroup(s *Syncer, c Store) *group {
	if c.Poll == 0 {
		c.Poll = defaultTenantPoll
	}
	return &group{
		s: s, c: c, turns: make(chan struct{}, groupTurns),
		wanted: make(chan tenant.ID, 64), added: make(chan struct{}, 1), repos: map[tenant.ID]*repo{},
	}
}

// load takes up the repositories that an earlier run left in the mirror.
func (g *group) load(m *mirror.Mirror) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mirror = m
	for _, id := range m.Tenants() {
		of, _, _ := id.CutPreview()
		if _, ok := of.Under(g.c.Prefix); !ok || g.repos[of] != nil {
			continue
		}
		if same, err := tenant.ParseID(string(of)); err != nil || same != of || !g.mayHave(of) { // an older build took more
			g.s.log.Warn("a mirrored tenant is not served: its name is none", "tenant", id, "err", err)
			if err := m.Remove(id); err != nil {
				g.s.log.Warn("cannot remove a tenant", "tenant", id, "err", err)
			}
			continue
		}
		g.add(of)
	}
}

// mayHave reports whether a tenant can have a repository.
func (g *group) mayHave(id tenant.ID) bool {
	if !g.c.GitTenant.Hosted || g.c.GitTenant.Locate == nil {
		return true
	}
	_, ok := g.c.GitTenant.Locate(id)
	return ok
}

// loaded hands on what came before load.
func (g *group) loaded() {
	g.mu.Lock()
	early := g.early
	g.early = nil
	g.mu.Unlock()
	for _, o := range early {
		g.offer(o)
	}
}

// add makes the store of a tenant; mu is held.
func (g *group) add(id tenant.ID) {
	c := *g.c.GitTenant
	c.URL, c.within = string(id), g.c.Prefix
	if c.Hosted {
		if c.within = ""; c.Locate != nil {
			c.URL, _ = c.Locate(id)
		}
	}
	st := newStore(g.s, Store{Prefix: string(id), Poll: g.c.Poll, Git: &c})
	st.label, st.status.Kind, st.whole, st.turns = g.c.Prefix, tenant.GitTenantStore, true, g.turns
	st.load(g.mirror)
	g.repos[id] = &repo{st: st, until: time.Now().Add(wantedFor), done: make(chan struct{})}
}

// want extends a repository's time, and has run begin one that is not known. If
// too many are asked for at once, a later Want does it.
func (g *group) want(id tenant.ID) {
	if !g.mayHave(id) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.repos[id]; ok {
		r.until = time.Now().Add(wantedFor)
		return
	}
	select {
	case g.wanted <- id:
	default:
	}
}

// offer hands what a peer serves to the store of the tenant, which is made if there is
// room.
func (g *group) offer(o *offer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mirror == nil {
		if len(g.early) < maxRepos {
			g.early = append(g.early, o)
		}
		return
	}
	id, _, _ := o.ID.CutPreview()
	if g.repos[id] == nil {
		if same, err := tenant.ParseID(string(id)); err != nil || same != id || !g.mayHave(id) || len(g.repos) >= maxRepos {
			return
		}
		g.add(id)
		select {
		case g.added <- struct{}{}:
		default:
		}
	}
	st := g.repos[id].st
	name, _ := st.name(o.ID)
	st.offer(name, o)
}

func (g *group) store(id tenant.ID) *store {
	id, _, _ = id.CutPreview()
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.repos[id]; ok {
		return r.st
	}
	return nil
}

func (g *group) all() []*store {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*store, 0, len(g.repos))
	for _, r := range g.repos {
		all = append(all, r.st)
	}
	return all
}

// run begins and ends the stores until ctx ends, then waits for them.
func (g *group) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(wantedFor / 24)
	defer tick.Stop()
	for {
		g.begin(ctx, &running)
		select {
		case <-ctx.Done():
			return nil
		case <-g.added:
		case id := <-g.wanted:
			g.mu.Lock()
			if g.repos[id] == nil && len(g.repos) < maxRepos {
				g.add(id)
			}
			g.mu.Unlock()
		case now := <-tick.C:
			g.expire(ctx, now)
		}
	}
}

// begin runs the stores that do not run yet.
func (g *group) begin(ctx context.Context, running *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, r := range g.repos {
		if r.stop != nil {
			continue
		}
		own, stop := context.WithCancel(ctx)
		r.stop = stop
		running.Go(func() {
			defer close(r.done)
			defer stop()
			if err := r.st.run(own); err != nil {
				r.st.log.Error("store has ended", "tenant", id, "err", err)
			}
		})
	}
}

// expire drops the repositories that no verified domain has named for long.
func (g *group) expire(ctx context.Context, now time.Time) {
	g.mu.Lock()
	var old []*repo
	for id, r := range g.repos {
		if now.After(r.until) {
			old = append(old, r)
			delete(g.repos, id)
		}
	}
	g.mu.Unlock()
	for _, r := range old {
		r.stop()
		<-r.done
		r.st.drop(ctx)
	}
}

// drop takes the tenants of a store that has ended down and removes its repository.
func (st *store) drop(ctx context.Context) {
	st.mu.Lock()
	names := slices.Collect(maps.Keys(st.sites))
	st.mu.Unlock()
	for _, name := range names {
		st.remove(ctx, name)
	}
	if err := os.RemoveAll(st.repoDir()); err != nil {
		st.log.Error("cannot remove a repository's mirror", "err", err)
	}
}
