package sync_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

func sign(secret, text string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func TestWebhook(t *testing.T) {
	const secret, body = "s3cret", `{"ref":"refs/heads/main"}`
	token := "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
	hexSig := hex.EncodeToString(sign(secret, body))
	now := time.Now().Unix()
	dated := func(at int64) []string {
		sig := base64.StdEncoding.EncodeToString(sign(secret, fmt.Sprintf("id1.%d.%s", at, body)))
		return []string{"webhook-id", "id1", "webhook-timestamp", strconv.FormatInt(at, 10), "webhook-signature", "v1,AAAA v1," + sig}
	}
	for _, tt := range []struct {
		name   string
		secret string
		header []string
		body   string
		want   int
	}{
		{"github", secret, []string{"X-Hub-Signature-256", "sha256=" + hexSig}, body, 202},
		{"gitea", secret, []string{"X-Gitea-Signature", hexSig}, body, 202},
		{"forgejo", secret, []string{"X-Forgejo-Signature", hexSig}, body, 202},
		{"gogs", secret, []string{"X-Gogs-Signature", hexSig}, body, 202},
		{"bitbucket", secret, []string{"X-Hub-Signature", "sha256=" + hexSig}, body, 202},
		{"bitbucket, other secret", "else", []string{"X-Hub-Signature", "sha256=" + hexSig}, body, 401},
		{"github, the old signature alone", secret, []string{"X-Hub-Signature", "sha1=" + hexSig[:40]}, body, 401},
		{"gitlab token", secret, []string{"X-Gitlab-Token", secret}, body, 202},
		{"gitlab signed", token, dated(now), body, 202},
		{"standard with a plain secret", secret, dated(now), body, 202},
		{"bad signature", secret, []string{"X-Hub-Signature-256", "sha256=" + strings.Repeat("0", 64)}, body, 401},
		{"empty signature", secret, []string{"X-Hub-Signature-256", "sha256="}, body, 401},
		{"other body", secret, []string{"X-Hub-Signature-256", "sha256=" + hexSig}, body + " ", 401},
		{"other secret", "else", []string{"X-Gitea-Signature", hexSig}, body, 401},
		{"bad token", secret, []string{"X-Gitlab-Token", "s3cre"}, body, 401},
		{"replayed late", token, dated(now - 3600), body, 401},
		{"from the future", token, dated(now + 3600), body, 401},
		{"no signature", secret, nil, body, 401},
		{"no secret configured", "", []string{"X-Gitlab-Token", ""}, body, 401},
		{"no secret configured, signed with none", "", []string{"X-Gitea-Signature", hex.EncodeToString(sign("", body))}, body, 401},
		{"huge", secret, []string{"X-Gitlab-Token", secret}, strings.Repeat("x", 2<<20), 413},
	} {
		s, err := tenantsync.New(tenantsync.Options{
			Data: t.TempDir(), Publisher: &storetest.Recorder{},
			Stores: []tenantsync.Store{{Prefix: "/t/", Git: &tenantsync.Git{URL: "https://git.invalid/x", WebhookSecret: tt.secret}}},
		})
		check(t, err)
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(tt.body))
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Set(tt.header[i], tt.header[i+1])
		}
		w := httptest.NewRecorder()
		s.Webhook().ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, w.Code, tt.want)
		}
	}
}

// TestWebhookDeploys: a webhook brings a push at once; a lost one is made up for
// by polling; a flood, replays too, stays a few looks.
func TestWebhookDeploys(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	store := p.Store()
	store.Poll = time.Hour
	store.Git.WebhookSecret = "s"
	registry := prometheus.NewRegistry()
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}, Metrics: registry})
	e.AwaitContent(t, alice, "i.html", "1")
	call := func() int {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("X-Gitlab-Token", "s")
		w := httptest.NewRecorder()
		e.Webhook().ServeHTTP(w, r)
		return w.Code
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
	begin := time.Now()
	for range 1000 {
		if got := call(); got != http.StatusAccepted {
			t.Fatalf("status %d", got)
		}
	}
	e.AwaitContent(t, alice, "i.html", "2")
	looks, err := registry.Gather()
	check(t, err)
	for _, m := range looks {
		if m.GetName() == "terrane_sync_look_duration_seconds" {
			n := m.GetMetric()[0].GetHistogram().GetSampleCount()
			if most := 9 + uint64(time.Since(begin)/(100*time.Millisecond)); n > most {
				t.Errorf("%d looks after 1000 webhooks, want at most %d", n, most)
			}
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}
