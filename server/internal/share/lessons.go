package share

import (
	"hash/maphash"
	"sync/atomic"
)

// lessons is how many kinds of requests a Pool remembers.
const lessons = 4096

// Kind is a hash of an owner and of what decides how much a request needs. Each Pool has its own.
type Kind uint64

// lesson is how much a request of a kind needed that found no room.
type lesson struct {
	kind Kind
	n    int64
}

// memory has a place for each kind; the newest of those that share it stays.
type memory struct {
	seed  maphash.Seed
	slots [lessons]atomic.Pointer[lesson]
}

// Kind is that of an owner's requests that agree in what.
func (p *Pool) Kind(o Owner, what ...string) Kind {
	var h maphash.Hash
	h.SetSeed(p.memory.seed)
	network := o.Network.Addr().As16()
	_, _ = h.Write(network[:]) // it never fails
	writeTerminated(&h, string(o.Tenant))
	for _, s := range what {
		writeTerminated(&h, s)
	}
	return Kind(h.Sum64())
}

func writeTerminated(h *maphash.Hash, s string) {
	_, _ = h.WriteString(s) // it never fails
	_ = h.WriteByte(0xff)   // likewise; no part of UTF-8
}

// Learn notes that a request of the kind needed n, and whether it found room. What found none is
// remembered, unless it finds none even while its network holds nothing.
func (p *Pool) Learn(k Kind, n int64, found bool) {
	slot := &p.memory.slots[k%lessons]
	if l := slot.Load(); found && (l == nil || l.kind != k || l.n == n) || 3*n > p.limit {
		return
	}
	slot.Store(&lesson{k, n})
}

// Hopeless reports whether a request of the kind found no room before, and another one, which itself
// holds mine, would find none now because of what else its network holds. How much it needs
// would be known only when it has cost much.
func (p *Pool) Hopeless(o Owner, k Kind, mine int64) bool {
	l := p.memory.slots[k%lessons].Load()
	if l == nil || l.kind != k {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, own := p.inTheWay(o, l.n)
	return own && p.networks[o.Network] > mine
}
