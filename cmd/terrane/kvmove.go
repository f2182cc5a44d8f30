package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

const (
	movePatience = time.Minute // for one line of an export or an import
	moveAtOnce   = 16          // entries on their way out of a store, or into one
	maxMoved     = 8 << 20     // bytes of a line: a value whose every byte is escaped
)

// moved is a line of an export, a JSON object: an entry, or the last line, which says
// how many there are or why there are not all.
type moved struct {
	Tenant tenant.ID `json:"tenant,omitempty"`
	kvEntry
	Entries *int64 `json:"entries,omitempty"`
	Error   string `json:"error,omitempty"`
}

// kvImported is what became of the entries of an import.
type kvImported struct {
	Imported atomic.Int64
	Kept     atomic.Int64 // what the store had already
	Expired  atomic.Int64
}

func (n *kvImported) String() string {
	return fmt.Sprintf("%d entries imported, %d were there already, %d have expired", n.Imported.Load(), n.Kept.Load(), n.Expired.Load())
}

// kvExport sends a tenant's entries, or all tenants', a line each.
func (e *edge) kvExport(w http.ResponseWriter, r *http.Request) {
	var ids []tenant.ID
	var err error
	if one := r.URL.Query().Get("tenant"); one != "" {
		var id tenant.ID
		id, err = tenant.ParseID(one)
		ids = append(ids, id)
	} else {
		ids, err = e.states.all(r.Context())
	}
	if err != nil {
		http.Error(w, err.Error(), kvStatus(err))
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, control := json.NewEncoder(w), http.NewResponseController(w)
	n := int64(0)
	for _, id := range ids {
		err = e.exportTenant(r.Context(), id, func(m moved) error {
			n++
			return errors.Join(control.SetWriteDeadline(time.Now().Add(movePatience)), out.Encode(m))
		})
		if err != nil {
			_ = out.Encode(moved{Error: fmt.Sprintf("%s: %v", id, err)}) // a client who has left is no error
			return
		}
	}
	_ = out.Encode(moved{Entries: &n})
}

func (e *edge) exportTenant(ctx context.Context, id tenant.ID, send func(moved) error) error {
	kv := e.states.of(id, true) // those that read at once share what that costs
	var sending sync.Mutex
	one := func(ctx context.Context, key string) error {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, hostcalls.ErrNotFound) {
			return nil // it has gone since
		}
		if err != nil {
			return err
		}
		sending.Lock()
		defer sending.Unlock()
		return send(moved{Tenant: id, kvEntry: newKVEntry(key, entry)})
	}
	if err := one(ctx, ""); err != nil { // lists begin behind it
		return err
	}
	for after := ""; ; {
		keys, err := kv.List(ctx, "", after, maxListed)
		if err != nil || len(keys) == 0 {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(moveAtOnce)
		for _, key := range keys {
			group.Go(func() error { return one(ctx, key) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		after = keys[len(keys)-1]
	}
}

// kvImport stores the entries of an export. What is there is kept, but with replace=1.
func (e *edge) kvImport(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	var n kvImported
	group, ctx := errgroup.WithContext(r.Context())
	group.SetLimit(moveAtOnce)
	replace := r.URL.Query().Get("replace") != ""
	end, err := readMoved(r.Body, func(m *moved) error {
		until := time.Now().Add(movePatience)
		if err := errors.Join(ctx.Err(), control.SetReadDeadline(until), control.SetWriteDeadline(until)); err != nil {
			return err
		}
		group.Go(func() error { return e.importEntry(ctx, m, replace, &n) })
		return nil
	})
	if stored := group.Wait(); stored != nil {
		err = stored // the cause of the other
	}
	if err == nil && *end.Entries != n.Imported.Load()+n.Kept.Load()+n.Expired.Load() {
		err = badRequestError{fmt.Errorf("it should have %d entries: lines are missing", *end.Entries)}
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("%v; %s: mend it and import again, which goes on", err, &n), kvStatus(err))
		return
	}
	_, _ = fmt.Fprintln(w, &n) // a client who has left is no error
}

func (e *edge) importEntry(ctx context.Context, m *moved, replace bool, n *kvImported) error {
	var expires time.Time
	if m.Expires != nil {
		if expires = *m.Expires; !time.Now().Before(expires) {
			n.Expired.Add(1)
			return nil
		}
	}
	key, value := m.key(), m.value()
	if len(key) > hostcalls.KVKeyMax || len(value) > hostcalls.KVValueMax {
		return badRequestError{fmt.Errorf("%s: key %.80q: want a key of at most %d bytes and a value of at most %d",
			m.Tenant, key, hostcalls.KVKeyMax, hostcalls.KVValueMax)}
	}
	kv := e.states.of(m.Tenant, false)
	for at := uint64(0); ; {
		_, err := kv.Put(ctx, key, value, at, expires)
		switch {
		case err == nil:
			n.Imported.Add(1)
			return nil
		case !errors.Is(err, hostcalls.ErrConflict):
			return fmt.Errorf("%s: key %.80q: %w", m.Tenant, key, err)
		case !replace:
			n.Kept.Add(1)
			return nil
		}
		there, err := kv.Get(ctx, key)
		if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
			return fmt.Errorf("%s: key %.80q: %w", m.Tenant, key, err)
		}
		at = there.Version
	}
}

// readMoved reads the lines of an export, and returns the last, or what is wrong with it.
func readMoved(r io.Reader, each func(m *moved) error) (end *moved, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMoved)
	for n := 1; lines.Scan(); n++ {
		var m moved
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, badRequestError{fmt.Errorf("line %d is of no export: %w", n, err)}
		}
		switch {
		case m.Error != "":
			return nil, badRequestError{fmt.Errorf("the export failed: %s", m.Error)}
		case m.Entries != nil:
			return &m, nil
		}
		if _, err := tenant.ParseID(string(m.Tenant)); err != nil {
			return nil, badRequestError{fmt.Errorf("line %d: tenant: %w", n, err)}
		}
		if err := each(&m); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, badRequestError{err}
	}
	return nil, badRequestError{errors.New("it is cut short: its last line is missing")}
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
			_, err = readMoved(io.TeeReader(body, cmd.OutOrStdout()), func(*moved) error { return nil })
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
values, so that an import which failed can be repeated. Versions are new; expiry stays.`,
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
