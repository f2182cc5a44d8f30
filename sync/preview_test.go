package sync_test

import (
	"fmt"
	"strings"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// branch pushes the tree as a branch that begins at main's head, or at from.
func (p *gitPlace) branch(t *testing.T, name, from string, tree storetest.Tree) string {
	t.Helper()
	git(t, p.work, "checkout", "-q", "-f", "--detach", from)
	syncTree(t, p.work, tree)
	git(t, p.work, "add", "-A", "-f")
	git(t, p.work, "commit", "-q", "--allow-empty", "-m", name)
	git(t, p.work, "push", "-q", "-f", "origin", "HEAD:refs/heads/"+name)
	head := git(t, p.work, "rev-parse", "HEAD")
	git(t, p.work, "checkout", "-q", "-f", "main")
	return head
}

func previewEdge(t *testing.T) (*gitPlace, *storetest.Edge, tenantsync.Options) {
	t.Helper()
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	store := p.Store()
	store.Git.Previews = true
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b", "carol/i.html": "c"})
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}}
	e := storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "1")
	return p, e, o
}

const red = tenant.ID(alice + "/.preview/red")

// TestPreviews: a branch shows what it changes, and nothing else, for as long as it is
// there and not merged.
func TestPreviews(t *testing.T) {
	p, e, o := previewEdge(t)
	site := func(v string) storetest.Tree {
		return storetest.Tree{"alice/i.html": v, "bob/i.html": "b", "carol/i.html": "c"}
	}
	head := p.branch(t, "preview/red", "main", site("red"))
	e.AwaitContent(t, red, "i.html", "red")
	if got := e.Live(); len(got) != 4 || string(got[red].Revision) != head {
		t.Errorf("live: %v, want three tenants and a preview at %s", got, head)
	}
	git(t, p.work, "checkout", "-q", "-f", "main")
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b2", "carol/i.html": "c"})
	e.AwaitContent(t, "/t/bob", "i.html", "b2")
	e.AwaitLook(t, 2)
	if got := e.Live(); len(got) != 4 || e.Content(red, "i.html") != "red" {
		t.Errorf("live: %v: a push to the branch itself has made previews, or ended one", got)
	}

	p.branch(t, "preview/red", "main", storetest.Tree{
		"alice/i.html": "red2", "bob/i.html": "b2", "carol/i.html": "c", "alice/terrane.toml": "[[cron]]\nschedule = \"* * * * *\"\npath = \"/\"\n",
	})
	e.AwaitContent(t, red, "i.html", "red2")
	if n := len(e.Live()[red].Manifest.Crons); n != 0 {
		t.Errorf("a preview has %d crons", n)
	}
	e.Stop(t)
	p.Down(t)
	e = storetest.Start(t, o)
	e.AwaitMirrored(t)
	if e.Content(red, "i.html") != "red2" {
		t.Error("not live after a restart with the origin down")
	}
	p.Up(t)
	e.Nudge("")
	e.Await(t, "the store is read again", func() bool { return e.Status().Stores[0].Reachable })

	p.branch(t, "preview/broken", "main", storetest.Tree{"alice/i.html": "1", "bob/a.wasm": "no module", "carol/i.html": "c"})
	if r := e.AwaitRefusal(t, "/t/bob/.preview/broken"); r.Retry || !strings.Contains(r.Reason, "a.wasm") {
		t.Errorf("refusal %+v", r)
	}
	git(t, p.work, "fetch", "-q", "origin")
	git(t, p.work, "merge", "-q", "--no-edit", "origin/preview/red")
	git(t, p.work, "push", "-q", "origin", "HEAD:main")
	e.AwaitContent(t, alice, "i.html", "red2")
	e.Await(t, "a merged preview ends", func() bool { return e.Live()[red] == nil })

	p.branch(t, "preview/blue", "main", storetest.Tree{"alice/i.html": "blue", "bob/i.html": "b2", "carol/i.html": "c"})
	e.AwaitContent(t, alice+"/.preview/blue", "i.html", "blue")
	git(t, p.work, "push", "-q", "origin", ":preview/blue")
	e.Await(t, "a deleted preview ends", func() bool { return e.Live()[alice+"/.preview/blue"] == nil })
	if len(e.Live()) != 3 {
		t.Errorf("live: %v", e.Live())
	}
}

