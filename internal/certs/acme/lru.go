package acme

import (
	"container/list"
	"sync"
)

// lru keeps the values that were used last, of a bounded number of hosts. It is safe
// for concurrent use.
type lru[V any] struct {
	size int

	mu     sync.Mutex
	byHost map[string]*list.Element // of lruItem[V]
	recent *list.List               // most recently used first
}

type lruItem[V any] struct {
	host  string
	value V
}

func newLRU[V any](size int) *lru[V] {
	return &lru[V]{size: size, byHost: make(map[string]*list.Element), recent: list.New()}
}

func (l *lru[V]) get(host string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byHost[host]
	if !ok {
		return v, false
	}
	l.recent.MoveToFront(e)
	return e.Value.(lruItem[V]).value, true
}

// peek is get, but does not count as use.
func (l *lru[V]) peek(host string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byHost[host]
	if !ok {
		return v, false
	}
	return e.Value.(lruItem[V]).value, true
}

func (l *lru[V]) put(host string, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byHost[host]; ok {
		e.Value = lruItem[V]{host, v}
		l.recent.MoveToFront(e)
		return
	}
	l.byHost[host] = l.recent.PushFront(lruItem[V]{host, v})
	if l.recent.Len() > l.size {
		oldest := l.recent.Remove(l.recent.Back()).(lruItem[V])
		delete(l.byHost, oldest.host)
	}
}

func (l *lru[V]) remove(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byHost[host]; ok {
		l.recent.Remove(e)
		delete(l.byHost, host)
	}
}

func (l *lru[V]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.Len()
}

// hosts are those whose value is wanted.
func (l *lru[V]) hosts(want func(V) bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hosts []string
	for host, e := range l.byHost {
		if want(e.Value.(lruItem[V]).value) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
