package sync_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// badLine is a proxy that does something to what the origin sends.
type badLine struct {
	mu  sync.Mutex
	bad func(http.ResponseWriter, *http.Request, []byte) // nil: pass on
}

func (l *badLine) set(bad func(http.ResponseWriter, *http.Request, []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = bad
}

// through puts the line in front of the place.
func (p *gitPlace) through(tb testing.TB) *badLine {
	tb.Helper()
	target, err := url.Parse(p.url)
	check(tb, err)
	l := &badLine{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		bad := l.bad
		l.mu.Unlock()
		if bad == nil {
			proxy.ServeHTTP(w, r)
			return
		}
		body := httptest.NewRecorder()
		proxy.ServeHTTP(body, r)
		bad(w, r, body.Body.Bytes())
	}))
	tb.Cleanup(srv.Close)
	p.url = srv.URL + target.Path
	return l
}

func isPack(r *http.Request) bool { return r.Method == http.MethodPost }

// TestGitBadLine: whatever the line does, what is live stays, and the first good
// answer brings the newest commit.
func TestGitBadLine(t *testing.T) {
	for name, bad := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"cut": func(w http.ResponseWriter, _ *http.Request, b []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b[:len(b)/2])
			panic(http.ErrAbortHandler)
		},
		"cut in the pack": func(w http.ResponseWriter, r *http.Request, b []byte) {
			if isPack(r) {
				b = b[:len(b)-30]
			}
			_, _ = w.Write(b)
		},
		"flipped": func(w http.ResponseWriter, r *http.Request, b []byte) {
			if isPack(r) {
				b[len(b)-40] ^= 0x20
			}
			_, _ = w.Write(b)
		},
		"stalled": func(w http.ResponseWriter, r *http.Request, b []byte) {
			if isPack(r) {
				_, _ = w.Write(b[:len(b)/2])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			_, _ = w.Write(b)
		},
		"slow": func(w http.ResponseWriter, r *http.Request, b []byte) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := range b {
				_, _ = w.Write(b[i : i+1])
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		},
		"garbage":  func(w http.ResponseWriter, _ *http.Request, _ []byte) { _, _ = io.WriteString(w, "<html>hello") },
		"error":    func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusBadGateway) },
		"no login": func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newGitPlace(t).serveHTTP(t)
			line := p.through(t)
			p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
			o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
			o.Stores[0].Git.Timeout = 300 * time.Millisecond
			e := storetest.Start(t, o)
			e.AwaitContent(t, alice, "i.html", "1")
			line.set(bad)
			p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
			e.AwaitLook(t, 3)
			if st := e.Status().Stores[0]; st.Reachable || st.Error == "" {
				t.Errorf("status %+v", st)
			}
			if e.Content(alice, "i.html") != "1" || len(e.Live()) != 2 {
				t.Errorf("what is live has changed: %v", e.Live())
			}
			line.set(nil)
			e.Nudge("")
			e.AwaitContent(t, alice, "i.html", "2")
		})
	}
}

func gitEdge(t *testing.T) (*gitPlace, *storetest.Edge, tenantsync.Options) {
	t.Helper()
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b"})
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
	e := storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "1")
	e.AwaitContent(t, "/t/bob", "i.html", "b")
	return p, e, o
}

