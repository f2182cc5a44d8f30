package members

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Handler lets operators change the cluster:
//
//	POST /lattice/forget?edge=NAME    the answer is the Status of then
//
// With heard=1 and majority=0 it overrides what Override says.
// Copies may still be on their way when it answers; see Status.Settled.
func (m *Members) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /lattice/forget", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if err := m.Forget(r.Context(), q.Get("edge"), Override{q.Get("heard") != "", q.Get("majority") == "0"}); err != nil {
			code := http.StatusServiceUnavailable
			switch {
			case errors.Is(err, ErrNoMember):
				code = http.StatusNotFound
			case errors.Is(err, ErrHeard):
				code = http.StatusConflict
			}
			http.Error(w, err.Error(), code)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(m.look(r.Context())) // a client who has left is no error
	})
	return mux
}
