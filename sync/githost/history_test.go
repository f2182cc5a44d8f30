package githost_test

import (
	"strings"
	"testing"

	"github.com/terrane/terrane/sync/githost"
)

// TestForeignHistory: what a push leaves as it is at its end, it may not change in between
// either. An edge goes back in the history, and previews begin anywhere in it.
func TestForeignHistory(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Previews = true })
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main")
	start := func() (b *clone, main string) {
		b = o.clone(o.with(bobToken))
		return b, b.git("rev-parse", "HEAD")
	}
	tree := func(c *clone, tree string, parents ...string) {
		args := []string{"commit-tree", "-m", "merge", tree}
		for _, p := range parents {
			args = append(args, "-p", p)
		}
		c.git("reset", "-q", "--hard", c.git(args...))
	}

	b, _ := start()
	b.commit("alice/i", "bob's")
	b.commit("alice/i", "1", "bob/i", "1")
	b.refused("main", "alice: not yours to change", "commit ")

	b, main := start()
	b.commit("bob/i", "1")
	good := b.git("rev-parse", "HEAD^{tree}")
	b.git("reset", "-q", "--hard", main)
	b.commit("alice/i", "bob's")
	evil := b.git("rev-parse", "HEAD")
	for _, parents := range [][]string{{main, evil}, {evil, main}} {
		tree(b, good, parents...)
		b.refused("main", "alice: not yours to change", "commit ")
	}
	b.git("checkout", "-q", "--orphan", "other")
	b.commit("alice/i", "bob's")
	tree(b, good, main, b.git("rev-parse", "HEAD"))
	b.refused("main", "alice: not yours to change")
	b.refused("HEAD:preview/x", "alice: not yours to change")

	// A merge of what others have done is no change of bob's.
	b, _ = start()
	b.commit("bob/i", "1")
	a.commit("alice/i", "2")
	a.push("main")
	b.git("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
	b.push("main", "remote: bob: live")

	// Nobody ends another's preview by a merge that leaves its content out.
	a.git("pull", "-q", "--rebase", "origin", "main")
	a.commit("alice/i", "3")
	a.push("HEAD:preview/red", "remote: alice, preview red: live")
	tip := o.head("preview/red")
	b.git("fetch", "-q", "origin")
	b.git("merge", "-q", "-s", "ours", "-m", "ours", "origin/preview/red")
	b.refused("main", "preview/red", "alice")
	b.refused("HEAD:main", "alice")
	b.refused(":preview/red", "not yours to change")
	if got := o.head("preview/red"); got != tip {
		t.Errorf("the preview is at %q", got)
	}
	if got := o.edge.Content(alice.Preview("red"), "i"); strings.TrimSpace(got) != "3" {
		t.Errorf("the preview shows %q", got)
	}
	ops := o.clone(o.with(opsToken))
	ops.git("merge", "-q", "-s", "ours", "-m", "ours", "origin/preview/red")
	ops.push("main") // who may write all may
}
