package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// moveStall is how long a client may take for one line of an export or an import.
const moveStall = time.Minute

// kvExport sends a tenant's entries, or all tenants', a line each.
func kvExport(w http.ResponseWriter, r *http.Request, states *statemove.Store) {
	var id tenant.ID
	if one := r.URL.Query().Get("tenant"); one != "" {
		var err error
		if id, err = tenant.ParseID(one); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	begun := false
	err := states.Export(r.Context(), id, func(m *statemove.Line) error {
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			begun = true
		}
		return errors.Join(control.SetWriteDeadline(time.Now().Add(moveStall)), out.Encode(m))
	})
	if err != nil && !begun {
		http.Error(w, err.Error(), kvStatus(err))
	}
}

// kvImport stores the entries of an export. What is there is kept, but with replace=1.
func kvImport(w http.ResponseWriter, r *http.Request, states *statemove.Store) {
	control := http.NewResponseController(w)
	alive := func() error {
		until := time.Now().Add(moveStall)
		return errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until))
	}
	n, err := states.Import(r.Context(), r.Body, r.URL.Query().Get("replace") != "", alive)
	if err != nil {
		http.Error(w, fmt.Sprintf("%v; %s: fix it and import again, which goes on", err, n), kvStatus(err))
		return
	}
	_, _ = io.WriteString(w, n.String()+"\n") //nolint:gosec // counts alone; a client who has left is no error
}