// TestPreviewsBounded: what cannot be a preview is said, and holds nobody up.
func TestPreviewsBounded(t *testing.T) {
	p, e, _ := previewEdge(t)
	odd := func(name, want string) {
		t.Helper()
		e.Await(t, name+": "+want, func() bool { return strings.Contains(e.Status().Stores[0].Odd[name], want) })
	}
	for name, want := range map[string]string{
		"Red": "single", "a--b": "single", "ab": "two characters", "x/y": "single", strings.Repeat("a", 31): "at most 30",
	} {
		p.branch(t, "preview/"+name, "main", storetest.Tree{"alice/i.html": name})
		odd("preview/"+name, want)
	}
	many := storetest.Tree{}
	for i := range 21 {
		many[fmt.Sprintf("t%d/i.html", i)] = "x"
	}
	p.branch(t, "preview/many", "main", many)
	odd("preview/many", "changes 21 tenants' folders")

	git(t, p.work, "checkout", "-q", "--orphan", "apart")
	git(t, p.work, "commit", "-q", "--allow-empty", "-m", "apart")
	git(t, p.work, "push", "-q", "origin", "HEAD:refs/heads/preview/apart")
	git(t, p.work, "checkout", "-q", "-f", "main")
	odd("preview/apart", "no commit in common")

	for i := range 11 {
		p.branch(t, fmt.Sprintf("preview/n%02d", i), "main", storetest.Tree{"alice/i.html": fmt.Sprint("v", i), "bob/i.html": "b", "carol/i.html": "c"})
	}
	odd(strings.TrimPrefix(alice, "/t/")+"/.preview/n10", "at most 10")
	e.AwaitContent(t, alice+"/.preview/n09", "i.html", "v9")
	p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b", "carol/i.html": "c"})
	e.AwaitContent(t, alice, "i.html", "2")
}

// TestPreviewsOff: without the operator's word a branch is just a branch, also one that
// an earlier run has taken.
func TestPreviewsOff(t *testing.T) {
	p, e, o := previewEdge(t)
	p.branch(t, "preview/red", "main", storetest.Tree{"alice/i.html": "red", "bob/i.html": "b", "carol/i.html": "c"})
	e.AwaitContent(t, red, "i.html", "red")
	e.Stop(t)
	o.Stores[0].Git.Previews = false
	e = storetest.Start(t, o)
	e.AwaitContent(t, alice, "i.html", "1")
	e.Await(t, "the preview is gone", func() bool { return e.Live()[red] == nil })
}

// TestPreviewOfGitTenant: a tenant's own repository has previews of its own.
func TestPreviewOfGitTenant(t *testing.T) {
	p := newGitPlace(t)
	ca, url := p.serveTLS(t)
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{{
		Prefix: strings.TrimSuffix(url, "origin.git"), Poll: p.Store().Poll, GitTenant: &tenantsync.Git{CA: ca, Previews: true},
	}}}
	id := tenant.ID(url)
	p.Deploy(t, storetest.Tree{"i.html": "1"})
	p.branch(t, "preview/red", "main", storetest.Tree{"i.html": "red"})
	e := storetest.Start(t, o)
	e.AwaitMirrored(t)
	e.Want(id)
	e.AwaitContent(t, id, "i.html", "1")
	e.AwaitContent(t, id.Preview("red"), "i.html", "red")
	if _, ok := e.Tenant(id.Preview("red")); !ok {
		t.Error("Tenant does not know the preview")
	}
	e.Stop(t)
	e = storetest.Start(t, o)
	e.AwaitContent(t, id.Preview("red"), "i.html", "red")
	git(t, p.work, "push", "-q", "origin", ":preview/red")
	e.Await(t, "the preview ends", func() bool { return len(e.Live()) == 1 })
}

// TestPreviewsSigned: where commits must be signed, those of previews must.
func TestPreviewsSigned(t *testing.T) {
	key, public := sshKey(t, "ed25519")
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	store := p.Store()
	store.Git.Previews, store.Git.AllowedSigners = true, writeFile(t, "a@example.net "+public)
	p.signedPush(t, key, storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	e.AwaitContent(t, alice, "i.html", "1")
	head := p.branch(t, "preview/red", "main", storetest.Tree{"alice/i.html": "unsigned"})
	e.Await(t, "the refusal", func() bool { return strings.Contains(e.Status().Stores[0].Odd["preview/red"], "not signed") })
	status := e.Status()
	if _, err := status.Progress(tenant.Revision(head)); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("progress of the preview's commit: %v", err)
	}
	if len(e.Live()) != 1 {
		t.Errorf("live: %v", e.Live())
	}
}

// TestPreviewThatMergesAnOldCommit: the branch parted at the newest commit that it has in
// common with main, and not at an older one that a merge brings nearer. Else it would show
// what it has not changed.
func TestPreviewThatMergesAnOldCommit(t *testing.T) {
	p, e, _ := previewEdge(t)
	old := git(t, p.work, "rev-parse", "main")
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b2", "carol/i.html": "c"})
	e.AwaitContent(t, "/t/bob", "i.html", "b2")
	head := p.branch(t, "wip", "main", storetest.Tree{"alice/i.html": "red", "bob/i.html": "b2", "carol/i.html": "c"})
	merge := git(t, p.work, "commit-tree", head+"^{tree}", "-p", head, "-p", old, "-m", "merge what is there already")
	p.Deploy(t, storetest.Tree{"alice/i.html": "1", "bob/i.html": "b3", "carol/i.html": "c"})
	e.AwaitContent(t, "/t/bob", "i.html", "b3")
	git(t, p.work, "push", "-q", "-f", "origin", merge+":refs/heads/preview/red")
	e.AwaitContent(t, red, "i.html", "red")
	e.AwaitLook(t, 2)
	if got := e.Live(); len(got) != 4 {
		t.Errorf("live: %v, want three tenants and alice's preview", got)
	}
}
