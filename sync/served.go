package sync

import (
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

// Serving returns what this edge serves of a tenant, and whether it serves anything.
func (s *Syncer) Serving(id tenant.ID) (tenant.Served, bool) {
	st, name := s.storeOf(id)
	if st == nil {
		return tenant.Served{}, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if one := st.sites[name]; one != nil && one.live != nil {
		return servedOf(one.live), true
	}
	return tenant.Served{}, false
}

func servedOf(rec *mirror.Record) tenant.Served {
	return tenant.Served{ID: rec.ID, Revision: rec.Revision, Time: rec.Time, Content: rec.Content(), Pin: rec.Pin}
}
