package sync_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// TestPin: what changes no content of a tenant's folder does not end a rollback, and
// what does, ends it.
func TestPin(t *testing.T) {
	bad := storetest.Tree{"alice/i.html": "bad", "alice/sub/x": "x", "bob/i.html": "b"}
	touch := func(t *testing.T, path string) { check(t, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))) }
	type harmless map[string]func(t *testing.T, dir string)
	folder := harmless{
		"touch": func(t *testing.T, dir string) { touch(t, filepath.Join(dir, "i.html")) },
		"chmod": func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Join(dir, "i.html"), 0o600)) },
		"copy of the same bytes": func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, ".new"), []byte("bad"), 0o644))
			check(t, os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, "i.html")))
		},
		"write in place": func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "i.html"), []byte("bad"), 0o644))
		},
		"file for nobody": func(t *testing.T, dir string) { check(t, os.WriteFile(filepath.Join(dir, ".draft"), nil, 0o644)) },
		"folder made again": func(t *testing.T, dir string) {
			check(t, os.Rename(dir, dir+".old"))
			check(t, os.CopyFS(dir, os.DirFS(dir+".old")))
			check(t, os.RemoveAll(dir+".old"))
		},
	}
	commit := func(t *testing.T, dir string, args ...string) {
		git(t, dir, "add", "-A", "-f")
		git(t, dir, append([]string{"commit", "-q", "--allow-empty", "-m", "m"}, args...)...)
		git(t, dir, "push", "-q", "-f", "origin", "HEAD:main")
	}
	commits := harmless{
		"empty commit": func(t *testing.T, dir string) { commit(t, dir) },
		"rewritten":    func(t *testing.T, dir string) { commit(t, dir, "--amend") },
		"other folder": func(t *testing.T, dir string) { touchIn(t, filepath.Join(dir, "../bob/i.html")); commit(t, dir) },
		"chmod": func(t *testing.T, dir string) {
			check(t, os.Chmod(filepath.Join(dir, "i.html"), 0o755))
			commit(t, dir)
		},
		"file for nobody": func(t *testing.T, dir string) { touchIn(t, filepath.Join(dir, ".draft")); commit(t, dir) },
	}
	gitPlace := func(t *testing.T) (storetest.Place, string) {
		p := newGitPlace(t)
		p.url = "file://" + p.bare
		return p, filepath.Join(p.work, "alice")
	}
	folderPlace := func(t *testing.T) (storetest.Place, string) {
		p := newFolderPlace(t)
		return p, filepath.Join(p.dir, "alice")
	}
	for kind, tt := range map[string]struct {
		place    func(*testing.T) (storetest.Place, string)
		harmless harmless
	}{"folder": {folderPlace, folder}, "git": {gitPlace, commits}} {
		t.Run(kind, func(t *testing.T) {
			p, dir := tt.place(t)
			o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
			p.Deploy(t, storetest.Tree{"alice/i.html": "good", "bob/i.html": "b"})
			e := storetest.Start(t, o)
			e.AwaitContent(t, alice, "i.html", "good")
			good := e.Live()[alice].Revision
			p.Deploy(t, bad)
			e.AwaitContent(t, alice, "i.html", "bad")
			e.Await(t, "it is recorded", func() bool { return releases(t, e) == 2 })
			check(t, e.Rollback(t.Context(), alice, good, tenant.Pin{By: "op", Edge: "ams1", Reason: "bad", At: time.Unix(1, 0)}))

			pinned := func(when string) {
				t.Helper()
				st, _ := e.Tenant(alice)
				if got := e.Content(alice, "i.html"); got != "good" || !st.Live.Pinned || st.Live.Revision != good || st.Live.Pin.By != "op" || st.Live.Pin.Edge != "ams1" {
					t.Fatalf("after %s %q is live, status %+v", when, got, st.Live)
				}
			}
			for name, do := range tt.harmless {
				do(t, dir)
				if _, err := e.Follow(t.Context(), alice); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				pinned(name)
				if slices.Contains([]string{"touch", "chmod"}, name) {
					e.Stop(t)
					e = storetest.Start(t, o)
					e.AwaitMirrored(t)
					if _, err := e.Follow(t.Context(), alice); err != nil {
						t.Fatalf("restart after %s: %v", name, err)
					}
					pinned("a restart after " + name)
				}
			}
			broken := storetest.Tree{"alice/i.wasm": "no module", "bob/i.html": "b"}
			p.Deploy(t, broken)
			e.AwaitRefusal(t, alice)
			pinned("a release that is refused")
			p.Deploy(t, bad)
			e.Await(t, "the refusal is over", func() bool { st, _ := e.Tenant(alice); return st.Refused == nil })
			pinned("the return of what was rolled back")
			p.Deploy(t, storetest.Tree{"alice/i.html": "better", "bob/i.html": "b"})
			e.AwaitContent(t, alice, "i.html", "better")
			e.Await(t, "the pin is gone", func() bool { st, _ := e.Tenant(alice); return !st.Live.Pinned && st.Live.Pin == nil })
			p.Deploy(t, bad) // a change like any other now
			e.AwaitContent(t, alice, "i.html", "bad")
		})
	}
}

