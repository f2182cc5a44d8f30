package sync_test

import (
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	if options := os.Getenv(benchEnv); options != "" {
		benchChild(options)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestFolderStore(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) storetest.Place { return newFolderPlace(tb) })
}

func TestGitStoreFile(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) storetest.Place {
		p := newGitPlace(tb)
		p.url = "file://" + p.bare
		return p
	})
}

func TestGitStoreHTTP(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) storetest.Place { return newGitPlace(tb).serveHTTP(tb) })
}

type folderPlace struct{ dir string }

func newFolderPlace(tb testing.TB) *folderPlace {
	return &folderPlace{filepath.Join(tb.TempDir(), "store")}
}

func (p *folderPlace) Store() tenantsync.Store {
	return tenantsync.Store{
		Prefix: "/t/", Poll: 50 * time.Millisecond,
		Folder: &tenantsync.Folder{Path: p.dir, Settle: 50 * time.Millisecond},
	}
}

// Deploy changes only what differs, as rsync --delete does.
func (p *folderPlace) Deploy(tb testing.TB, tree storetest.Tree) {
	tb.Helper()
	syncTree(tb, p.dir, tree)
}

func syncTree(tb testing.TB, dir string, tree storetest.Tree) {
	tb.Helper()
	for name, content := range tree {
		path := filepath.Join(dir, name)
		check(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		if old, err := os.ReadFile(path); err == nil && string(old) == content {
			continue
		}
		check(tb, os.WriteFile(path, []byte(content), 0o644))
	}
	var extra []string
	check(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err != nil || rel == "." || rel == ".git" {
			if rel == ".git" && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if wanted(tree, rel) {
			return nil
		}
		extra = append(extra, path)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}))
	for _, path := range extra {
		check(tb, os.RemoveAll(path))
	}
}

func wanted(tree storetest.Tree, rel string) bool {
	for name := range tree {
		if name == rel || strings.HasPrefix(name, rel+"/") {
			return true
		}
	}
	return false
}

func (p *folderPlace) Link(tb testing.TB, name, target string) {
	tb.Helper()
	check(tb, os.Symlink(target, filepath.Join(p.dir, name)))
}

func (p *folderPlace) Down(tb testing.TB) { check(tb, os.Rename(p.dir, p.dir+".down")) }

func (p *folderPlace) Up(tb testing.TB) { check(tb, os.Rename(p.dir+".down", p.dir)) }

func (p *folderPlace) Clear(tb testing.TB) { // as when the mount is gone
	check(tb, os.Rename(p.dir, p.dir+time.Now().Format(".150405.000000")))
	check(tb, os.Mkdir(p.dir, 0o755))
}

// gitPlace is a bare repository and a work tree beside it.
type gitPlace struct {
	bare, work, url string
}

func newGitPlace(tb testing.TB) *gitPlace {
	tb.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		tb.Skip("no git")
	}
	dir := tb.TempDir()
	p := &gitPlace{bare: filepath.Join(dir, "origin.git"), work: filepath.Join(dir, "work")}
	git(tb, dir, "init", "-q", "--bare", "-b", "main", p.bare)
	git(tb, p.bare, "config", "http.receivepack", "true")
	git(tb, p.bare, "config", "receive.denyDeleteCurrent", "ignore")
	git(tb, dir, "init", "-q", "-b", "main", p.work)
	git(tb, p.work, "remote", "add", "origin", p.bare)
	return p
}

// serveHTTP serves the repository by git http-backend.
func (p *gitPlace) serveHTTP(tb testing.TB) *gitPlace {
	tb.Helper()
	srv := httptest.NewServer(p.handler(tb))
	tb.Cleanup(srv.Close)
	p.url = srv.URL + "/origin.git"
	return p
}

func (p *gitPlace) handler(tb testing.TB) http.Handler {
	tb.Helper()
	git, err := exec.LookPath("git")
	check(tb, err)
	return &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Dir: filepath.Dir(p.bare),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(p.bare), "GIT_HTTP_EXPORT_ALL=1"},
	}
}

func git(tb testing.TB, dir string, args ...string) string {
	tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir,
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.net", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.net")
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *gitPlace) Store() tenantsync.Store {
	return tenantsync.Store{Prefix: "/t/", Poll: 50 * time.Millisecond, Git: &tenantsync.Git{URL: p.url}}
}

func (p *gitPlace) Deploy(tb testing.TB, tree storetest.Tree) {
	tb.Helper()
	syncTree(tb, p.work, tree)
	p.push(tb)
}

func (p *gitPlace) push(tb testing.TB) {
	tb.Helper()
	git(tb, p.work, "add", "-A", "-f")
	git(tb, p.work, "commit", "-q", "--allow-empty", "-m", "deploy")
	git(tb, p.work, "push", "-q", "-f", "origin", "HEAD:main")
}

func (p *gitPlace) Link(tb testing.TB, name, target string) {
	tb.Helper()
	check(tb, os.Symlink(target, filepath.Join(p.work, name)))
	p.push(tb)
}

func (p *gitPlace) Down(tb testing.TB) { check(tb, os.Rename(p.bare, p.bare+".down")) }

func (p *gitPlace) Up(tb testing.TB) { check(tb, os.Rename(p.bare+".down", p.bare)) }

func (p *gitPlace) Clear(tb testing.TB) { p.Deploy(tb, storetest.Tree{}) }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
