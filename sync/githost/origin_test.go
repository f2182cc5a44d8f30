package githost_test

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

const alice = tenant.ID("/git/alice")

// The tokens of those who push in tests.
const (
	aliceToken  = "alice-9c1185a5c5e9fc54"
	bobToken    = "bob-6e340b9cffb37a98"
	opsToken    = "ops-4bf5122f344554c5"
	readerToken = "reader-dbc1b4c900ffe48d"
)

// origin is a running Host with a Syncer that follows it, and a machine to push from.
type origin struct {
	*githost.Host
	edge    *storetest.Edge
	t       *testing.T
	dir     string // of the host
	pushers string
	url     string // https
	env     []string
	stop    func()
}

func requireGit(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
}

func newOrigin(t *testing.T, change func(*githost.Options)) *origin {
	t.Helper()
	requireGit(t)
	t.Parallel()
	o := &origin{t: t, dir: t.TempDir(), pushers: filepath.Join(t.TempDir(), "pushers")}
	o.write(o.pushers, pusherLines()...)
	opts := githost.Options{
		Dir: o.dir, SSH: "127.0.0.1:0", Wait: 20 * time.Second, Repos: []githost.Repo{{Prefix: "/git/", Pushers: o.pushers}},
	}
	if change != nil {
		change(&opts)
	}
	r := &opts.Repos[0]
	o.dir = opts.Dir
	store := tenantsync.Store{Prefix: r.Prefix, Poll: time.Hour, Depth: r.Depth}
	git := &tenantsync.Git{URL: githost.URL(o.dir, r.Prefix), Hosted: true, Previews: r.Previews, AllowedSigners: r.AllowedSigners}
	if r.PerTenant {
		git.Locate = func(id tenant.ID) (string, bool) { return githost.TenantURL(o.dir, r.Prefix, id) }
		store.GitTenant = git
	} else {
		store.Git = git
	}
	o.edge = storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	opts.Releases = o.edge
	h, err := githost.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	o.serve(h)
	return o
}

// serve runs a host until the test ends, and makes a machine to push from.
func serve(t *testing.T, h *githost.Host) *origin {
	t.Helper()
	requireGit(t)
	o := &origin{t: t}
	o.serve(h)
	return o
}

func (o *origin) serve(h *githost.Host) {
	t := o.t
	t.Helper()
	o.Host = h
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	select {
	case <-o.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(o.Handler())
	srv.EnableHTTP2 = true
	srv.StartTLS()
	o.url = srv.URL + "/git"
	home := t.TempDir()
	root := filepath.Join(home, "root.pem")
	o.write(root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	o.env = append(os.Environ(), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO="+root,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.net", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.net")
	o.stop = sync.OnceFunc(func() {
		srv.CloseClientConnections()
		srv.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("host: %v", err)
		}
	})
	t.Cleanup(o.stop)
}

func pusherLines() []string {
	line := func(folders, token, name string) string {
		return fmt.Sprintf("%s token-sha256 %x %s", folders, sha256.Sum256([]byte(token)), name)
	}
	return []string{"# who may push", "", line("alice", aliceToken, "alice"), line("bob,carol", bobToken, "bob"), line("*", opsToken, "ops"), line("-", readerToken, "another edge")}
}

func (o *origin) write(name string, lines ...string) {
	o.t.Helper()
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// with is the URL with a token in it.
func (o *origin) with(token string) string {
	return strings.Replace(o.url, "https://", "https://git:"+token+"@", 1)
}

// bare is the repository that the host keeps.
func (o *origin) bare() string { return githost.Dir(o.dir, "/git/") }

// clone is a work tree to push from.
type clone struct {
	o   *origin
	dir string
}

func (o *origin) clone(url string) *clone {
	o.t.Helper()
	c := &clone{o, o.t.TempDir()}
	c.git("init", "-q", "-b", "main")
	c.git("remote", "add", "origin", url)
	if out, err := c.try("fetch", "-q", "origin"); err != nil {
		o.t.Fatalf("%v %s", err, out)
	}
	if _, err := c.try("rev-parse", "--verify", "-q", "origin/main"); err == nil {
		c.git("reset", "-q", "--hard", "origin/main")
	}
	return c
}

func (c *clone) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.o.t.Context(), "git", args...)
	cmd.Dir, cmd.Env = c.dir, c.o.env
	return cmd
}

func (c *clone) try(args ...string) (string, error) {
	out, err := c.command(args...).CombinedOutput()
	return string(out), err
}

func (c *clone) git(args ...string) string {
	c.o.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// commit commits files, given as names and contents; an empty one is removed.
func (c *clone) commit(files ...string) {
	c.o.t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(c.dir, files[i])
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if files[i+1] == "" {
			err = os.Remove(name)
		} else if err == nil {
			err = os.WriteFile(name, []byte(files[i+1]), 0o600)
		}
		if err != nil {
			c.o.t.Fatal(err)
		}
	}
	c.git("add", "-A", "-f")
	c.git("commit", "-q", "--allow-empty", "-m", "deploy")
}

// push wants a push to succeed and to print all of the parts.
func (c *clone) push(ref string, parts ...string) {
	c.o.t.Helper()
	out, err := c.try("push", "origin", ref)
	if err != nil {
		c.o.t.Fatalf("push: %v\n%s", err, out)
	}
	c.wants(out, parts)
}

// refused wants a push to fail and to print all of the parts.
func (c *clone) refused(ref string, parts ...string) {
	c.o.t.Helper()
	out, err := c.try("push", "origin", ref)
	if err == nil {
		c.o.t.Errorf("push went through:\n%s", out)
	}
	c.wants(out, parts)
}

func (c *clone) wants(out string, parts []string) {
	c.o.t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			c.o.t.Errorf("want %q in:\n%s", part, out)
		}
	}
}

// head is what a branch of the host's repository is at, "" if it is not there.
func (o *origin) head(branch string) string {
	cmd := exec.CommandContext(o.t.Context(), "git", "--git-dir="+o.bare(), "rev-parse", "--verify", "-q", "refs/heads/"+branch)
	out, _ := cmd.Output()
	return strings.TrimSpace(string(out))
}

// fsck wants the host's repository whole.
func (o *origin) fsck() {
	o.t.Helper()
	if out, err := exec.CommandContext(o.t.Context(), "git", "--git-dir="+o.bare(), "fsck", "--full").CombinedOutput(); err != nil {
		o.t.Errorf("fsck: %v\n%s", err, out)
	}
}

// status is how the host answers a request.
func (o *origin) status(path, token string) int {
	o.t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(o.t.Context(), http.MethodGet, path, http.NoBody)
	r.RemoteAddr = net.JoinHostPort("203.0.113.7", "4711")
	if token != "" {
		r.SetBasicAuth("git", token)
	}
	o.Handler().ServeHTTP(rec, r)
	return rec.Code
}

func listen() (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
}
