package index

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/terrane/terrane/hostcalls"
)

// Times are nanoseconds since 1970 by the lattice's clock.

// Item is a version of a key, without its value.
type Item struct {
	Key     string
	Seq     uint64 // the version
	Expires int64  // 0: never
	Size    uint32 // of the value, in bytes
	Sum     uint32 // tells the write that made it from others
}

// deadline is when a key's version, or its tombstone, ends.
type deadline struct {
	at  int64
	key string
}

// tombstone is a version that has ended: of a deleted key, which the servers remember for
// TombstoneTTL, or of an expired one, which they are about to remove.
type tombstone struct {
	seq  uint64
	ends int64
	cost int64 // of what the servers remember
}

const (
	// TombstoneTTL is how long a deleted key is remembered. A mirror that has heard nothing
	// for half of it begins again, or it would keep deleted keys.
	TombstoneTTL = 15 * time.Minute

	removalSlack = 5 * time.Second // in which the servers remove what has expired
	scanBatch    = 1024            // items that All copies at a time
)

// Tenant has the keys of one tenant: their order, what they cost, and which versions have
// ended.
type Tenant struct {
	mu        sync.Mutex
	items     *btree.BTreeG[Item]
	dead      map[string]tombstone
	deadlines *btree.BTreeG[deadline]
	bytes     int64
	// What writes in flight will add.
	pendingBytes int64
	pendingKeys  int
	released     chan struct{} // closed when one of them has ended
}

func newTenant() *Tenant {
	opts := btree.Options{NoLocks: true}
	return &Tenant{
		items:    btree.NewBTreeGOptions(func(a, b Item) bool { return a.Key < b.Key }, opts),
		dead:     map[string]tombstone{},
		released: make(chan struct{}),
		deadlines: btree.NewBTreeGOptions(func(a, b deadline) bool {
			return a.at < b.at || a.at == b.at && a.key < b.key
		}, opts),
	}
}

func cost(key string, size uint32) int64 {
	return int64(len(key)) + int64(size) + hostcalls.KVEntryCost
}

// Apply takes a version of a key, or its deletion, and reports whether nothing newer was
// known.
func (t *Tenant) Apply(it Item, deleted bool, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	if it.Seq <= t.newest(it.Key) {
		return false
	}
	t.drop(it.Key)
	switch {
	case deleted:
		t.bury(it.Key, tombstone{it.Seq, now + int64(TombstoneTTL), cost(it.Key, 0)})
	case it.Expires == 0 || now < it.Expires:
		it.Key = strings.Clone(it.Key)
		t.items.Set(it)
		t.bytes += cost(it.Key, it.Size)
		if it.Expires != 0 {
			t.deadlines.Set(deadline{it.Expires, it.Key})
		}
	}
	return true
}

// newest is the newest version known of a key.
func (t *Tenant) newest(key string) uint64 {
	if it, ok := t.items.Get(Item{Key: key}); ok {
		return it.Seq
	}
	return t.dead[key].seq
}

// Get returns a key that has a value, or else its version that has ended, if it is known.
func (t *Tenant) Get(key string, now int64) (it Item, ended uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	it, _ = t.items.Get(Item{Key: key})
	return it, t.dead[key].seq
}

func (t *Tenant) drop(key string) {
	if it, ok := t.items.Delete(Item{Key: key}); ok {
		t.bytes -= cost(key, it.Size)
		t.deadlines.Delete(deadline{it.Expires, key})
	} else if d, ok := t.dead[key]; ok {
		delete(t.dead, key)
		t.bytes -= d.cost
		t.deadlines.Delete(deadline{d.ends, key})
	}
}

func (t *Tenant) bury(key string, d tombstone) {
	t.dead[key] = d
	t.bytes += d.cost
	t.deadlines.Set(deadline{d.ends, key})
}

// sweep buries what has expired and forgets what the servers have removed.
func (t *Tenant) sweep(now int64) {
	for {
		d, ok := t.deadlines.Min()
		if !ok || d.at > now {
			return
		}
		it, expired := t.items.Get(Item{Key: d.key})
		t.drop(d.key)
		if ends := it.Expires + int64(removalSlack); expired && ends > now {
			t.bury(d.key, tombstone{seq: it.Seq, ends: ends})
		}
	}
}

// Usage is what quotas count.
func (t *Tenant) Usage(now int64) (keys int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	return t.items.Len(), t.bytes
}

// Reserve admits a write of a value of size bytes to a key that is at the version at, 0 if
// it is absent. It returns the sequence that the write is to expect, and a function to call
// when the write has ended. It fails with hostcalls.ErrFull beyond the quota. Room that
// writes in flight may need is waited for: they may fail, or are counted already.
func (t *Tenant) Reserve(ctx context.Context, key string, size int, at uint64, q hostcalls.Quota, now int64) (expect uint64, release func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		t.sweep(now)
		expect = t.dead[key].seq
		if at != 0 && at == expect {
			return 0, nil, hostcalls.ErrConflict
		} else if at != 0 {
			expect = at
		}
		grown, more := cost(key, uint32(size)), 1
		if it, ok := t.items.Get(Item{Key: key}); ok {
			grown, more = max(0, grown-cost(key, it.Size)), 0
		}
		full := func(bytes int64, keys int) bool {
			return grown > 0 && bytes+grown > q.Bytes || more > 0 && keys+more > q.Keys
		}
		switch {
		case full(t.bytes, t.items.Len()):
			return 0, nil, hostcalls.ErrFull
		case !full(t.bytes+t.pendingBytes, t.items.Len()+t.pendingKeys):
			t.pendingBytes += grown
			t.pendingKeys += more
			return expect, func() { t.release(grown, more) }, nil
		}
		if err := t.wait(ctx); err != nil {
			return 0, nil, fmt.Errorf("state: the tenant's other writes may need the room that is left: %w", err)
		}
	}
}

func (t *Tenant) release(bytes int64, keys int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pendingBytes -= bytes
	t.pendingKeys -= keys
	close(t.released)
	t.released = make(chan struct{})
}

// wait waits, without the lock, until a write has ended.
func (t *Tenant) wait(ctx context.Context) error {
	released := t.released
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// List implements hostcalls.KV.List on the keys known.
func (t *Tenant) List(prefix, after string, limit int, now int64) (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	t.items.Ascend(Item{Key: max(prefix, after)}, func(it Item) bool {
		if len(keys) >= limit || !strings.HasPrefix(it.Key, prefix) {
			return false
		}
		if it.Key > after {
			keys = append(keys, it.Key)
		}
		return true
	})
	return keys
}

// All returns the keys that have a value, in order. What changes meanwhile may or may not
// be among them: the tenant's operations wait for a batch only.
func (t *Tenant) All(now func() int64) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		for from := ""; ; {
			items := t.batch(from, now())
			for _, it := range items {
				if !yield(it) {
					return
				}
			}
			if len(items) < scanBatch {
				return
			}
			from = items[len(items)-1].Key + "\x00"
		}
	}
}

func (t *Tenant) batch(from string, now int64) (items []Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	t.items.Ascend(Item{Key: from}, func(it Item) bool {
		items = append(items, it)
		return len(items) < scanBatch
	})
	return items
}

// Ended returns the versions that have ended and are remembered, by key.
func (t *Tenant) Ended() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ended := make(map[string]uint64, len(t.dead))
	for key, d := range t.dead {
		ended[key] = d.seq
	}
	return ended
}
