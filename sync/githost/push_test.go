package githost_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// TestPush: a push over HTTPS is live when it returns, and says so; so is a
// refusal, and a tenant that leaves.
func TestPush(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) {
		o.Address = func(id tenant.ID) string {
			if id == alice {
				return "https://alice.example"
			}
			return ""
		}
	})
	o.edge.AwaitMirrored(t) // an empty repository is no fault
	c := o.clone(o.with(opsToken))
	c.commit("alice/index.html", "1", "bob/index.html", "1", "README.md", "for people")
	c.push("main", "remote: alice: live at https://alice.example (revision "+c.git("rev-parse", "HEAD")[:12]+")",
		"remote: bob: live (revision", "names /git/bob")
	if got := o.edge.Content(alice, "index.html"); got != "1" {
		t.Errorf("after the push alice shows %q", got)
	}

	a := o.clone(o.with(aliceToken))
	a.commit("alice/index.wasm", "no module")
	a.push("main", "remote: alice: refused: refused: index.wasm is no module", "what was live stays live")
	if got := o.edge.Content(alice, "index.html"); got != "1" || o.edge.Content(alice, "index.wasm") != "" {
		t.Errorf("after a refusal alice shows %q", got)
	}
	a.commit("alice/index.wasm", storetest.Module, "alice/index.html", "2")
	a.push("main", "remote: alice: live at")
	if got := o.edge.Content(alice, "index.html"); got != "2" {
		t.Errorf("after the mending push alice shows %q", got)
	}

	c.git("pull", "-q", "--rebase", "origin", "main")
	c.commit("bob/index.html", "")
	c.push("main", "remote: bob: removed")
	c.commit("README.md", "for more people")
	c.push("main", "no tenant's folder has changed")
	o.fsck()
}

// TestRights: a pusher changes the folders of the file, and nothing else.
func TestRights(t *testing.T) {
	o := newOrigin(t, nil)
	ops := o.clone(o.with(opsToken))
	ops.commit("alice/i", "1", "bob/i", "1", "dave/i", "1")
	ops.push("main")
	before := o.head("main")
	for name, files := range map[string][]string{
		"another's folder":        {"bob/i", "2"},
		"one's own and another's": {"alice/i", "2", "dave/i", "2"},
		"a new tenant":            {"erin/i", "1"},
		"another's removal":       {"bob/i", ""},
		"a file beside":           {"README.md", "x"},
		"a hidden folder":         {".github/x", "x"},
		"a prefix of the name":    {"ali/i", "1"},
	} {
		c := o.clone(o.with(aliceToken))
		c.commit(files...)
		c.refused("main", "not yours to change: alice may write alice", "pre-receive hook declined")
		if o.head("main") != before {
			t.Fatalf("%s: the branch moved", name)
		}
	}
	c := o.clone(o.with(bobToken))
	c.commit("bob/i", "2", "carol/i", "1")
	c.push("main", "remote: bob: live", "remote: carol: live")
	o.clone(o.with(readerToken)) // may read
	r := o.clone(o.with(readerToken))
	r.commit("alice/i", "3")
	r.refused("main", "403")
	for _, url := range []string{o.url, o.with("guess"), o.with("")} {
		if out, err := c.try("ls-remote", url); err == nil {
			t.Errorf("%s let in:\n%s", url, out)
		}
	}
	o.write(o.pushers, "alice token-sha256 nonsense")
	if got := o.status("/git/info/refs?service=git-receive-pack", aliceToken); got != 503 {
		t.Errorf("with a file of pushers that cannot be read: %d", got)
	}
	o.write(o.pushers, pusherLines()[:3]...) // rotated: bob is out
	if got := o.status("/git/info/refs?service=git-receive-pack", bobToken); got != 401 {
		t.Errorf("a pusher taken out of the file gets %d", got)
	}
	o.fsck()
}

