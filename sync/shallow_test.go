package sync_test

import (
	"path/filepath"
	"strings"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// TestShallowOrigin: an origin that is a shallow clone is served, and followed when it
// is deepened. What needs the history that it lacks says so.
func TestShallowOrigin(t *testing.T) {
	for _, way := range []string{"file", "http"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			deep := newGitPlace(t)
			deep.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "1"})
			deep.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "1"})
			deep.Deploy(t, storetest.Tree{"alice/i.html": "3", "bob/i.html": "1"})
			old := git(t, deep.work, "commit-tree", "-m", "before the cut", "HEAD~2^{tree}")
			p := newGitPlace(t)
			p.bare = filepath.Join(filepath.Dir(p.bare), "shallow.git")
			git(t, filepath.Dir(p.bare), "clone", "-q", "--bare", "--depth", "1", "file://"+deep.bare, p.bare)
			p.url = "file://" + p.bare
			if way == "http" {
				p.serveHTTP(t)
				p.url = strings.Replace(p.url, "origin.git", "shallow.git", 1)
			}
			store := p.Store()
			store.Git.Previews, store.Git.FastForward = true, true
			data := t.TempDir()
			e := storetest.Start(t, tenantsync.Options{Data: data, Stores: []tenantsync.Store{store}})
			e.AwaitMirrored(t)
			e.AwaitContent(t, alice, "i.html", "3")
			e.AwaitContent(t, "/t/bob", "i.html", "1")
			if s := e.Status().Stores[0]; s.Error != "" || s.Refused != "" {
				t.Errorf("a shallow origin: %q %q", s.Error, s.Refused)
			}

			// What is pushed onto it is followed, previews too.
			git(t, deep.work, "remote", "set-url", "origin", p.bare)
			deep.Deploy(t, storetest.Tree{"alice/i.html": "4", "bob/i.html": "1"})
			e.AwaitContent(t, alice, "i.html", "4")
			git(t, deep.work, "push", "-q", "origin", old+":refs/heads/preview/old")
			red := git(t, deep.work, "commit-tree", "-m", "from before the cut", "-p", "HEAD~2", old+"^{tree}")
			git(t, deep.work, "push", "-q", deep.bare, red+":refs/heads/red")
			git(t, p.bare, "fetch", "-q", "--depth", "1", "file://"+deep.bare, "red:preview/red")
			e.Await(t, "the preview's fault", func() bool {
				odd := e.Status().Stores[0].Odd
				return strings.Contains(odd["preview/old"], "shallow clone") && strings.Contains(odd["preview/red"], "git fetch --unshallow")
			})
			// An older commit is not taken, and the reason names the clone.
			git(t, deep.work, "push", "-q", "-f", "origin", old+":refs/heads/main")
			e.Await(t, "the refusal", func() bool { return strings.Contains(e.Status().Stores[0].Refused, "git fetch --unshallow") })
			git(t, deep.work, "push", "-q", "-f", "origin", "HEAD:refs/heads/main")

			git(t, p.bare, "fetch", "-q", "--unshallow", "file://"+deep.bare, "+refs/heads/main:refs/heads/deep", "red:preview/red")
			e.AwaitContent(t, tenant.ID(alice).Preview("red"), "i.html", "1") // before any push
			deep.Deploy(t, storetest.Tree{"alice/i.html": "5", "bob/i.html": "1"})
			e.AwaitContent(t, alice, "i.html", "5")
			e.Await(t, "no fault", func() bool { s := e.Status().Stores[0]; return s.Error == "" && s.Refused == "" })
		})
	}
}

// TestPartialOrigin: an origin that is a partial clone cannot give what it lacks. The store's
// error says so, and what it says to do helps.
func TestPartialOrigin(t *testing.T) {
	for _, way := range []string{"file", "http"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			whole := newGitPlace(t)
			whole.Deploy(t, storetest.Tree{"alice/i.html": "1"})
			git(t, whole.bare, "config", "uploadpack.allowFilter", "true")
			p := newGitPlace(t)
			p.bare = filepath.Join(filepath.Dir(p.bare), "partial.git")
			git(t, filepath.Dir(p.bare), "clone", "-q", "--bare", "--filter=blob:none", "file://"+whole.bare, p.bare)
			p.url = "file://" + p.bare
			if way == "http" {
				p.serveHTTP(t)
				p.url = strings.Replace(p.url, "origin.git", "partial.git", 1)
			}
			e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}})
			e.Await(t, "the error", func() bool {
				said := e.Status().Stores[0].Error
				return strings.Contains(said, "is a partial clone") && strings.Contains(said, "git fetch --refetch --no-filter")
			})
			git(t, p.bare, "fetch", "-q", "--refetch", "--no-filter")
			e.AwaitContent(t, alice, "i.html", "1")
			e.Await(t, "no error", func() bool { return e.Status().Stores[0].Error == "" })
		})
	}
}
