package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/tenant"
)

const (
	patience   = 2 * time.Second  // for one answer
	objectTime = 10 * time.Second // for one piece of an object, which may be a slow line's
	maxPages   = 500              // of tenants in one comparison
	maxDiffs   = 10_000           // that are remembered of one pair
)

type pairKey struct{ edge, prefix string }

// pair is a store at this edge and at another one. Its digests differ.
type pair struct {
	since        time.Time // when they were first seen to
	mine, theirs tenant.Sum
	at           time.Time // of the last comparison; zero: none
	failed       bool      // it got no answer
	diffs        map[tenant.ID]*diff
}

type diff struct {
	since        time.Time
	mine, theirs *tenant.Served // nil: not served
}

// Difference is a tenant that edges do not serve alike.
type Difference struct {
	Tenant tenant.ID       `json:"tenant"`
	Here   tenant.Revision `json:"here,omitempty"` // empty: not served here
	// Edges has the revisions that other edges serve instead, empty for none.
	Edges map[string]tenant.Revision `json:"edges"`
	Since time.Time                  `json:"since"`
	Pin   *tenant.Pin                `json:"pin,omitempty"` // the newest choice by hand that one of them follows
}

// Differences are the tenants that have not been served alike for Options.Shown.
func (f *Fleet) Differences() []Difference {
	limit := time.Now().Add(-f.o.Shown)
	found := map[tenant.ID]*Difference{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, p := range f.pairs {
		for id, d := range p.diffs {
			if d.since.After(limit) {
				continue
			}
			one := found[id]
			if one == nil {
				one = &Difference{Tenant: id, Edges: map[string]tenant.Revision{}, Since: d.since}
				found[id] = one
			}
			if d.since.Before(one.Since) {
				one.Since = d.since
			}
			one.note(key.edge, d)
		}
	}
	out := make([]Difference, 0, len(found))
	for _, d := range found {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Difference) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return out
}

func (d *Difference) note(edge string, x *diff) {
	d.Edges[edge] = ""
	if x.theirs != nil {
		d.Edges[edge] = x.theirs.Revision
	}
	if x.mine != nil {
		d.Here = x.mine.Revision
	}
	for _, s := range []*tenant.Served{x.mine, x.theirs} {
		if s != nil && s.Pinned() && s.Pin.Newer(d.Pin) {
			d.Pin = s.Pin
		}
	}
}

// round compares this edge with all peers whose digests ask for it, and reports whether
// all of them have answered.
func (f *Fleet) round(ctx context.Context, conn *nats.Conn, peers []Peer) bool {
	mine := map[string]*tenant.ServedStore{}
	sums := map[string]tenant.Sum{}
	if len(peers) > 0 {
		for _, s := range f.source.ServedStores() {
			mine[s.Prefix], sums[s.Prefix] = &s, s.Sum()
		}
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	seen := map[pairKey]bool{}
	for _, peer := range peers {
		for prefix, theirs := range peer.Sums {
			s := mine[prefix]
			if s == nil || theirs == sums[prefix] {
				continue
			}
			key := pairKey{peer.Name, prefix}
			seen[key] = true
			if !f.due(key, sums[prefix], theirs) {
				continue
			}
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				if err := f.compare(ctx, conn, key, s, theirs); err != nil && ctx.Err() == nil {
					level := slog.LevelWarn
					if !f.hasKnown() { // subscriptions of edges that start come up by themselves
						level = slog.LevelDebug
					}
					f.log.Log(ctx, level, "cannot compare with an edge", "edge", key.edge, "store", key.prefix, "err", err)
				}
			})
		}
	}
	wg.Wait()
	return f.settle(seen)
}

// due reports whether a pair whose digests differ is to be compared now.
func (f *Fleet) due(key pairKey, mine, theirs tenant.Sum) bool {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pairs[key]
	if p == nil {
		p = &pair{since: now}
		f.pairs[key] = p
	}
	wait := settle
	switch {
	case !f.isKnown && (p.at.IsZero() || p.failed):
		return true
	case !p.at.IsZero() && p.mine == mine && p.theirs == theirs:
		wait = repeat
	}
	return now.Sub(p.since) >= settle && now.Sub(p.at) >= wait
}

// settle forgets the pairs that are alike now, and warns of what is not.
func (f *Fleet) settle(differ map[pairKey]bool) (answered bool) {
	answered = true
	f.mu.Lock()
	for key, p := range f.pairs {
		if !differ[key] {
			delete(f.pairs, key)
		}
		answered = answered && !p.failed
	}
	f.mu.Unlock()
	shown := map[tenant.ID]bool{}
	for _, d := range f.Differences() {
		shown[d.Tenant] = true
		if !f.warned[d.Tenant] && len(f.warned) < maxDiffs {
			f.log.Warn("edges serve a tenant differently", "tenant", d.Tenant, "here", d.Here, "elsewhere", d.Edges, "since", d.Since)
		}
	}
	f.warned = shown
	return answered
}

