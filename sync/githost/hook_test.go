package githost_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/sync/githost"
)

// TestHooksThatDoNotRun: whatever becomes of the hooks, a push that was not checked
// moves nothing.
func TestHooksThatDoNotRun(t *testing.T) {
	for name, spoil := range map[string]func(hook func(string) string) error{
		"no check": func(hook func(string) string) error { return os.Remove(hook("pre-receive")) },
		"a foreign check": func(hook func(string) string) error {
			return os.WriteFile(hook("pre-receive"), []byte("#!/bin/sh\n"), 0o700)
		},
		"a check without x": func(hook func(string) string) error { return os.Chmod(hook("pre-receive"), 0o600) },
		"no move":           func(hook func(string) string) error { return os.Remove(hook("proc-receive")) },
		"a foreign move": func(hook func(string) string) error {
			return os.WriteFile(hook("proc-receive"), []byte(foreignMove), 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, nil)
			a := o.clone(o.with(aliceToken))
			a.commit("alice/i", "1")
			a.push("main")
			before := o.head("main")
			if err := spoil(func(hook string) string { return filepath.Join(o.dir, "hooks", hook) }); err != nil {
				t.Fatal(err)
			}
			a.commit("alice/i", "2", "bob/i", "not alice's")
			for _, ref := range []string{"main", "HEAD:refs/heads/develop"} {
				if out, err := a.try("push", "origin", ref); err == nil && name != "a foreign move" {
					t.Errorf("pushing %s went through:\n%s", ref, out)
				}
			}
			if got := a.git("ls-remote", "origin"); got != before+"\tHEAD\n"+before+"\trefs/heads/main" {
				t.Errorf("the repository has\n%s\nwant main at %s", got, before)
			}
		})
	}
}

// foreignMove answers git as if it had moved what it was asked to.
const foreignMove = "#!/bin/sh\nprintf '000eversion=1\\n0000'; printf '0017ok refs/heads/main\\n0000'; cat >/dev/null\n"

// TestRelativeFolder: the folder of the repositories may be named from where the
// process runs.
func TestRelativeFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("pushers", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := githost.New(githost.Options{Dir: "hosted", Releases: noReleases{}, Repos: []githost.Repo{{Prefix: "/git/", Pushers: "pushers"}}})
	if err != nil {
		t.Fatal(err)
	}
	o := serve(t, h)
	o.write("pushers", pusherLines()...)
	a := o.clone(o.with(aliceToken))
	a.commit("bob/i", "1")
	a.refused("main", "bob: not yours to change")
	if o.dir = "hosted"; o.head("main") != "" {
		t.Error("the branch moved")
	}
}

// TestInjectedUpdates: git hands the names of references to hooks as they were sent.
// One with a line break makes lines that look like further updates.
func TestInjectedUpdates(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Previews = true })
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main")
	before := a.git("rev-parse", "HEAD")
	out := filepath.Join(t.TempDir(), "written")
	for _, inject := range []string{"--output=" + out + " " + strings.Repeat("0", 40) + " refs/heads/preview/x", before + " main refs/heads/main", before + " " + before + " HEAD"} {
		ref := "refs/heads/main\n" + inject
		line := before + " " + before + " " + ref + "\x00 report-status"
		body := fmt.Sprintf("%04x%s0000", len(line)+4, line)
		pack := a.command("pack-objects", "-q", "--stdout")
		pack.Stdin = strings.NewReader("")
		empty, err := pack.Output()
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/git/git-receive-pack", strings.NewReader(body+string(empty)))
		req.SetBasicAuth("git", aliceToken)
		rec := httptest.NewRecorder()
		o.Handler().ServeHTTP(rec, req)
		if got := rec.Body.String(); strings.Contains(got, "ok refs/heads/main") {
			t.Errorf("%q: %q", inject, got)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q was an option of git", inject)
		}
		if o.head("main") != before {
			t.Errorf("%q moved the branch", inject)
		}
	}
}

// TestStrangeFolder: neither a folder's name nor a prefix of several elements is
// anything else to git.
func TestStrangeFolder(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) {
		o.Dir = filepath.Join(o.Dir, `a:b "c" 100%2F ?#\d`)
		o.Repos[0].Prefix = "/git/team/"
	})
	o.url = strings.TrimSuffix(o.url, "/git") + "/git/team"
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.push("main", "remote: alice: live (revision")
	a.commit("alice/i", "2")
	a.push("main", "remote: alice: live (revision")
	a.commit("bob/i", "1")
	a.refused("main", "bob: not yours to change")
	if got := o.edge.Content("/git/team/alice", "i"); got != "2" {
		t.Errorf("alice shows %q", got)
	}
}
