package admin

import (
	"net/http"
	"strings"
	"time"
	"unicode"

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
	q := r.URL.Query()
	rev, by, reason := tenant.Revision(q.Get("revision")), line(q.Get("by")), line(q.Get("reason"))
	if by == "" {
		by = r.RemoteAddr
	}
	if http.NewResponseController(w).SetWriteDeadline(time.Now().Add(rollbackTime)) != nil {
		return // the client has left
	}
	s.log.Info("asked to roll back", "tenant", id, "revision", rev, "by", by, "from", r.RemoteAddr)
	if err := s.opts.Rollback(r.Context(), id, rev, by, reason); err != nil {
		text(w, http.StatusConflict, err.Error())
		return
	}
	text(w, http.StatusOK, "done")
}

// line makes what a client says fit to be shown in one line.
func line(s string) string {
	const limit = 200 // characters
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > limit || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