// TestBranches: what git and the host refuse of branches.
func TestBranches(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Previews = true })
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main")
	a.commit("alice/i", "2")
	a.push("main")
	for _, ref := range []string{"HEAD:develop", "HEAD:refs/tags/v1", "HEAD:refs/notes/x"} {
		a.refused(ref, "push to main, or to preview/NAME")
	}
	for _, ref := range []string{"HEAD:preview/Nope", "HEAD:preview/a/b", "HEAD:preview/a--b"} {
		a.refused(ref, "the name of a preview has")
	}
	a.refused(":main", "it cannot be deleted")
	a.refused("+HEAD~1:main", "main only moves forwards")
	a.commit("alice/i", "3")
	a.push("HEAD:preview/new-look", "remote: alice, preview new-look: live (revision "+a.git("rev-parse", "HEAD")[:12]+
		"); it has an address below the preview domain once the TXT record of a domain names "+string(alice)+" ")
	if got := o.edge.Content(alice.Preview("new-look"), "i"); got != "3" {
		t.Errorf("the preview shows %q", got)
	}
	if got := o.edge.Content(alice, "i"); got != "2" {
		t.Errorf("a preview changed what is live to %q", got)
	}
	a.git("commit", "-q", "--amend", "-m", "again")
	a.push("+HEAD:preview/new-look")
	a.commit("alice/bad.wasm", "no module")
	a.push("HEAD:preview/new-look", "remote: alice, preview new-look: refused: ")
	a.git("reset", "-q", "--hard", "HEAD~1")
	many := o.clone(o.with(opsToken))
	for i := range 21 {
		many.commit(fmt.Sprintf("t%d/i", i), "1")
	}
	many.push("HEAD:preview/many", "remote: t7, preview many: refused: the branch changes 21 tenants' folders")
	b := o.clone(o.with(bobToken))
	b.commit("alice/i", "bob's")
	b.refused("HEAD:preview/mine", "not yours to change")
	b.refused(":preview/new-look", "not yours to change")
	a.push(":preview/new-look", "remote: alice, preview new-look: removed")
	// In between another one pushed.
	b = o.clone(o.with(bobToken))
	b.commit("bob/i", "1")
	a.push("main")
	b.refused("main", "fetch first")
	b.git("pull", "-q", "--rebase", "origin", "main")
	b.push("main", "remote: bob: live")
	for i := range 2 { // more than there may be, by two pushes
		refs := []string{"push", "origin"}
		for n := range 51 {
			refs = append(refs, fmt.Sprintf("HEAD:refs/heads/preview/p-%d-%d", i, n))
		}
		if out, err := b.try(refs...); (err == nil) != (i == 0) || i == 1 && !strings.Contains(out, "there are 100 previews") {
			t.Errorf("push %d of 51 previews: %v %s", i, err, out)
		}
	}
	o.fsck()
}

// TestRewrites: the operator may allow what git calls a forced update.
func TestRewrites(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Rewrites = true })
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main")
	a.commit("alice/i", "2")
	a.push("main")
	a.push("+HEAD~1:main", "remote: alice: live")
	if got := o.edge.Content(alice, "i"); got != "1" {
		t.Errorf("after a forced push back: %q", got)
	}
}

// TestDepth: folders lie two levels deep.
func TestDepth(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Depth = 2 })
	o.write(o.pushers, strings.Replace(pusherLines()[2], "alice ", "team/alice ", 1), pusherLines()[4])
	ops := o.clone(o.with(opsToken))
	ops.commit("team/alice/i", "1", "team/bob/i", "1", "other/carol/i", "1")
	ops.push("main", "team/alice: live", "team/bob: live", "other/carol: live")
	a := o.clone(o.with(aliceToken))
	a.commit("team/alice/sub/i", "2")
	a.push("main", "remote: team/alice: live")
	for _, name := range []string{"team/bob/i", "team/README", "other/alice/i", "alice/i"} {
		a.commit(name, "mine")
		a.refused("main", "not yours to change")
		a.commit(name, "", "team/alice/i", name)
		a.git("checkout", "-q", "HEAD~2", "--", ".")
		a.commit("team/alice/i", name)
		a.refused("main", "commit ", "not yours to change") // though it is put back
		a.git("reset", "-q", "--hard", "origin/main")
	}
}

// TestLarge: pushes over a megabyte come chunked, and go through; what is larger
// than allowed does not, packed or unpacked.
func TestLarge(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].MaxPush = 8 << 20 })
	noise := make([]byte, 12<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	a := o.clone(o.with(aliceToken))
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		a.git("config", "http.version", version)
		a.commit("alice/large", version+string(noise[:3<<20]))
		a.push("main", "remote: alice: live")
	}
	a.git("config", "http.version", "HTTP/1.1")
	before := o.head("main")
	a.commit("alice/large", string(noise))
	a.refused("main", "pack exceeds maximum allowed size")
	a.git("reset", "-q", "--hard", "HEAD~1")
	a.commit("alice/large", strings.Repeat("bomb", 3<<20))
	a.refused("main", "unpacks to more than 8388608 bytes")
	a.git("reset", "-q", "--hard", "HEAD~1")
	if o.head("main") != before {
		t.Error("the branch moved")
	}
	if left, _ := filepath.Glob(filepath.Join(o.bare(), "objects", "*incoming*")); len(left) > 0 {
		t.Errorf("refused pushes left %v", left)
	}
	a.commit("alice/large", "small again")
	a.push("main", "remote: alice: live")
	o.fsck()
}

// TestFull: a repository that has grown to its bound takes nothing more.
func TestFull(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].MaxSize = 1 << 20 })
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", string(noise[:1000_000]))
	a.push("main")
	a.commit("alice/i", string(noise[500_000:]))
	a.refused("main", "pack exceeds maximum allowed size")
}

