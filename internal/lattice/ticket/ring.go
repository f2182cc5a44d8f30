package ticket

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"slices"
	"time"
)

// key is one that tickets are encrypted with.
type key struct {
	Created int64  `json:"created"` // Unix seconds, by the clock of the edge that made it
	Key     []byte `json:"key"`     // keySize bytes

	seen time.Time // here, first
}

const (
	keySize = 32
	maxKeys = 4
	skew    = time.Hour       // clocks that are further ahead are not believed
	settle  = 5 * time.Second // until a key has spread
)

// ring has the keys of now, the newest first.
type ring struct {
	period time.Duration // for how long a key encrypts
	keys   []key
}

// merge takes keys of another edge. It reports whether the ring is another, and whether
// the other edge lacks some of it.
func (r *ring) merge(others []key, now time.Time) (changed, lacks bool) {
	before := r.keys
	all := slices.Clone(before)
	for _, k := range others[:min(len(others), maxKeys)] {
		if len(k.Key) == keySize && !has(all, k) {
			all = append(all, key{k.Created, k.Key, now})
		}
	}
	r.keys = all
	r.trim(now)
	changed = !slices.EqualFunc(before, r.keys, same)
	lacks = slices.ContainsFunc(r.keys, func(k key) bool { return !has(others, k) })
	return changed, lacks
}

// trim drops what is too old or too much, and what is of a time to come: a clock was ahead then.
func (r *ring) trim(now time.Time) {
	r.keys = slices.DeleteFunc(r.keys, func(k key) bool {
		age := now.Sub(time.Unix(k.Created, 0))
		return age > 3*r.period || age <= -skew
	})
	slices.SortFunc(r.keys, func(a, b key) int { return cmp.Or(cmp.Compare(b.Created, a.Created), bytes.Compare(a.Key, b.Key)) })
	r.keys = r.keys[:min(len(r.keys), maxKeys)]
}

// due reports whether a new key is wanted.
func (r *ring) due(now time.Time) bool {
	return len(r.keys) == 0 || now.Sub(time.Unix(r.keys[0].Created, 0)) > r.period
}

// rotate makes a new key.
func (r *ring) rotate(now time.Time) {
	k := key{Created: now.Unix(), Key: make([]byte, keySize), seen: now}
	_, _ = rand.Read(k.Key) // never fails
	r.keys = append(r.keys, k)
	r.trim(now)
}

// ordered are the keys for tls.Config: the first encrypts, all decrypt.
func (r *ring) ordered(now time.Time) [][keySize]byte {
	first := slices.IndexFunc(r.keys, func(k key) bool { return now.Sub(k.seen) >= settle })
	list := make([][keySize]byte, 0, len(r.keys))
	if first > 0 {
		list = append(list, [keySize]byte(r.keys[first].Key))
	}
	for i, k := range r.keys {
		if i != first || first == 0 {
			list = append(list, [keySize]byte(k.Key))
		}
	}
	return list
}

func same(a, b key) bool { return a.Created == b.Created && bytes.Equal(a.Key, b.Key) }

func has(list []key, k key) bool {
	return slices.ContainsFunc(list, func(o key) bool { return same(o, k) })
}
