package state

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

// item is a key that has a value.
type item struct {
	key     string
	seq     uint64
	expires int64 // by the lattice's clock, 0: never
	size    uint32
	sum     uint32 // of what tells its write from others
}

// due is when a key's entry, or its tombstone, is no more.
type due struct {
	at  int64
	key string
}

// tombstone is a version that is over: a deleted key, which the servers remember for
// tombstoneTTL, or an expired one that they are about to remove.
type tombstone struct {
	seq  uint64
	gone int64
	cost int64 // of what the servers remember
}

const (
	// A mirror that has heard nothing for half of this starts anew, or it would keep
	// deleted keys for ever.
	tombstoneTTL = 15 * time.Minute
	// What has expired is forgotten when the servers have removed it.
	removalSlack = 5 * time.Second
)

// usage is what one tenant keeps, without the values: the order of its keys, what
// they cost, and which versions are over.
type usage struct {
	mu    sync.Mutex
	items *btree.BTreeG[item]
	dead  map[string]tombstone
	due   *btree.BTreeG[due]
	bytes int64
	// What writes on their way will add.
	pendingBytes int64
	pendingKeys  int
	ended        chan struct{} // closed when one of them has
}

func newUsage() *usage {
	opts := btree.Options{NoLocks: true}
	return &usage{
		items: btree.NewBTreeGOptions(func(a, b item) bool { return a.key < b.key }, opts),
		dead:  map[string]tombstone{},
		ended: make(chan struct{}),
		due: btree.NewBTreeGOptions(func(a, b due) bool {
			return a.at < b.at || a.at == b.at && a.key < b.key
		}, opts),
	}
}

func cost(key string, size uint32) int64 {
	return int64(len(key)) + int64(size) + hostcalls.KVEntryCost
}

// note takes up what a subject holds, and reports whether nothing newer was known.
func (u *usage) note(key string, r *raw, size int, now int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	if r.seq <= u.seq(key) {
		return false
	}
	u.drop(key)
	switch {
	case r.dead:
		u.bury(key, tombstone{r.seq, now + int64(tombstoneTTL), cost(key, 0)})
	case r.live(now):
		key = strings.Clone(key)
		u.items.Set(item{key, r.seq, r.expires, uint32(size), integrity.Sum(r.write)})
		u.bytes += cost(key, uint32(size))
		if r.expires != 0 {
			u.due.Set(due{r.expires, key})
		}
	}
	return true
}

// seq is the newest sequence known of a key.
func (u *usage) seq(key string) uint64 {
	if it, ok := u.items.Get(item{key: key}); ok {
		return it.seq
	}
	return u.dead[key].seq
}

// get returns a key that has a value, or else its version that is over, if it is known.
func (u *usage) get(key string, now int64) (it item, over uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	it, _ = u.items.Get(item{key: key})
	return it, u.dead[key].seq
}

func (u *usage) drop(key string) {
	if it, ok := u.items.Delete(item{key: key}); ok {
		u.bytes -= cost(key, it.size)
		u.due.Delete(due{it.expires, key})
	} else if d, ok := u.dead[key]; ok {
		delete(u.dead, key)
		u.bytes -= d.cost
		u.due.Delete(due{d.gone, key})
	}
}

func (u *usage) bury(key string, d tombstone) {
	u.dead[key] = d
	u.bytes += d.cost
	u.due.Set(due{d.gone, key})
}

// sweep buries what has expired and forgets what the servers have.
func (u *usage) sweep(now int64) {
	for {
		d, ok := u.due.Min()
		if !ok || d.at > now {
			return
		}
		it, expired := u.items.Get(item{key: d.key})
		u.drop(d.key)
		if gone := it.expires + int64(removalSlack); expired && gone > now {
			u.bury(d.key, tombstone{seq: it.seq, gone: gone})
		}
	}
}

// sum is what quotas count.
func (u *usage) sum(now int64) (keys int, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	return u.items.Len(), u.bytes
}

// reserve lets a write in that the quota has room for, and returns the sequence that
// it is to expect and what must be called when it has ended. Room that writes on their
// way may need is waited for: they may fail, or are counted already.
func (u *usage) reserve(ctx context.Context, key string, size int, at uint64, q hostcalls.Quota, now int64) (expect uint64, release func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		u.sweep(now)
		expect = u.dead[key].seq
		if at != 0 && at == expect {
			return 0, nil, hostcalls.ErrConflict
		} else if at != 0 {
			expect = at
		}
		grown, more := cost(key, uint32(size)), 1
		if it, ok := u.items.Get(item{key: key}); ok {
			grown, more = max(0, grown-cost(key, it.size)), 0
		}
		full := func(bytes int64, keys int) bool {
			return grown > 0 && bytes+grown > q.Bytes || more > 0 && keys+more > q.Keys
		}
		switch {
		case full(u.bytes, u.items.Len()):
			return 0, nil, hostcalls.ErrFull
		case !full(u.bytes+u.pendingBytes, u.items.Len()+u.pendingKeys):
			u.pendingBytes += grown
			u.pendingKeys += more
			return expect, func() { u.release(grown, more) }, nil
		}
		if err := u.wait(ctx); err != nil {
			return 0, nil, fmt.Errorf("state: the tenant's other writes may need the room that is left: %w", err)
		}
	}
}

// release ends the wait of others.
func (u *usage) release(bytes int64, keys int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pendingBytes -= bytes
	u.pendingKeys -= keys
	close(u.ended)
	u.ended = make(chan struct{})
}

// wait waits, without the lock, until a write has ended.
func (u *usage) wait(ctx context.Context) error {
	ended := u.ended
	u.mu.Unlock()
	defer u.mu.Lock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *usage) empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.items.Len() == 0
}

// over reports whether a key's version is.
func (u *usage) over(key string, at uint64, now int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	return u.dead[key].seq == at
}

// list implements hostcalls.KV.List on the keys known.
func (u *usage) list(prefix, after string, limit int, now int64) (keys []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	u.items.Ascend(item{key: max(prefix, after)}, func(it item) bool {
		if len(keys) >= limit || !strings.HasPrefix(it.key, prefix) {
			return false
		}
		if it.key > after {
			keys = append(keys, it.key)
		}
		return true
	})
	return keys
}

// some are up to n keys that have a value, from one on.
func (u *usage) some(from string, n int, now int64) (items []item) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	u.items.Ascend(item{key: from}, func(it item) bool {
		items = append(items, it)
		return len(items) < n
	})
	return items
}

// buried are the tombstones.
func (u *usage) buried() map[string]tombstone {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.dead)
}
