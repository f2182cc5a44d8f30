package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/tomlfile"
	"github.com/terrane/terrane/server"
)

// TestWebhook has an edge that hardly ever polls told of a push.
func TestWebhook(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	push := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "work/alice/index.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git("-C", "work", "add", ".")
		git("-C", "work", "commit", "--quiet", "-m", text)
		git("-C", "work", "push", "--quiet", "origin", "HEAD:main")
	}
	git("init", "--quiet", "--bare", "--initial-branch=main", "tenants.git")
	git("clone", "--quiet", "tenants.git", "work")
	if err := os.Mkdir(filepath.Join(dir, "work/alice"), 0o700); err != nil {
		t.Fatal(err)
	}
	push("before")

	e := startEdge(t, func(c *config.Config) {
		c.Stores = []config.Store{{
			Kind: "git", Prefix: "/git/", URL: "file://" + dir + "/tenants.git", Branch: "main", Depth: 1,
			Poll: tomlfile.Duration(time.Hour), WebhookSecret: "s3cret",
		}}
	}, func(e *anEdge) { e.domain("alice.example", "terrane=/git/alice/") })
	shows := func(text string) func() bool {
		return func() bool { _, body := e.request("alice.example", "alice.example", "/"); return body == text }
	}
	e.await("the first release", shows("before"))
	push("after")

	http1, _ := e.edge.server.Addrs()
	hook := func(secret string) int {
		t.Helper()
		const body = `{"ref": "refs/heads/main"}`
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+http1[0].String()+server.WebhookPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "alice.example"
		req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	if code := hook("guessed"); code != http.StatusUnauthorized {
		t.Errorf("a webhook with a wrong secret: %d", code)
	}
	if code := hook("s3cret"); code != http.StatusAccepted {
		t.Errorf("a webhook: %d", code)
	}
	e.await("the second release", shows("after"))
}
