package admin

import (
	"net/http"
	"time"

	"github.com/terrane/terrane/tenant"
)

// rollbackTime is how long a release may take to compile.
const rollbackTime = 2 * time.Minute

func (s *Server) releases(w http.ResponseWriter, _ *http.Request, id tenant.ID) {
	list, err := s.opts.Releases(id)
	if err != nil {
		text(w, http.StatusNotFound, err.Error())
		return
	}
	s.json(w, http.StatusOK, list)
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request, id tenant.ID) {
	rev := tenant.Revision(r.URL.Query().Get("revision"))
	if http.NewResponseController(w).SetWriteDeadline(time.Now().Add(rollbackTime)) != nil {
		return // the client has left
	}
	s.log.Info("asked to roll back", "tenant", id, "revision", rev, "from", r.RemoteAddr)
	if err := s.opts.Rollback(r.Context(), id, rev); err != nil {
		text(w, http.StatusConflict, err.Error())
		return
	}
	text(w, http.StatusOK, "done")
}
