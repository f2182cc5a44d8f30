package dnsverify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/tenant"
)

// entry is what is known of one host. Apart from its marks it is immutable: a
// refresh puts another in its place.
type entry struct {
	verdict   tenant.Verdict
	confirmed time.Time // when DNS last said so; zero unless Verified
	refresh   time.Time // when Run looks it up again; zero unless Verified
	expires   time.Time
	stale     bool // DNS fails, and confirmed is why it still stands

	used   atomic.Int64 // Unix seconds of the last request
	asleep atomic.Bool  // Run no longer refreshes it
}

func (e *entry) touch(now time.Time) {
	if s := now.Unix(); e.used.Load() != s {
		e.used.Store(s)
	}
}

// evictionSample is how many entries are looked at to find one to drop: about
// the least recently used, at no cost to lookups.
const evictionSample = 8

// table is a bounded map of hosts.
type table struct {
	max int

	mu sync.RWMutex
	m  map[tenant.Host]*entry
}

func newTable(size int) *table { return &table{max: size, m: make(map[tenant.Host]*entry)} }

func (t *table) get(h tenant.Host) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[h]
}

func (t *table) put(h tenant.Host, e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.m[h]; !ok && len(t.m) >= t.max {
		t.evict()
	}
	t.m[h] = e
}

// evict drops the least recently used of a few entries; map order is random enough.
func (t *table) evict() {
	var (
		victim tenant.Host
		oldest int64
		seen   int
	)
	for h, e := range t.m {
		if used := e.used.Load(); seen == 0 || used < oldest {
			victim, oldest = h, used
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	delete(t.m, victim)
}

func (t *table) remove(h tenant.Host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, h)
}

func (t *table) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.m)
}

// each calls f for a copy of the table's content.
func (t *table) each(f func(tenant.Host, *entry)) {
	t.mu.RLock()
	type pair struct {
		h tenant.Host
		e *entry
	}
	all := make([]pair, 0, len(t.m))
	for h, e := range t.m {
		all = append(all, pair{h, e})
	}
	t.mu.RUnlock()
	for _, p := range all {
		f(p.h, p.e)
	}
}
