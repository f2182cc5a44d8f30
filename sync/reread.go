package sync

import (
	"time"

	"github.com/terrane/terrane/tenant"
)

// taken returns the content that a folder had when its state key was dealt with; ok is
// false before that.
func (st *store) taken(name, key string) (content tenant.Hash, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s, found := st.sites[name]
	if !found || s.busy || s.restore || s.key != key {
		return content, false
	}
	return s.seen, true
}

// reread is told that the content of a folder was read again.
func (st *store) reread(name string, bytes int64, age time.Duration, differs bool) {
	st.s.metrics.reread.WithLabelValues(st.label).Add(float64(bytes))
	st.s.metrics.rereadAge.WithLabelValues(st.label).Set(age.Seconds())
	if differs {
		st.s.metrics.differences.WithLabelValues(st.label).Inc()
		st.log.Warn("folder has other content of the same sizes and times, taking it again", "tenant", st.id(name))
	}
}
