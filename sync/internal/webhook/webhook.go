// Package webhook verifies the signatures of webhooks: GitHub, GitLab (token and signed), Gitea,
// Forgejo, Gogs, Bitbucket, and Standard Webhooks.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAge is how old a signed timestamp may be, and how far ahead.
const maxAge = 5 * time.Minute

// Check verifies one request against one secret. The body is written to it.
type Check struct {
	secret string
	header http.Header
	plain  hash.Hash // over the body
	dated  hash.Hash // over id.timestamp.body
}

// New returns the check of a request with the header h, which must not change meanwhile.
func New(secret string, h http.Header) *Check {
	c := &Check{secret: secret, header: h}
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

// Write takes a part of the body. It never fails.
func (c *Check) Write(b []byte) (int, error) {
	_, _ = c.plain.Write(b)
	return c.dated.Write(b)
}

// Passes reports whether a header of the request proves that its sender knows the secret. It
// is called after the whole body was written.
func (c *Check) Passes(now time.Time) bool {
	h := c.header
	if token := h.Get("X-Gitlab-Token"); token != "" {
		got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.secret))
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
	if list := h.Get("Webhook-Signature"); list != "" {
		at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
		if err != nil || now.Sub(time.Unix(at, 0)).Abs() > maxAge {
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
	for _, name := range []string{"X-Hub-Signature-256", "X-Forgejo-Signature", "X-Gitea-Signature", "X-Gogs-Signature", "X-Hub-Signature"} {
		if sig := h.Get(name); sig != "" {
			return hmac.Equal([]byte(strings.TrimPrefix(sig, "sha256=")), want)
		}
	}
	return false
}
