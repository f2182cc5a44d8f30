package wazeroengine

import (
	"slices"
	"sync"
)

// gate decides who computes among the guests that do so for long. Those that have
// ticked at least once share free slots, one fewer than there are processors, so that a
// short request finds a processor whatever the others do. They change places at
// each tick, module by module: a thousand spinning guests of one module take from
// another's no more than one does.
type gate struct {
	mu   sync.Mutex
	free int
	ring []*lane // with guests that wait; the first is next
}

// lane is the guests of one module that wait, in the order of their coming.
type lane struct{ waiting []*instance }

// pass gives the guest a slot, or its turn to another and waits for the next. It
// reports whether it has waited. When the request's time ends it returns without a
// slot.
func (g *gate) pass(in *instance) (waited bool) {
	g.mu.Lock()
	if len(g.ring) == 0 && (in.slot || g.free > 0) {
		if !in.slot {
			in.slot = true
			g.free--
		}
		g.mu.Unlock()
		return false
	}
	if in.slot {
		in.slot = false
		g.free++
	}
	if in.turn == nil {
		in.turn = make(chan struct{}, 1)
	}
	l := &in.module.lane
	if len(l.waiting) == 0 {
		g.ring = append(g.ring, l)
	}
	l.waiting = append(l.waiting, in)
	g.serve()
	g.mu.Unlock()
	select {
	case <-in.turn:
	case <-in.Done():
		g.withdraw(in)
	}
	return true
}

// leave gives the guest's slot back.
func (g *gate) leave(in *instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in.slot = false
	g.free++
	g.serve()
}

// serve gives free slots to those whose turn it is. The mutex is held.
func (g *gate) serve() {
	for g.free > 0 && len(g.ring) > 0 {
		l := g.ring[0]
		next := l.waiting[0]
		copy(l.waiting, l.waiting[1:])
		l.waiting = l.waiting[:len(l.waiting)-1]
		copy(g.ring, g.ring[1:])
		g.ring = g.ring[:len(g.ring)-1]
		if len(l.waiting) > 0 {
			g.ring = append(g.ring, l)
		}
		g.free--
		next.slot = true
		next.turn <- struct{}{}
	}
}

// withdraw ends the wait of a guest whose time is up.
func (g *gate) withdraw(in *instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if in.slot { // its turn has just come
		<-in.turn
		in.slot = false
		g.free++
		g.serve()
		return
	}
	l := &in.module.lane
	l.waiting = without(l.waiting, in)
	if len(l.waiting) == 0 {
		g.ring = without(g.ring, l)
	}
}

func without[T comparable](list []T, v T) []T {
	return slices.DeleteFunc(list, func(o T) bool { return o == v })
}
