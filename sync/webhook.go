package sync

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/terrane/terrane/sync/internal/webhook"
	"github.com/terrane/terrane/tenant"
)

// maxHook bounds a webhook's body. A push too large for it is found by polling.
const maxHook = 1 << 20

// Webhook returns the handler for the webhooks of GitHub, GitLab, Bitbucket, Gitea,
// Forgejo and Gogs, at whatever path. A request signed with the WebhookSecret of a store
// makes that store look at its origin, and is answered with 202; any other gets
// 401. For a tenant's own repository, the query "?tenant=ID" must name it. The payload is only verified, never read: what is live is decided by what
// the origin has, so that a forged, replayed or lost webhook changes nothing. A
// flood costs the origin at most ten looks a second after the first five.
func (s *Syncer) Webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		status := s.hook(w, r, time.Now())
		s.metrics.hooks.WithLabelValues(strconv.Itoa(status)).Inc()
		w.WriteHeader(status)
	})
}

func (s *Syncer) hook(w http.ResponseWriter, r *http.Request, now time.Time) int {
	checks := map[*store]*webhook.Check{}
	var macs []io.Writer
	for _, st := range s.hooked(tenant.ID(r.URL.Query().Get("tenant"))) {
		if st.c.Git != nil && st.c.Git.WebhookSecret != "" {
			c := webhook.New(st.c.Git.WebhookSecret, r.Header)
			checks[st] = c
			macs = append(macs, c)
		}
	}
	if _, err := io.Copy(io.MultiWriter(macs...), http.MaxBytesReader(w, r.Body, maxHook)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	}
	status := http.StatusUnauthorized
	for st, c := range checks {
		if c.Passes(now) {
			st.wake()
			if s.o.Hooked != nil {
				s.o.Hooked(st.c.Prefix)
			}
			status = http.StatusAccepted
		}
	}
	return status
}

// hooked are the stores that a webhook may be for.
func (s *Syncer) hooked(id tenant.ID) []*store {
	stores := slices.Clone(s.stores)
	for _, g := range s.groups {
		if st := g.store(id); st != nil {
			stores = append(stores, st)
		}
	}
	return stores
}
