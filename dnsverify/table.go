package dnsverify

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"

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
	max   int
	quota int // hosts of one registrable domain; 0: no bound

	mu       sync.RWMutex
	m        map[tenant.Host]*entry
	byDomain map[string]int // how many there are; empty without a quota
}

func newTable(size, quota int) *table {
	return &table{max: size, quota: quota, m: make(map[tenant.Host]*entry), byDomain: make(map[string]int)}
}

func (t *table) get(h tenant.Host) *entry {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.m[h]
}

// put keeps e for h. It reports false, and keeps nothing, when h is new and its
// domain has its quota.
func (t *table) put(h tenant.Host, e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.m[h]; !ok {
		if !t.count(h, 1) {
			return false
		}
		if len(t.m) >= t.max {
			t.evict()
		}
	}
	t.m[h] = e
	return true
}

// count adds n to the hosts of h's domain unless they are too many then.
func (t *table) count(h tenant.Host, n int) bool {
	if t.quota == 0 {
		return true
	}
	d := domain(h)
	if t.byDomain[d]+n > t.quota {
		return false
	}
	if t.byDomain[d] += n; t.byDomain[d] == 0 {
		delete(t.byDomain, d)
	}
	return true
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
	t.count(victim, -1)
}

// remove forgets h, if what is known of it is e still.
func (t *table) remove(h tenant.Host, e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, ok := t.m[h]; ok && now == e {
		delete(t.m, h)
		t.count(h, -1)
	}
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

// domain is what h is registered under, or h itself if it is a public suffix.
func domain(h tenant.Host) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(string(h))
	if err != nil {
		return string(h)
	}
	return d
}