func touchIn(t *testing.T, path string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(time.Now().String()), 0o644))
}

// TestHistoryIsByContent: however often one goes back and forth, no release is lost.
func TestHistoryIsByContent(t *testing.T) {
	p := newFolderPlace(t)
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}})
	var revs []tenant.Revision
	for i := range 5 {
		p.Deploy(t, storetest.Tree{"alice/i.html": strconv.Itoa(i)})
		e.AwaitContent(t, alice, "i.html", strconv.Itoa(i))
		e.Await(t, "it is recorded", func() bool { return releases(t, e) == i+1 })
		revs = append(revs, e.Live()[alice].Revision)
	}
	for range 4 {
		for _, i := range []int{3, 4} {
			check(t, e.Rollback(t.Context(), alice, revs[i], tenant.Pin{At: time.Now()}))
		}
	}
	if st, _ := e.Tenant(alice); st.Live.Pinned {
		t.Errorf("pinned to what the folder has: %+v", st.Live)
	}
	list, err := e.Releases(alice)
	check(t, err)
	for _, rev := range revs {
		if !slices.ContainsFunc(list, func(r tenantsync.Release) bool { return r.Revision == rev }) {
			t.Errorf("%s was lost: %+v", rev, list)
		}
	}
	check(t, e.Rollback(t.Context(), alice, revs[0], tenant.Pin{At: time.Now()}))
	if got := e.Content(alice, "i.html"); got != "0" {
		t.Errorf("%q is live, want the oldest", got)
	}
}

// TestRevisionsOfOneContent: a commit that restores what was is a name for it like the first one.
func TestRevisionsOfOneContent(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}})
	var revs []tenant.Revision
	for _, content := range []string{"one", "two", "one", "two"} {
		p.Deploy(t, storetest.Tree{"alice/i.html": content})
		head := tenant.Revision(git(t, p.work, "rev-parse", "HEAD"))
		e.Await(t, "a release", func() bool { st, _ := e.Tenant(alice); return st.Live != nil && st.Live.Revision == head })
		revs = append(revs, head)
	}
	for _, rev := range revs {
		check(t, e.Rollback(t.Context(), alice, rev, tenant.Pin{At: time.Now()}))
		if st, _ := e.Tenant(alice); st.Live.Revision != rev || releases(t, e) != 2 {
			t.Errorf("%s is live and %d releases are left, want %s and 2", st.Live.Revision, releases(t, e), rev)
		}
	}
}

// TestDamagedRecord: a record that is lost is an error in the log, which says whose it was.
func TestDamagedRecord(t *testing.T) {
	p := newFolderPlace(t)
	var log lockedBuffer
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "1")
	e.Await(t, "it is recorded", func() bool { return releases(t, e) == 1 })
	p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
	e.AwaitContent(t, alice, "i.html", "2")
	e.Await(t, "it is recorded", func() bool { return releases(t, e) == 2 })
	e.Stop(t)
	records, err := filepath.Glob(filepath.Join(o.Data, "mirror/releases/*/*.release"))
	check(t, err)
	slices.Sort(records)
	data, err := os.ReadFile(records[1])
	check(t, err)
	data[len(data)/2] ^= 1
	check(t, os.WriteFile(records[1], data, 0o600))
	e = storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "2") // from the folder again
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "tenant=/t/alice newest=true file="+records[1]) {
		t.Errorf("nothing of the damaged record in\n%s", got)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
