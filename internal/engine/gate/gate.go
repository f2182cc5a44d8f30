// Package gate decides who computes among guests that do so for long, and who may be in flight.
//
// No goroutines are started. A Gate's mutex guards a few instructions each.
package gate

import (
	"slices"
	"sync"

	"github.com/terrane/terrane/tenant"
)

// Gate has slots, fewer than there are processors, so that a short request finds a
// processor whatever the others do. Guests that have computed for a while share them.
// They change places each time one passes, tenant by tenant: a thousand spinning guests of
// one tenant, of however many modules, take from another's no more than one does. Only New
// makes one.
type Gate struct {
	mu    sync.Mutex
	free  int
	ring  []*lane // with guests that wait; the first is next
	lanes map[tenant.ID]*lane
}

// New makes a Gate with that many slots.
func New(slots int) *Gate { return &Gate{free: slots, lanes: make(map[tenant.ID]*lane)} }

// lane is the guests of one tenant that wait, in the order of their coming.
type lane struct {
	of      tenant.ID
	waiting []*Seat
}

// Seat is one guest's place at the gate. The zero value is ready.
type Seat struct {
	slot bool
	turn chan struct{} // where the gate gives it
	lane *lane         // where it waits for it
}

// Pass gives the tenant's guest a slot, or its turn to another and waits for the next. It
// reports whether it has waited. When done is closed it returns without a slot.
func (g *Gate) Pass(of tenant.ID, s *Seat, done <-chan struct{}) (waited bool) {
	g.mu.Lock()
	if len(g.ring) == 0 && (s.slot || g.free > 0) {
		if !s.slot {
			s.slot = true
			g.free--
		}
		g.mu.Unlock()
		return false
	}
	if s.slot {
		s.slot = false
		g.free++
	}
	if s.turn == nil {
		s.turn = make(chan struct{}, 1)
	}
	g.enlist(of, s)
	g.serve()
	g.mu.Unlock()
	select {
	case <-s.turn:
	case <-done:
		g.withdraw(s)
	}
	return true
}

// enlist makes the guest wait. The mutex is held.
func (g *Gate) enlist(of tenant.ID, s *Seat) {
	l := g.lanes[of]
	if l == nil {
		l = &lane{of: of}
		g.ring, g.lanes[of] = append(g.ring, l), l
	}
	l.waiting = append(l.waiting, s)
	s.lane = l
}

// Leave gives the guest's slot back, if it has one.
func (g *Gate) Leave(s *Seat) {
	if !s.slot {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.slot = false
	g.free++
	g.serve()
}

// serve gives free slots to those whose turn it is. The mutex is held.
func (g *Gate) serve() {
	for g.free > 0 && len(g.ring) > 0 {
		l := g.ring[0]
		next := l.waiting[0]
		copy(l.waiting, l.waiting[1:])
		l.waiting = l.waiting[:len(l.waiting)-1]
		copy(g.ring, g.ring[1:])
		g.ring = g.ring[:len(g.ring)-1]
		if len(l.waiting) > 0 {
			g.ring = append(g.ring, l)
		} else {
			delete(g.lanes, l.of)
		}
		g.free--
		next.slot = true
		next.turn <- struct{}{}
	}
}

// withdraw ends the wait of a guest whose time is up.
func (g *Gate) withdraw(s *Seat) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.slot { // its turn has just come
		<-s.turn
		s.slot = false
		g.free++
		g.serve()
		return
	}
	l := s.lane
	l.waiting = without(l.waiting, s)
	if len(l.waiting) == 0 {
		g.ring = without(g.ring, l)
		delete(g.lanes, l.of)
	}
}

func without[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(list, func(o T) bool { return o == v })
}
