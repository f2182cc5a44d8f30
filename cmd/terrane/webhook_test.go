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

// gitStore is a bare repository on disk and a clone to push from.
type gitStore struct {
	t   *testing.T
	dir string
}

func newGitStore(t *testing.T) *gitStore {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	g := &gitStore{t, t.TempDir()}
	g.git("init", "--quiet", "--bare", "--initial-branch=main", "tenants.git")
	g.git("clone", "--quiet", "tenants.git", "work")
	return g
}

// git runs the command and returns what it prints.
func (g *gitStore) git(args ...string) string {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Dir = g.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a file on top of what is there and returns the commit.
func (g *gitStore) push(name, text string) string {
	g.t.Helper()
	return g.pushTo("main", name, text)
}

func (g *gitStore) pushTo(branch, name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, "work", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.git("-C", "work", "add", ".")
	g.git("-C", "work", "commit", "--quiet", "-m", name)
	g.git("-C", "work", "push", "--quiet", "origin", "HEAD:refs/heads/"+branch)
	return g.git("-C", "work", "rev-parse", "HEAD")
}

// store makes the repository an edge's only store.
func (g *gitStore) store(poll time.Duration) func(*config.Config) {
	return func(c *config.Config) {
		c.Stores = []config.Store{{
			Kind: "git", Prefix: "/git/", URL: "file://" + g.dir + "/tenants.git", Branch: "main", Depth: 1,
			Poll: tomlfile.Duration(poll), WebhookSecret: "s3cret",
		}}
	}
}

// TestWebhook has an edge that hardly ever polls told of a push.
func TestWebhook(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "before")
	e := startEdge(t, g.store(time.Hour), func(e *anEdge) { e.domain("alice.example", "terrane=/git/alice/") })
	shows := func(text string) func() bool {
		return func() bool { _, body := e.request("alice.example", "alice.example", "/"); return body == text }
	}
	e.await("the first release", shows("before"))
	g.push("alice/index.html", "after")

	if code := e.hook("guessed"); code != http.StatusUnauthorized {
		t.Errorf("a webhook with a wrong secret: %d", code)
	}
	if code := e.hook("s3cret"); code != http.StatusAccepted {
		t.Errorf("a webhook: %d", code)
	}
	e.await("the second release", shows("after"))
}

// hook tells the edge of a push as a forge does.
func (e *anEdge) hook(secret string) int {
	e.t.Helper()
	http1, _ := e.edge.server.Addrs()
	const body = `{"ref": "refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, "http://"+http1[0].String()+server.WebhookPath, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	req.Host = "alice.example"
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		e.t.Error(err)
	}
	return resp.StatusCode
}
