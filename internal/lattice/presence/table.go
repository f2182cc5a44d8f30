package presence

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	forget   = time.Hour   // after which a silent edge is no longer listed
	farewell = time.Minute // after which one that left is not
	maxEdges = 1024
)

// Peer is an edge as it is seen from here.
type Peer struct {
	Edge
	Self   bool      `json:"self,omitempty"`
	Heard  time.Time `json:"heard"` // last, by the clock of here
	Silent bool      `json:"silent,omitempty"`
}

// table has the edges that were heard.
type table struct {
	self    string
	silence time.Duration // after which an edge is not there

	mu    sync.Mutex
	peers map[string]Peer // guarded by mu
}

// note takes what an edge says, and returns what it had said before. known is false
// if it was not there; ok is false if the table has no room.
func (t *table) note(e Edge, now time.Time) (before Peer, known, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, listed := t.peers[e.Name]
	if !listed && len(t.peers) >= maxEdges && !t.makeRoom(now) {
		return Peer{}, false, false
	}
	t.peers[e.Name] = Peer{Edge: e, Heard: now, Self: e.Name == t.self}
	return before, listed && t.present(before, now), true
}

// makeRoom forgets the edge that has been silent for longest. t.mu is held.
func (t *table) makeRoom(now time.Time) bool {
	oldest := slices.MinFunc(slices.Collect(maps.Values(t.peers)), func(a, b Peer) int { return a.Heard.Compare(b.Heard) })
	if t.present(oldest, now) {
		return false
	}
	delete(t.peers, oldest.Name)
	return true
}

func (t *table) present(p Peer, now time.Time) bool {
	return !p.Leaving && now.Sub(p.Heard) < t.silence
}

// fade marks the edges that have fallen silent, and returns those that had not before.
func (t *table) fade(now time.Time) (gone []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.peers {
		if !p.Silent && !t.present(p, now) {
			if p.Silent = true; !p.Leaving {
				gone = append(gone, name)
			}
			t.peers[name] = p
		}
	}
	return gone
}

// list returns the edges by region and name, and forgets the ones that are long gone.
func (t *table) list(now time.Time) []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.peers, func(_ string, p Peer) bool {
		age := now.Sub(p.Heard)
		return age > forget || p.Leaving && age > farewell
	})
	list := slices.Collect(maps.Values(t.peers))
	for i := range list {
		list[i].Silent = !t.present(list[i], now)
	}
	slices.SortFunc(list, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Name, b.Name))
	})
	return list
}