// TestGitHistory: the branch may be rewritten, reset, deleted, and come back.
func TestGitHistory(t *testing.T) {
	p, e, _ := gitEdge(t)
	first := git(t, p.work, "rev-parse", "HEAD")
	if got := e.Live()[alice].Revision; string(got) != first {
		t.Errorf("revision %s, want the commit %s", got, first)
	}
	syncTree(t, p.work, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
	git(t, p.work, "commit", "-q", "-am", "of alice")
	changed := git(t, p.work, "rev-parse", "HEAD")
	git(t, p.work, "commit", "-q", "--allow-empty", "-m", "of nobody")
	git(t, p.work, "push", "-q", "origin", "HEAD:main")
	e.AwaitContent(t, alice, "i.html", "2")
	if got := e.Live()[alice].Revision; string(got) != changed {
		t.Errorf("revision %s, want the commit that changed the folder: %s", got, changed)
	}
	head := git(t, p.work, "rev-parse", "HEAD")
	e.Await(t, "the head is done", func() bool {
		st := e.Status().Stores[0]
		return st.Head == head && st.Pending == 0
	})

	git(t, p.work, "reset", "-q", "--hard", first)
	git(t, p.work, "push", "-q", "-f", "origin", "HEAD:main")
	e.AwaitContent(t, alice, "i.html", "1")

	git(t, p.work, "checkout", "-q", "--orphan", "fresh")
	p.Deploy(t, storetest.Tree{"alice/i.html": "3", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "3")

	git(t, p.work, "push", "-q", "origin", "HEAD:other")
	git(t, p.work, "push", "-q", "origin", ":main")
	e.AwaitLook(t, 2)
	if st := e.Status().Stores[0]; st.Reachable || !strings.Contains(st.Error, `no branch "main"`) {
		t.Errorf("status after the branch was deleted: %+v", st)
	}
	if len(e.Live()) != 2 {
		t.Errorf("a deleted branch took tenants down: %v", e.Live())
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "4", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "4")

	git(t, p.work, "revert", "--no-edit", "HEAD")
	git(t, p.bare, "repack", "-adbq") // with bitmaps, which confuse shallow clients
	git(t, p.work, "push", "-q", "origin", "HEAD:main")
	e.AwaitContent(t, alice, "i.html", "3")
}

// TestGitEmptyOrigin: a repository without commits is an error, not a store
// without tenants, also after a restart.
func TestGitEmptyOrigin(t *testing.T) {
	p, e, o := gitEdge(t)
	e.Stop(t)
	check(t, os.Rename(p.bare, p.bare+".full"))
	git(t, p.work, "init", "-q", "--bare", "-b", "main", p.bare)
	e = storetest.Start(t, o)
	e.AwaitMirrored(t)
	e.AwaitLook(t, 2)
	if len(e.Live()) != 2 || e.Status().Stores[0].Reachable {
		t.Errorf("live %v, status %+v", e.Live(), e.Status().Stores[0])
	}
}

// TestGitDamagedMirror: whatever is wrong with the mirror of the repository, it is
// cloned anew, and nobody notices.
func TestGitDamagedMirror(t *testing.T) {
	each := func(t *testing.T, glob string, f func(string)) {
		t.Helper()
		paths, err := filepath.Glob(glob)
		check(t, err)
		if len(paths) == 0 {
			t.Fatalf("nothing matches %s", glob)
		}
		for _, path := range paths {
			check(t, os.Chmod(path, 0o600))
			f(path)
		}
	}
	cut := func(t *testing.T, n int64) func(string) {
		return func(path string) { check(t, os.Truncate(path, n)) }
	}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"empty ref":   func(t *testing.T, dir string) { each(t, dir+"/refs/terrane/*", cut(t, 0)) },
		"short ref":   func(t *testing.T, dir string) { each(t, dir+"/refs/terrane/*", cut(t, 7)) },
		"empty packs": func(t *testing.T, dir string) { each(t, dir+"/objects/pack/*.pack", cut(t, 0)) },
		"cut packs":   func(t *testing.T, dir string) { each(t, dir+"/objects/pack/*.pack", cut(t, 60)) },
		"empty index": func(t *testing.T, dir string) { each(t, dir+"/objects/pack/*.idx", cut(t, 0)) },
		"cut index":   func(t *testing.T, dir string) { each(t, dir+"/objects/pack/*.idx", cut(t, 1100)) },
		"flipped": func(t *testing.T, dir string) {
			each(t, dir+"/objects/pack/*.pack", func(path string) {
				b, err := os.ReadFile(path)
				check(t, err)
				for i := 20; i < len(b)-20; i += 3 {
					b[i] ^= 0x55
				}
				check(t, os.WriteFile(path, b, 0o600))
			})
		},
		"no packs":  func(t *testing.T, dir string) { check(t, os.RemoveAll(dir+"/objects")) },
		"no config": func(t *testing.T, dir string) { check(t, os.Remove(dir+"/config")) },
		"bad head":  func(t *testing.T, dir string) { check(t, os.WriteFile(dir+"/HEAD", []byte("x"), 0o600)) },
		"rubbish": func(t *testing.T, dir string) {
			check(t, os.WriteFile(dir+"/objects/pack/tmp_pack_123", []byte("x"), 0o600))
			check(t, os.WriteFile(dir+"/config.lock", nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, e, o := gitEdge(t)
			e.Stop(t)
			damage(t, filepath.Join(o.Data, "git", "%2Ft%2F"))
			e = storetest.Start(t, o)
			e.AwaitMirrored(t)
			e.AwaitContent(t, alice, "i.html", "1")
			p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", "2")
		})
	}
}

// TestGitHostileTree: what no file system could hold and git can.
func TestGitHostileTree(t *testing.T) {
	p, e, _ := gitEdge(t)
	blob := hashObject(t, p, "blob", "x")
	tree := func(entries ...string) string { // mode, name, hash
		var raw strings.Builder
		for i := 0; i < len(entries); i += 3 {
			raw.WriteString(entries[i] + " " + entries[i+1] + "\x00" + unhex(t, entries[i+2]))
		}
		return hashObject(t, p, "tree", raw.String())
	}
	deep := tree("100644", "f", blob)
	for range 40 {
		deep = tree("40000", "d", deep)
	}
	lfs := hashObject(t, p, "blob", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
	var bomb string // 10^10 files in 11 trees
	for i, sub := 0, tree("100644", "f", blob); i < 10; i, sub = i+1, bomb {
		var entries []string
		for c := range 10 {
			entries = append(entries, "40000", fmt.Sprint("d", c), sub)
		}
		bomb = tree(entries...)
	}
	good := tree("100644", "i.html", blob)
	for _, tt := range []struct{ folder, want string }{
		{tree("100644", "..", blob), "no name for a file"},
		{tree("40000", "..", tree("100644", "x", blob)), "no name for a file"},
		{tree("100644", "a/b", blob), "no name for a file"},
		{tree("160000", "sub", git(t, p.work, "rev-parse", "HEAD")), "submodule"},
		{tree("100644", "a.wasm", lfs), "LFS pointer"},
		{tree("100644", "A", blob, "100644", "a", blob), "differ in case"},
		{tree("100644", "a", blob, "100644", "a", blob), "differ in case"},
		{tree("100644", "a\xff", blob), "UTF-8"},
		{tree("100644", "a\\b", blob), "character"},
		{tree("120000", "ln", hashObject(t, p, "blob", "../bob/i.html")), "symlink"},
		{tree("120000", "ln", hashObject(t, p, "blob", "/etc/passwd")), "symlink"},
		{tree("120000", "ln", hashObject(t, p, "blob", "ln")), "symlink"},
		{tree("120000", "ln", hashObject(t, p, "blob", strings.Repeat("x", 1<<20))), "symlink"},
		{deep, "deeper"},
		{bomb, "more than 20000"},
	} {
		root := tree("40000", "alice", tt.folder, "40000", "bob", good, "160000", "carol", git(t, p.work, "rev-parse", "HEAD"))
		commit := git(t, p.work, "commit-tree", "-m", "x", "-p", "HEAD", root)
		git(t, p.work, "push", "-q", "-f", "origin", commit+":main")
		e.Await(t, tt.want, func() bool {
			st, _ := e.Tenant(alice)
			return st.Refused != nil && string(st.Refused.Revision) == commit && strings.Contains(st.Refused.Reason, tt.want)
		})
		if r, _ := e.Tenant(alice); r.Refused.Retry {
			t.Errorf("%s: shown as the edge's fault: %+v", tt.want, r.Refused)
		}
	}
	e.AwaitContent(t, "/t/bob", "i.html", "x")
	if e.Content(alice, "i.html") != "1" {
		t.Errorf("live: %v", e.Live())
	}
	if odd := e.Status().Stores[0].Odd; !strings.Contains(odd["carol"], "submodule") {
		t.Errorf("odd: %v", odd)
	}
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	raw, err := hex.DecodeString(s)
	check(t, err)
	return string(raw)
}

func hashObject(t *testing.T, p *gitPlace, kind, content string) string {
	t.Helper()
	cmd := exec.Command("git", "hash-object", "-t", kind, "-w", "--literally", "--stdin")
	cmd.Dir = p.work
	cmd.Stdin = strings.NewReader(content)
	out, err := cmd.Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// TestGitWithoutCommand: over HTTP, go-git does all the work where there is no git,
// and a fetch that brings too much is refused.
func TestGitWithoutCommand(t *testing.T) {
	p := newGitPlace(t).serveHTTP(t)
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	e := storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "1")
	e.Stop(t)

	for _, with := range []string{path, t.TempDir()} {
		t.Setenv("PATH", with)
		o.Data = t.TempDir()
		o.Stores[0].Git.MaxPack = 100
		e = storetest.Start(t, o)
		e.Await(t, "the refusal of the pack", func() bool {
			words := e.Status().Stores[0].Error
			return strings.Contains(words, "more than it may") || strings.Contains(words, "maximum allowed size")
		})
		e.Stop(t)
	}
}

// TestGitManyPushes: packs are made one before there are too many.
func TestGitManyPushes(t *testing.T) {
	if testing.Short() {
		t.Skip("pushes 70 times")
	}
	p, e, o := gitEdge(t)
	for i := range 70 {
		p.Deploy(t, storetest.Tree{"alice/i.html": strconv.Itoa(i), "bob/i.html": "b"})
		e.AwaitContent(t, alice, "i.html", strconv.Itoa(i))
	}
	e.Stop(t)
	packs, err := filepath.Glob(filepath.Join(o.Data, "git/*/objects/pack/*.pack"))
	check(t, err)
	if len(packs) > 10 {
		t.Errorf("%d packs after 70 pushes", len(packs))
	}
}

// TestReaders: during 100 releases, who reads the files of a snapshot gets those of
// that snapshot, whole, however long it takes.
func TestReaders(t *testing.T) {
	p := newFolderPlace(t)
	body := func(i int) string { return strings.Repeat(fmt.Sprintf("%08d", i), 200) }
	p.Deploy(t, storetest.Tree{"alice/a": body(0), "alice/b": body(0)})
	store := p.Store()
	store.Folder.Settle = time.Millisecond
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	e.AwaitContent(t, alice, "a", body(0))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					readBoth(t, e)
				}
			}
		})
	}
	for i := 1; i <= 100; i++ {
		check(t, os.Mkdir(p.dir+"/.n", 0o755))
		check(t, os.WriteFile(p.dir+"/.n/a", []byte(body(i)), 0o644))
		check(t, os.WriteFile(p.dir+"/.n/b", []byte(body(i)), 0o644))
		check(t, os.Rename(p.dir+"/alice", p.dir+"/.o"))
		check(t, os.Rename(p.dir+"/.n", p.dir+"/alice"))
		check(t, os.RemoveAll(p.dir+"/.o"))
		e.AwaitContent(t, alice, "a", body(i))
	}
	close(stop)
	readers.Wait()
	e.Stop(t)
	objects, err := filepath.Glob(filepath.Join(filepath.Dir(p.dir), "..", "*", "mirror/objects/*/*"))
	check(t, err)
	if len(objects) != 5 {
		t.Errorf("%d objects are kept, want those of the last 5 releases", len(objects))
	}
}

func readBoth(t *testing.T, e *storetest.Edge) {
	s := e.Live()[alice]
	var got [2]string
	for i, name := range []string{"a", "b"} {
		f, err := e.Files.Open(s.Files[name].Hash)
		if err != nil {
			t.Errorf("open %s of a live snapshot: %v", name, err)
			return
		}
		data, err := io.ReadAll(f)
		if err != nil || f.Close() != nil {
			t.Errorf("read %s: %v", name, err)
		}
		got[i] = string(data)
	}
	if got[0] != got[1] || s.Files["a"].Size != int64(len(got[0])) {
		t.Error("two revisions in one reading")
	}
}
