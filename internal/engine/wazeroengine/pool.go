package wazeroengine

import "sync"

// pool keeps idle instances, within a budget over all modules. Each module's are a
// stack, so that those used last, whose pages are warm, are used next; what is
// evicted is the instance that was idle for longest, which is the lowest of its stack.
type pool struct {
	budget int64 // bytes; negative: nothing is kept

	mu             sync.Mutex
	held           int64
	oldest, newest *instance
}

// take returns an idle instance of m, or nil.
func (p *pool) take(m *module) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(m.idle)
	if n == 0 {
		return nil
	}
	in := m.idle[n-1]
	m.idle[n-1] = nil
	m.idle = m.idle[:n-1]
	p.unlink(in)
	return in
}

// put keeps an instance that was reset, and returns those that no longer fit. Its
// caller closes them.
func (p *pool) put(in *instance) (evicted []*instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.module.idle = append(in.module.idle, in)
	in.older = p.newest
	if p.newest == nil {
		p.oldest = in
	} else {
		p.newest.newer = in
	}
	p.newest = in
	p.held += in.cost
	for p.held > p.budget {
		old := p.oldest
		m := old.module
		copy(m.idle, m.idle[1:])
		m.idle[len(m.idle)-1] = nil
		m.idle = m.idle[:len(m.idle)-1]
		p.unlink(old)
		evicted = append(evicted, old)
	}
	return evicted
}

// drain returns all idle instances of m.
func (p *pool) drain(m *module) []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := m.idle
	m.idle = nil
	for _, in := range all {
		p.unlink(in)
	}
	return all
}

func (p *pool) unlink(in *instance) {
	if in.older == nil {
		p.oldest = in.newer
	} else {
		in.older.newer = in.newer
	}
	if in.newer == nil {
		p.newest = in.older
	} else {
		in.newer.older = in.older
	}
	in.older, in.newer = nil, nil
	p.held -= in.cost
}

// size is the number of bytes held.
func (p *pool) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
