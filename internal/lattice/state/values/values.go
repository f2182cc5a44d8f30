// Package values is a bounded cache of the values of keys' versions. What a version holds
// never changes, so a value in the cache is never wrong: the index says which version a key is
// at.
package values

import (
	"container/list"
	"sync"
)

// Cache keeps the values that were used last. It is safe for concurrent use.
type Cache struct {
	room int64 // bytes

	mu     sync.Mutex
	at     map[place]*list.Element // of *entry
	recent list.List               // most recently used first
	bytes  int64
}

// place is a key of a tenant.
type place struct{ tenant, key string }

type entry struct {
	place
	seq   uint64
	value []byte
}

// overhead is what an entry takes in addition to its key and value, in bytes.
const overhead = 384

func (e *entry) cost() int64 { return int64(len(e.tenant)+len(e.key)+len(e.value)) + overhead }

// New returns a cache of at most room bytes.
func New(room int64) *Cache { return &Cache{room: room, at: map[place]*list.Element{}} }

// Get returns the value of a version of a key. The caller must not change it.
func (c *Cache) Get(tenant, key string, seq uint64) (value []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[place{tenant, key}]
	if !ok || e.Value.(*entry).seq != seq {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*entry).value, true
}

// Put keeps a value, unless it is large for the room or a newer version is there.
func (c *Cache) Put(tenant, key string, seq uint64, value []byte) {
	n := &entry{place{tenant, key}, seq, value}
	if n.cost() > c.room/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[n.place]; ok {
		if e.Value.(*entry).seq >= seq {
			return
		}
		c.drop(e)
	}
	c.at[n.place] = c.recent.PushFront(n)
	c.bytes += n.cost()
	for c.bytes > c.room {
		c.drop(c.recent.Back())
	}
}

// Drop forgets a key, which has no value any more.
func (c *Cache) Drop(tenant, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[place{tenant, key}]; ok {
		c.drop(e)
	}
}

// Size is the size of what is kept, in bytes.
func (c *Cache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Clear forgets everything.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.at)
	c.recent.Init()
	c.bytes = 0
}

func (c *Cache) drop(e *list.Element) {
	n := c.recent.Remove(e).(*entry)
	delete(c.at, n.place)
	c.bytes -= n.cost()
}
