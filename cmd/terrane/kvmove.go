package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// moveStall is how long a client may take for one line of an export or an import.
const moveStall = time.Minute

// moves is where state is, for exports and imports.
func (s *tenantStates) moves() statemove.Store {
	return statemove.Store{Of: s.of, All: s.all, Ready: s.ready}
}

// kvExport sends a tenant's entries, or all tenants', a line each.
func (e *edge) kvExport(w http.ResponseWriter, r *http.Request) {
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
	err := e.states.moves().Export(r.Context(), id, func(m *statemove.Line) error {
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
func (e *edge) kvImport(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	alive := func() error {
		until := time.Now().Add(moveStall)
		return errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until))
	}
	n, err := e.states.moves().Import(r.Context(), r.Body, r.URL.Query().Get("replace") != "", alive)
	if err != nil {
		http.Error(w, fmt.Sprintf("%v; %s: fix it and import again, which goes on", err, n), kvStatus(err))
		return
	}
	_, _ = io.WriteString(w, n.String()+"\n") //nolint:gosec // counts alone; a client who has left is no error
}

func kvExportCommand() *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   "export [TENANT]",
		Short: "Print all state, or one tenant's, as JSON lines",
		Long: `Print the state of all tenants, or of one, as JSON lines, for terrane kv import at another
edge: with another provider of state, or in a cluster. What is written meanwhile may be missing.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if len(args) == 1 {
				id, err := tenant.ParseID(args[0])
				if err != nil {
					return usageError{cmd.CommandPath(), err}
				}
				q.Set("tenant", string(id))
			}
			body, err := f.get(cmd.Context(), "/kv/export", q)
			if err != nil {
				return err
			}
			_, err = statemove.Read(io.TeeReader(body, cmd.OutOrStdout()), func(*statemove.Line) error { return nil })
			return errors.Join(err, body.Close())
		},
	}
	f.register(cmd)
	return cmd
}

func kvImportCommand() *cobra.Command {
	var f adminFlags
	var replace bool
	cmd := &cobra.Command{
		Use:   "import < FILE",
		Short: "Store what terrane kv export printed, from standard input",
		Long: `Store what terrane kv export printed, from standard input. Keys that are there keep their
values, so that an import which failed can be repeated. Versions are new; expiry stays.

It waits until the state can be written, which takes a cluster that starts some seconds, and reads
back what it has written. The exit status is 0 only when all entries are there for certain.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if replace {
				q.Set("replace", "1")
			}
			body, err := f.do(cmd.Context(), http.MethodPost, "/kv/import", q, cmd.InOrStdin())
			if err != nil {
				return err
			}
			_, err = io.Copy(cmd.OutOrStdout(), body)
			return errors.Join(err, body.Close())
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "replace the values of keys that are there")
	return cmd
}
