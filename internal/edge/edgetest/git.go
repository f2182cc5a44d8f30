package edgetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/tomlfile"
)

// GitStore is a bare repository on disk and a clone to push from.
type GitStore struct {
	t   *testing.T
	Dir string
}

// NewGitStore makes an empty repository. The test is skipped where there is no git.
func NewGitStore(t *testing.T) *GitStore {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	g := &GitStore{t, t.TempDir()}
	g.Git("init", "--quiet", "--bare", "--initial-branch=main", "tenants.git")
	g.Git("clone", "--quiet", "tenants.git", "work")
	return g
}

// Git runs the command and returns what it prints.
func (g *GitStore) Git(args ...string) string {
	g.t.Helper()
	cmd := exec.CommandContext(g.t.Context(), "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Dir = g.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Push commits a file on top of what is there and returns the commit.
func (g *GitStore) Push(name, text string) string {
	g.t.Helper()
	return g.PushTo("main", name, text)
}

// PushTo is Push to another branch than main.
func (g *GitStore) PushTo(branch, name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.Dir, "work", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.Git("-C", "work", "add", ".")
	g.Git("-C", "work", "commit", "--quiet", "-m", name)
	g.Git("-C", "work", "push", "--quiet", "origin", "HEAD:refs/heads/"+branch)
	return g.Git("-C", "work", "rev-parse", "HEAD")
}

// Store makes the repository an edge's only store.
func (g *GitStore) Store(poll time.Duration) func(*config.Config) {
	return func(c *config.Config) {
		c.Stores = []config.Store{{
			Kind: "git", Prefix: "/git/", URL: "file://" + g.Dir + "/tenants.git", Branch: "main", Depth: 1,
			Poll: tomlfile.Duration(poll), WebhookSecret: "s3cret",
		}}
	}
}
