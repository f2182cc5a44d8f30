package githost_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

const sites = "https://git.example/sites/"

// TestOwnRepositories: where each tenant has a repository, pushers read and write their
// own, over HTTPS and ssh, and cannot tell another's from none.
func TestOwnRepositories(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) {
		o.Repos[0].Prefix, o.Repos[0].PerTenant, o.Repos[0].Previews = sites, true, true
	})
	key, line, _ := newKey(t)
	o.write(o.pushers, append(pusherLines(), "alice "+line+" alice@laptop")...)
	o.overSSH(key)
	https := func(token, name string) string {
		return strings.TrimSuffix(o.with(token), "git") + "sites/" + name
	}
	ssh := "ssh://git@" + o.SSHAddr().String() + "/sites/"

	a := o.clone(https(aliceToken, "alice"))
	a.commit("index.html", "1", "README.md", "for people")
	a.push("main", "remote: alice: live (revision "+a.git("rev-parse", "HEAD")[:12]+"); a domain shows it once its TXT record names "+sites+"alice")
	if got := o.edge.Content(sites+"alice", "index.html"); got != "1" {
		t.Errorf("alice shows %q", got)
	}
	a.git("remote", "set-url", "origin", ssh+"alice.git")
	a.commit("index.wasm", "no module")
	a.push("main", "remote: alice: refused: ", "what was live stays live")
	a.git("reset", "-q", "--hard", "HEAD~1")
	a.commit("index.html", "2")
	a.push("HEAD:refs/heads/preview/red", "remote: alice, preview red: live")
	a.refused("+HEAD~1:main", "main only moves forwards")
	a.refused("HEAD:refs/heads/develop", "refs/heads/develop is not served")

	b := o.clone(https(bobToken, "bob"))
	b.commit("index.html", "bob's")
	b.push("main", "remote: bob: live")
	for _, url := range []string{https(bobToken, "alice"), https(bobToken, "nobody"), https(bobToken, ""), https(bobToken, "../git")} {
		for _, args := range [][]string{{"ls-remote", url}, {"push", url, "HEAD:main"}} {
			if out, err := b.try(args...); err == nil || !strings.Contains(out, "not found") {
				t.Errorf("bob: git %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	for _, url := range []string{ssh + "bob", ssh + "nobody"} {
		for _, args := range [][]string{{"ls-remote", url}, {"push", url, "HEAD:main"}} {
			if out, err := a.try(args...); err == nil || !strings.Contains(out, "there is no repository") {
				t.Errorf("alice: git %s: %v\n%s", strings.Join(args, " "), err, out)
			}
		}
	}
	// An operator reads and writes all, another edge reads all, and neither finds what is not there.
	ops := o.clone(https(opsToken, "bob"))
	ops.commit("index.html", "mended")
	ops.push("main", "remote: bob: live")
	o.clone(https(readerToken, "alice"))
	if out, err := ops.try("ls-remote", https(readerToken, "nobody")); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("a repository that nobody made: %v\n%s", err, out)
	}
	if out, err := ops.try("push", https(readerToken, "alice"), "HEAD:main"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("another edge pushes: %v\n%s", err, out)
	}
	if made, _ := filepath.Glob(filepath.Join(o.dir, "*", "*.git")); len(made) != 2 {
		t.Errorf("there are %d repositories, want those of alice and bob: %v", len(made), made)
	}
}

// TestOwnRepositoriesElsewhere: another edge follows them as any tenants' repositories.
func TestOwnRepositoriesElsewhere(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) {
		o.Repos[0].Prefix, o.Repos[0].PerTenant = "https://127.0.0.1/", true
	})
	base := strings.TrimSuffix(o.url, "git")
	a := o.clone(strings.TrimSuffix(o.with(aliceToken), "git") + "alice")
	a.commit("index.html", "1")
	a.push("main", "remote: alice: live")
	token, ca := filepath.Join(t.TempDir(), "token"), ""
	o.write(token, readerToken)
	for _, v := range o.env {
		if name, ok := strings.CutPrefix(v, "GIT_SSL_CAINFO="); ok {
			ca = name
		}
	}
	id := tenant.ID(base + "alice")
	second := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{{
		Prefix: base, Poll: 50 * time.Millisecond, GitTenant: &tenantsync.Git{TokenFile: token, CA: ca},
	}}})
	second.Want(id)
	second.AwaitContent(t, id, "index.html", "1")
	a.commit("index.html", "2")
	a.push("main")
	second.AwaitContent(t, id, "index.html", "2")
}

// TestOwnPushers: names that can be no repository are faults of the file.
func TestOwnPushers(t *testing.T) {
	o := &origin{t: t}
	file := filepath.Join(t.TempDir(), "pushers")
	for name, ok := range map[string]bool{"alice": true, "alice,bob": true, "*": true, "-": true, "a/b": false, "alice.git": false, "a%62": false, ".x": false, "a@b": false, "": false} {
		o.write(file, name+" token-sha256 "+strings.Repeat("ab", 32))
		if _, err := githost.ReadPushers(file, sites); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
