// Package pool keeps idle instances, within a budget over all modules.
//
// No goroutines are started. A Pool's mutex guards a few instructions each; it
// guards the Stacks and Items too.
package pool

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool keeps the instances of many modules. Each module's are a stack, so that those
// used last, whose pages are warm, are used next; what is evicted is the instance that
// was idle for longest, which is the lowest of its stack. Only New makes one.
type Pool[T any] struct {
	budget  int64
	metrics metrics

	mu             sync.Mutex
	held           int64
	oldest, newest *Item[T]
}

// New makes a Pool of budget bytes. If they are negative, nothing is to be kept.
func New[T any](budget int64) *Pool[T] {
	p := &Pool[T]{budget: budget}
	p.metrics.instances = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "terrane_engine_instances_total",
		Help: "Instances made anew; all other requests got a recycled one.",
	})
	return p
}

// Keeps reports whether the pool has a budget at all.
func (p *Pool[T]) Keeps() bool { return p.budget >= 0 }

// Stack is the idle instances of one module. The zero value is ready.
type Stack[T any] struct{ items []*Item[T] }

// Item is an instance's place in the pool; it is a part of the instance.
type Item[T any] struct {
	Instance T
	Cost     int64 // bytes; not to be changed while the item is in the pool

	stack        *Stack[T]
	older, newer *Item[T]
}

// Take returns the instance of s that was used last, or the zero value.
func (p *Pool[T]) Take(s *Stack[T]) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(s.items)
	if n == 0 {
		var none T
		return none
	}
	it := s.items[n-1]
	s.items[n-1] = nil
	s.items = s.items[:n-1]
	p.unlink(it)
	return it.Instance
}

// Put keeps an instance, and returns those that no longer fit. Its caller closes them.
func (p *Pool[T]) Put(s *Stack[T], it *Item[T]) (evicted []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.items = append(s.items, it)
	it.stack, it.older = s, p.newest
	if p.newest == nil {
		p.oldest = it
	} else {
		p.newest.newer = it
	}
	p.newest = it
	p.held += it.Cost
	for p.held > p.budget {
		old := p.oldest
		s := old.stack
		copy(s.items, s.items[1:])
		s.items[len(s.items)-1] = nil
		s.items = s.items[:len(s.items)-1]
		p.unlink(old)
		evicted = append(evicted, old.Instance)
	}
	return evicted
}

// Drain returns all instances of s.
func (p *Pool[T]) Drain(s *Stack[T]) (all []T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, it := range s.items {
		p.unlink(it)
		all = append(all, it.Instance)
	}
	s.items = nil
	return all
}

func (p *Pool[T]) unlink(it *Item[T]) {
	if it.older == nil {
		p.oldest = it.newer
	} else {
		it.older.newer = it.newer
	}
	if it.newer == nil {
		p.newest = it.older
	} else {
		it.newer.older = it.older
	}
	it.stack, it.older, it.newer = nil, nil, nil
	p.held -= it.Cost
}

// Size is the number of bytes held.
func (p *Pool[T]) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
