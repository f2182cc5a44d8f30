package gate

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/tenant"
)

// Memory bounds what the guests in flight hold. Guests that begin may take all of it, those
// that grow three quarters; a tenant may hold as much as it leaves free of that. Where all
// guests take what they get, small ones still begin. Only NewMemory makes one.
type Memory struct {
	mu    sync.Mutex
	limit int64
	used  int64
	held  map[tenant.ID]int64
	freed chan struct{} // closed when something is given back; nil: nobody waits
}

// patience is how long a guest waits for memory to begin with.
const patience = 2 * time.Second

// NewMemory makes a Memory of limit bytes; 0 is no limit.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, held: make(map[tenant.ID]int64)}
}

// Begin takes what a guest of the tenant begins with. It waits a moment for room, and reports
// whether there is.
func (m *Memory) Begin(ctx context.Context, of tenant.ID, bytes int64) bool {
	freed, ok := m.take(of, bytes, m.limit)
	if ok {
		return true
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case <-freed:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
		if freed, ok = m.take(of, bytes, m.limit); ok {
			return true
		}
	}
}

// Grow takes more for a guest that runs and has grown by grown bytes, and reports whether there
// is room.
func (m *Memory) Grow(of tenant.ID, grown, bytes int64) bool {
	limit := m.limit - m.limit/4
	if grown+bytes <= smallGrowth {
		limit = m.limit
	}
	_, ok := m.take(of, bytes, limit)
	return ok
}

// smallGrowth is how much a guest may grow as if it began with it: allocators of small guests do.
const smallGrowth = 256 << 10

// End gives back what a guest took.
func (m *Memory) End(of tenant.ID, bytes int64) {
	if m.limit == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.freed != nil {
		close(m.freed)
		m.freed = nil
	}
	m.used -= bytes
	if m.held[of] -= bytes; m.held[of] == 0 {
		delete(m.held, of)
	}
}

// Used is how much the guests in flight hold. It is 0 without a limit.
func (m *Memory) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Metric is Used as a metric.
func (m *Memory) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_engine_guest_bytes", Help: "Memory of instances with a request; 0 where it has no limit.",
	}, func() float64 { return float64(m.Used()) })
}

// take takes bytes, or returns what is closed when it may be tried again.
func (m *Memory) take(of tenant.ID, bytes, limit int64) (freed <-chan struct{}, ok bool) {
	if m.limit == 0 {
		return nil, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[of]+bytes > limit-m.used-bytes {
		if m.freed == nil {
			m.freed = make(chan struct{})
		}
		return m.freed, false
	}
	m.used += bytes
	m.held[of] += bytes
	return nil, true
}