// TestMissingObjects: a pack that lacks objects moves no reference. Git's own client
// does not send such a push.
func TestMissingObjects(t *testing.T) {
	o := newOrigin(t, nil)
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1", "alice/j", "not sent")
	pack := a.command("pack-objects", "-q", "--stdout")
	pack.Stdin = strings.NewReader(strings.Join([]string{
		a.git("rev-parse", "HEAD"), a.git("rev-parse", "HEAD^{tree}"), a.git("rev-parse", "HEAD:alice"), a.git("rev-parse", "HEAD:alice/i"),
	}, "\n") + "\n")
	objects, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("0", 40) + " " + a.head() + " refs/heads/main\x00 report-status"
	body := fmt.Sprintf("%04x%s0000%s", len(line)+4, line, objects)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/git/git-receive-pack", strings.NewReader(body))
	req.SetBasicAuth("git", aliceToken)
	rec := httptest.NewRecorder()
	o.Handler().ServeHTTP(rec, req)
	if got := rec.Body.String(); rec.Code != http.StatusOK || !strings.Contains(got, "ng refs/heads/main ") || o.head("main") != "" {
		t.Errorf("a push without all objects: %d %q", rec.Code, got)
	}
	a.push("main", "remote: alice: live") // with all of them
	o.fsck()
}

// TestFsck: malformed objects are refused.
func TestFsck(t *testing.T) {
	o := newOrigin(t, nil)
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.commit("alice/.git-file", "x")
	blob := a.git("rev-parse", "HEAD:alice/i")
	mktree := a.command("mktree")
	mktree.Stdin = strings.NewReader("100644 blob " + blob + "\t.git\n")
	sub, err := mktree.Output()
	if err != nil {
		t.Skip("this git makes no such tree")
	}
	top := a.command("mktree")
	top.Stdin = strings.NewReader("040000 tree " + strings.TrimSpace(string(sub)) + "\talice\n")
	tree, err := top.Output()
	if err != nil {
		t.Fatal(err)
	}
	commit := a.git("commit-tree", "-m", "x", strings.TrimSpace(string(tree)))
	a.refused(commit+":refs/heads/main", "hasDotgit")
}

// TestConcurrent: of pushes at the same time one wins, the others are told, and
// after a rebase all are in.
func TestConcurrent(t *testing.T) {
	o := newOrigin(t, nil)
	ops := o.clone(o.with(opsToken))
	ops.commit("alice/i", "0")
	ops.push("main")
	const n = 4
	clones := make([]*clone, n)
	for i := range clones {
		clones[i] = o.clone(o.with(opsToken))
		clones[i].commit("t"+string(rune('a'+i))+"/i", "1")
	}
	var all sync.WaitGroup
	for _, c := range clones {
		all.Go(func() {
			deadline := time.Now().Add(storetest.Patience)
			for {
				out, err := c.try("push", "origin", "main")
				if err == nil {
					c.wants(out, []string{": live (revision"})
					return
				}
				if time.Now().After(deadline) {
					t.Errorf("%v %s", err, out)
					return
				}
				if out, err := c.try("pull", "-q", "--rebase", "origin", "main"); err != nil {
					t.Errorf("%v %s", err, out)
					return
				}
			}
		})
	}
	all.Wait()
	if got := len(o.edge.Live()); got != n+1 {
		t.Errorf("%d tenants live, want %d", got, n+1)
	}
	o.fsck()
}

// TestUndecided: a release that takes too long does not keep the pusher.
func TestUndecided(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Wait = 300 * time.Millisecond })
	free := make(chan struct{})
	t.Cleanup(func() { close(free) })
	o.edge.Hold = func(ctx context.Context, _ *tenant.Snapshot) error {
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main", "remote: alice: taken, and not live yet")
}

// TestHostFault: a fault of the edge's own is no refusal.
func TestHostFault(t *testing.T) {
	o := newOrigin(t, nil)
	o.edge.Hold = func(context.Context, *tenant.Snapshot) error { return errors.New("no memory") }
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main", "remote: alice: not live yet, this edge tries again: no memory; nothing is live")
}

// TestAnotherEdge: an edge that follows as any git store does, with a token.
func TestAnotherEdge(t *testing.T) {
	o := newOrigin(t, nil)
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main")
	token, ca := filepath.Join(t.TempDir(), "token"), ""
	o.write(token, readerToken)
	for _, v := range o.env {
		if name, ok := strings.CutPrefix(v, "GIT_SSL_CAINFO="); ok {
			ca = name
		}
	}
	second := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{{
		Prefix: "/git/", Poll: 50 * time.Millisecond, Git: &tenantsync.Git{URL: o.url, TokenFile: token, CA: ca},
	}}})
	second.AwaitContent(t, alice, "i", "1")
	a.commit("alice/i", "2")
	a.push("main")
	second.AwaitContent(t, alice, "i", "2")
}
