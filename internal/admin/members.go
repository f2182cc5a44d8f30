package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/terrane/terrane/internal/lattice/members"
)

// Members changes which edges a cluster has.
type Members interface {
	Forget(ctx context.Context, edge string, o members.Override) error
	Look(ctx context.Context) members.Status
}

// forget has the cluster forget ?edge=NAME; with heard=1 and majority=0 it overrides what
// members.Override says. Copies may still be on their way when it answers with the
// members.Status of then; see Status.Settled.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	err := s.opts.Members.Forget(r.Context(), q.Get("edge"), members.Override{Heard: q.Get("heard") != "", Majority: q.Get("majority") == "0"})
	switch {
	case err == nil:
		s.json(w, http.StatusOK, s.opts.Members.Look(r.Context()))
	case errors.Is(err, members.ErrNoMember):
		text(w, http.StatusNotFound, err.Error())
	case errors.Is(err, members.ErrHeard):
		text(w, http.StatusConflict, err.Error())
	default:
		text(w, http.StatusServiceUnavailable, err.Error())
	}
}
