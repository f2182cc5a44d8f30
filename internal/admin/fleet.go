package admin

import (
	"net/http"

	"github.com/terrane/terrane/tenant"
)

// progress tells how far a revision has come, edge by edge.
func (s *Server) progress(w http.ResponseWriter, r *http.Request) {
	rev := r.URL.Query().Get("revision")
	if len(rev) > 256 {
		text(w, http.StatusBadRequest, "revision: want at most 256 characters")
		return
	}
	s.json(w, http.StatusOK, s.opts.Progress(r.Context(), tenant.Revision(rev)))
}
