package sync

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrane/terrane/tenant"
)

const (
	// maxHook bounds a webhook's body. A push too large for it is found by polling.
	maxHook = 1 << 20
	// hookAge is how old a signed timestamp may be, and how far ahead.
	hookAge = 5 * time.Minute
)

// Webhook returns the handler for the webhooks of GitHub, GitLab, Gitea and
// Forgejo, at whatever path. A request signed with the WebhookSecret of a store
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
	var checks []*hookCheck
	var macs []io.Writer
	for _, st := range s.hooked(tenant.ID(r.URL.Query().Get("tenant"))) {
		if st.c.Git != nil && st.c.Git.WebhookSecret != "" {
			c := newHookCheck(st, r.Header)
			checks = append(checks, c)
			macs = append(macs, c.plain, c.dated)
		}
	}
	if _, err := io.Copy(io.MultiWriter(macs...), http.MaxBytesReader(w, r.Body, maxHook)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	}
	status := http.StatusUnauthorized
	for _, c := range checks {
		if c.ok(r.Header, now) {
			c.store.wake()
			if s.o.Hooked != nil {
				s.o.Hooked(c.store.c.Prefix)
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

// hookCheck verifies a request against one store's secret.
type hookCheck struct {
	store  *store
	secret string
	plain  hash.Hash // over the body
	dated  hash.Hash // over id.timestamp.body
}

func newHookCheck(st *store, h http.Header) *hookCheck {
	c := &hookCheck{store: st, secret: st.c.Git.WebhookSecret}
	c.plain = hmac.New(sha256.New, []byte(c.secret))
	key := []byte(c.secret)
	if b64, ok := strings.CutPrefix(c.secret, "whsec_"); ok { // GitLab's form of a signing token
		if raw, err := base64.StdEncoding.DecodeString(b64); err == nil {
			key = raw
		}
	}
	c.dated = hmac.New(sha256.New, key)
	c.dated.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "."))
	return c
}

// ok reports whether any of the headers proves the secret.
func (c *hookCheck) ok(h http.Header, now time.Time) bool {
	if token := h.Get("X-Gitlab-Token"); token != "" {
		got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.secret))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	if list := h.Get("Webhook-Signature"); list != "" {
		at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
		if err != nil || now.Sub(time.Unix(at, 0)).Abs() > hookAge {
			return false
		}
		want := "v1," + base64.StdEncoding.EncodeToString(c.dated.Sum(nil))
		for sig := range strings.FieldsSeq(list) {
			if hmac.Equal([]byte(sig), []byte(want)) {
				return true
			}
		}
		return false
	}
	want := []byte(hex.EncodeToString(c.plain.Sum(nil)))
	for _, name := range []string{"X-Hub-Signature-256", "X-Forgejo-Signature", "X-Gitea-Signature"} {
		if sig := h.Get(name); sig != "" {
			return hmac.Equal([]byte(strings.TrimPrefix(sig, "sha256=")), want)
		}
	}
	return false
}
