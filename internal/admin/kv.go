package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// maxListed is how many keys one answer names at most.
const maxListed = 1000

// kvHandler lets operators see and change tenants' state:
//
//	GET    /kv?tenant=ID&prefix=P&after=K&limit=N    keys
//	GET    /kv/entry?tenant=ID&key=K                 one entry
//	PUT    /kv/entry?tenant=ID&key=K&version=V&ttl=D the body is its value
//	DELETE /kv/entry?tenant=ID&key=K&version=V
//	GET    /kv/export?tenant=ID                      all entries, of all tenants without one
//	POST   /kv/import?replace=1                      the body is an export
//
// Without a version, whatever is there is replaced or deleted. Reads are strict with
// strict=1.
func kvHandler(states *statemove.Store) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(kvRequest) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			id, err := tenant.ParseID(q.Get("tenant"))
			if err != nil {
				http.Error(w, "tenant: "+err.Error(), http.StatusBadRequest)
				return
			}
			kv := states.Of(id, q.Get("strict") != "")
			answer, err := do(kvRequest{r, kv, q.Get("key")})
			if err != nil {
				http.Error(w, err.Error(), kvStatus(err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // a client who has left is no error
		})
	}
	mux.HandleFunc("GET /kv/export", func(w http.ResponseWriter, r *http.Request) { kvExport(w, r, states) })
	mux.HandleFunc("POST /kv/import", func(w http.ResponseWriter, r *http.Request) { kvImport(w, r, states) })
	handle("GET /kv", kvRequest.list)
	handle("GET /kv/entry", kvRequest.get)
	handle("PUT /kv/entry", kvRequest.put)
	handle("DELETE /kv/entry", kvRequest.del)
	return mux
}

// badRequestError is the operator's mistake.
type badRequestError struct{ error }

func kvStatus(err error) int {
	_, bad := errors.AsType[badRequestError](err)
	_, input := errors.AsType[statemove.InputError](err)
	switch {
	case bad, input:
		return http.StatusBadRequest
	case errors.Is(err, hostcalls.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, hostcalls.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, hostcalls.ErrFull):
		return http.StatusInsufficientStorage
	}
	return http.StatusServiceUnavailable
}

// kvRequest is a request on a tenant's state.
type kvRequest struct {
	*http.Request
	kv  hostcalls.KV
	key string
}

func (r kvRequest) list() (any, error) {
	q, limit := r.URL.Query(), maxListed
	if n := q.Get("limit"); n != "" {
		var err error
		if limit, err = strconv.Atoi(n); err != nil || limit < 1 || limit > maxListed {
			return nil, badRequestError{fmt.Errorf("limit: want 1 to %d", maxListed)}
		}
	}
	keys, err := r.kv.List(r.Context(), q.Get("prefix"), q.Get("after"), limit)
	list := make([]statemove.Key, 0, len(keys))
	for _, key := range keys {
		list = append(list, statemove.NewKey(key))
	}
	return list, err
}

func (r kvRequest) get() (any, error) {
	e, err := r.kv.Get(r.Context(), r.key)
	return statemove.NewEntry(r.key, e), err
}

// version is the one that the request names, or that which the key has.
func (r kvRequest) version() (at uint64, fixed bool, err error) {
	if v := r.URL.Query().Get("version"); v != "" {
		if at, err = strconv.ParseUint(v, 10, 64); err != nil {
			err = badRequestError{errors.New("version: want a number")}
		}
		return at, true, err
	}
	e, err := r.kv.Get(r.Context(), r.key)
	if errors.Is(err, hostcalls.ErrNotFound) {
		err = nil
	}
	return e.Version, false, err
}

func (r kvRequest) put() (any, error) {
	value, err := io.ReadAll(io.LimitReader(r.Body, hostcalls.KVValueMax+1))
	if err != nil {
		return nil, badRequestError{err}
	}
	if len(value) > hostcalls.KVValueMax || len(r.key) > hostcalls.KVKeyMax {
		return nil, badRequestError{fmt.Errorf("want a key of at most %d bytes and a value of at most %d", hostcalls.KVKeyMax, hostcalls.KVValueMax)}
	}
	var expires time.Time
	if d := r.URL.Query().Get("ttl"); d != "" {
		ttl, err := time.ParseDuration(d)
		if err != nil || ttl <= 0 {
			return nil, badRequestError{errors.New("ttl: want a duration, such as \"90s\"")}
		}
		expires = time.Now().Add(ttl)
	}
	e := hostcalls.KVEntry{Value: value, Expires: expires}
	err = r.again(func(at uint64) error {
		e.Version, err = r.kv.Put(r.Context(), r.key, value, at, expires)
		return err
	})
	e.Value = nil
	return statemove.NewEntry(r.key, e), err
}

func (r kvRequest) del() (any, error) {
	return struct{}{}, r.again(func(at uint64) error { return r.kv.Delete(r.Context(), r.key, at) })
}

// again does something at the version asked for, or at whatever there is.
func (r kvRequest) again(do func(at uint64) error) error {
	for {
		at, fixed, err := r.version()
		if err != nil {
			return err
		}
		if err = do(at); fixed || !errors.Is(err, hostcalls.ErrConflict) || r.Context().Err() != nil {
			return err
		}
	}
}