// compare finds the tenants that differ, and offers what the peer serves.
func (f *Fleet) compare(ctx context.Context, conn *nats.Conn, key pairKey, mine *tenant.ServedStore, theirSum tenant.Sum) error {
	p := peer{f, conn, key.edge}
	var sums sumsAnswer
	err := p.ask(ctx, "sums", question{Prefix: key.prefix}, &sums)
	var differ [tenant.Buckets]bool
	var list []int
	for i, theirs := range sums.Buckets {
		if err == nil && theirs != mine.Buckets[i] {
			differ[i] = true
			list = append(list, i)
		}
	}
	var theirs []tenant.Served
	if len(list) > 0 {
		theirs, err = p.served(ctx, key.prefix, list)
	}
	have := map[tenant.ID]tenant.Served{}
	for _, s := range f.source.Served(key.prefix, func(b int) bool { return differ[b] }) {
		have[s.ID] = s
	}
	f.mu.Lock()
	pair, starting := f.pairs[key], !f.isKnown
	pair.at, pair.failed = time.Now(), err != nil
	if err == nil { // else it is repeated soon
		pair.mine, pair.theirs = mine.Sum(), theirSum
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	diffs, offers := map[tenant.ID]*diff{}, []tenant.Served{}
	for i := range theirs {
		s := &theirs[i]
		if s.ID.Bucket() >= len(differ) || !differ[s.ID.Bucket()] {
			continue // it was not asked for
		}
		own, ok := have[s.ID]
		delete(have, s.ID)
		switch {
		case ok && own.Sum() == s.Sum():
			continue
		case ok:
			diffs[s.ID] = &diff{mine: &own, theirs: s}
		case !mine.Partial:
			diffs[s.ID] = &diff{theirs: s}
		case !starting:
			continue // no domain has led here, which is no difference
		}
		offers = append(offers, *s)
	}
	if !mine.Partial {
		for id, s := range have {
			diffs[id] = &diff{mine: &s}
		}
	}
	f.remember(pair, diffs)
	f.source.Offer(offers)
	return nil
}

// remember replaces what differs. What did before keeps its time.
func (f *Fleet) remember(p *pair, diffs map[tenant.ID]*diff) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, d := range diffs {
		d.since = now
		if old := p.diffs[id]; old != nil {
			d.since = old.since
		} else if p.diffs == nil {
			d.since = p.since
		}
	}
	for id := range diffs {
		if len(diffs) > maxDiffs {
			delete(diffs, id)
		}
	}
	p.diffs = diffs
}

// peer is an edge that is asked.
type peer struct {
	f    *Fleet
	conn *nats.Conn
	edge string
}

func (p *peer) request(ctx context.Context, verb string, q question) (*nats.Msg, error) {
	data, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	limit := patience
	if verb == "object" {
		limit = objectTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := p.conn.RequestWithContext(ctx, subjects+p.f.o.Lattice.Name()+"."+p.edge+"."+verb, data)
	if err != nil {
		return nil, fmt.Errorf("ask edge %s: %w", p.edge, err)
	}
	if why := m.Header.Get(headerError); why != "" {
		return nil, fmt.Errorf("edge %s: %.200q", p.edge, why)
	}
	return m, nil
}

func (p *peer) ask(ctx context.Context, verb string, q question, answer any) error {
	m, err := p.request(ctx, verb, q)
	if err != nil {
		return err
	}
	return json.Unmarshal(m.Data, answer)
}

// served asks for all tenants of some buckets.
func (p *peer) served(ctx context.Context, prefix string, buckets []int) (all []tenant.Served, err error) {
	for q := (question{Prefix: prefix, Buckets: buckets}); len(all) < maxPages*pageSize; {
		var page servedAnswer
		if err := p.ask(ctx, "served", q, &page); err != nil {
			return nil, err
		}
		for i := range page.Served {
			if s := &page.Served[i]; !sound(s, prefix) {
				return nil, fmt.Errorf("edge %s serves %.100q, which is no tenant of %s", p.edge, s.ID, prefix)
			}
		}
		all = append(all, page.Served...)
		if !page.More || len(page.Served) == 0 {
			break
		}
		q.After = page.Served[len(page.Served)-1].ID
	}
	return all, nil
}

// Open implements sync.Peers: the edges that were found to serve the content are asked
// first, then others.
func (f *Fleet) Open(ctx context.Context, id tenant.ID, content, object tenant.Hash) (io.ReadCloser, error) {
	conn, err := f.o.Lattice.Conn(ctx)
	if err != nil {
		return nil, err
	}
	err = errors.New("no edge is there that may have it")
	for _, edge := range f.holders(id, content) {
		r := &remote{ctx: ctx, peer: peer{f, conn, edge}, q: question{Tenant: id, Content: content, Object: object}}
		if err = r.next(); err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// maxHolders is how many edges are asked for one object.
const maxHolders = 8

func (f *Fleet) holders(id tenant.ID, content tenant.Hash) []string {
	var first, others []string
	peers := f.o.Peers()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range peers {
		has := false
		for prefix := range p.Sums {
			if pair := f.pairs[pairKey{p.Name, prefix}]; pair != nil && pair.diffs[id] != nil && pair.diffs[id].theirs != nil {
				has = has || pair.diffs[id].theirs.Content == content
			}
		}
		if has {
			first = append(first, p.Name)
		} else {
			others = append(others, p.Name)
		}
	}
	all := append(first, others...)
	return all[:min(len(all), maxHolders)]
}
