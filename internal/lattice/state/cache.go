package state

import (
	"container/list"
	"sync"
)

// cache keeps the values that were read or written last. Which version a key is at the
// index says; what a version holds never changes, so nothing kept is ever wrong.
type cache struct {
	room int64 // bytes

	mu     sync.Mutex
	at     map[place]*list.Element // of kept; guarded by mu
	recent list.List               // most recently used first; guarded by mu
	bytes  int64                   // guarded by mu
}

// place is a key of a tenant.
type place struct{ token, key string }

type kept struct {
	place
	seq   uint64
	value []byte
}

// keptCost is what a kept value takes beyond its key and itself, in bytes.
const keptCost = 384

func (k *kept) cost() int64 { return int64(len(k.token)+len(k.key)+len(k.value)) + keptCost }

func newCache(room int64) *cache { return &cache{room: room, at: map[place]*list.Element{}} }

// find returns what a version of a key holds.
func (c *cache) find(p place, seq uint64) (value []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[p]
	if !ok || e.Value.(*kept).seq != seq {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*kept).value, true
}

// keep takes a value, unless it is large for the room or a newer version is there.
func (c *cache) keep(p place, seq uint64, value []byte) {
	k := &kept{p, seq, value}
	if k.cost() > c.room/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[p]; ok {
		if e.Value.(*kept).seq >= seq {
			return
		}
		c.drop(e)
	}
	c.at[p] = c.recent.PushFront(k)
	c.bytes += k.cost()
	for c.bytes > c.room {
		c.drop(c.recent.Back())
	}
}

// forget drops the value of a key that has none any more.
func (c *cache) forget(p place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[p]; ok {
		c.drop(e)
	}
}

func (c *cache) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.at)
	c.recent.Init()
	c.bytes = 0
}

func (c *cache) drop(e *list.Element) {
	k := c.recent.Remove(e).(*kept)
	delete(c.at, k.place)
	c.bytes -= k.cost()
}
