package sync_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// sshKey makes a key pair and returns the private key's file and the public key.
func sshKey(t *testing.T, kind ...string) (file, public string) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen")
	}
	file = filepath.Join(t.TempDir(), "key")
	args := append([]string{"-q", "-N", "", "-C", "", "-f", file, "-t"}, kind...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	data, err := os.ReadFile(file + ".pub")
	check(t, err)
	return file, strings.TrimSpace(string(data))
}

// signedPush commits the tree, signed with the key unless that is empty.
func (p *gitPlace) signedPush(t *testing.T, key string, tree storetest.Tree) string {
	t.Helper()
	syncTree(t, p.work, tree)
	git(t, p.work, "add", "-A", "-f")
	args := []string{"commit", "-q", "--allow-empty", "-m", "deploy"}
	if key != "" {
		args = append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, append(args, "-S")...)
	}
	git(t, p.work, args...)
	git(t, p.work, "push", "-q", "-f", "origin", "HEAD:main")
	return git(t, p.work, "rev-parse", "HEAD")
}

// TestSigned: with allowed signers, only what one of them signed goes live, and
// nothing older than what was.
func TestSigned(t *testing.T) {
	good, goodPub := sshKey(t, "ed25519")
	rsa, rsaPub := sshKey(t, "rsa", "-b", "2048")
	ecdsa, ecdsaPub := sshKey(t, "ecdsa")
	foreign, foreignPub := sshKey(t, "ed25519")
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	signers := filepath.Join(t.TempDir(), "allowed")
	allow := func(lines ...string) { check(t, os.WriteFile(signers, []byte(strings.Join(lines, "\n")), 0o600)) }
	allow("# who may deploy", "", "a@example.net "+goodPub, `b@example.net namespaces="git,file",valid-after="20200101" `+rsaPub,
		"c@example.net "+ecdsaPub, `d@example.net namespaces="file" `+foreignPub, `e@example.net valid-before="20200101Z" `+foreignPub)
	store := p.Store()
	store.Git.AllowedSigners = signers
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}}

	site := func(v string) storetest.Tree { return storetest.Tree{"alice/i.html": v} }
	p.signedPush(t, "", site("unsigned"))
	e := storetest.Start(t, o)
	refused := func(want string) {
		t.Helper()
		e.Await(t, want, func() bool {
			st := e.Status().Stores[0]
			return st.Reachable && (strings.Contains(st.Refused, want) || strings.Contains(st.Error, want))
		})
	}
	refused("not signed")
	if len(e.Live()) != 0 {
		t.Fatalf("live: %v", e.Live())
	}
	first := p.signedPush(t, good, site("1"))
	e.AwaitContent(t, alice, "i.html", "1")
	p.signedPush(t, rsa, site("2"))
	e.AwaitContent(t, alice, "i.html", "2")
	last := p.signedPush(t, ecdsa, site("3"))
	e.AwaitContent(t, alice, "i.html", "3")

	p.signedPush(t, foreign, site("foreign"))
	refused("a key that is not allowed")
	p.signedPush(t, "", site("unsigned"))
	refused("not signed")
	git(t, p.work, "push", "-q", "-f", "origin", first+":main")
	refused("does not come after")
	replayed := func() {
		t.Helper()
		if e.Content(alice, "i.html") != "3" || e.Status().Stores[0].Head != last {
			t.Errorf("live: %q, status %+v", e.Content(alice, "i.html"), e.Status().Stores[0])
		}
	}
	replayed()
	e.Stop(t)

	// A replay waits for a restart that has lost the mirror of the repository.
	check(t, os.RemoveAll(filepath.Join(o.Data, "git", "%2Ft%2F")))
	e = storetest.Start(t, o)
	e.AwaitMirrored(t)
	refused("does not come after")
	if e.Content(alice, "i.html") != "3" {
		t.Errorf("live after a restart: %q", e.Content(alice, "i.html"))
	}

	// A signature that is moved to another tree.
	git(t, p.work, "reset", "-q", "--hard", last)
	raw := git(t, p.work, "cat-file", "commit", last)
	other := git(t, p.work, "rev-parse", first+"^{tree}")
	forged := strings.Replace(raw, git(t, p.work, "rev-parse", last+"^{tree}"), other, 1)
	forged = strings.Replace(forged, "\ngpgsig ", "\nparent "+last+"\ngpgsig ", 1)
	h := hashObject(t, p, "commit", forged+"\n")
	git(t, p.work, "push", "-q", "-f", "origin", h+":main")
	refused("does not hold")

	// A line of the file that is not understood narrows to nothing.
	allow("a@example.net cert-authority " + goodPub)
	p.signedPush(t, good, site("4"))
	e.Await(t, "the file is shown as broken", func() bool {
		return strings.Contains(e.Status().Stores[0].Error, "line 1")
	})
	allow("a@example.net " + goodPub)
	e.Nudge("")
	e.AwaitContent(t, alice, "i.html", "4")
}

// TestFastForward: without signatures, and no way back.
func TestFastForward(t *testing.T) {
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	store := p.Store()
	store.Git.FastForward = true
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	e.AwaitContent(t, alice, "i.html", "1")
	p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
	e.AwaitContent(t, alice, "i.html", "2")
	git(t, p.work, "push", "-q", "-f", "origin", "HEAD~1:main")
	e.Await(t, "the refusal", func() bool { return strings.Contains(e.Status().Stores[0].Refused, "does not come after") })
	for commit, want := range map[string]string{"HEAD~1": "is not taken: it does not come after", "HEAD": ""} { // the refusal names both
		status := e.Status()
		live, err := status.Progress(tenant.Revision(git(t, p.work, "rev-parse", commit)))
		if live != (want == "") || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("progress of %s: %v, %v; want %q", commit, live, err, want)
		}
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "3"})
	e.AwaitContent(t, alice, "i.html", "3")
	if r := e.Status().Stores[0]; r.Refused != "" {
		t.Errorf("the refusal stays: %+v", r)
	}
}

// TestSignedOpenPGP uses a key that gpg made for the occasion.
func TestSignedOpenPGP(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("no gpg")
	}
	home, err := os.MkdirTemp("", "gpg") //nolint:usetesting // its sockets want a short path
	check(t, err)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		check(t, os.RemoveAll(home))
	})
	t.Setenv("GNUPGHOME", home)
	gpg := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "gpg", append([]string{"--batch", "-q"}, args...)...).Output()
		check(t, err)
		return string(out)
	}
	gpg("--passphrase", "", "--quick-gen-key", "t@example.net", "ed25519", "sign")
	keys := filepath.Join(t.TempDir(), "keys.asc")
	check(t, os.WriteFile(keys, []byte(gpg("--armor", "--export")), 0o600))
	p := newGitPlace(t)
	p.url = "file://" + p.bare
	store := p.Store()
	store.Git.SignerKeys = keys
	syncTree(t, p.work, storetest.Tree{"alice/i.html": "1"})
	git(t, p.work, "add", "-A", "-f")
	git(t, p.work, "-c", "user.signingkey=t@example.net", "commit", "-q", "-S", "-m", "signed")
	git(t, p.work, "push", "-q", "-f", "origin", "HEAD:main")
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	e.AwaitContent(t, alice, "i.html", "1")
	p.Deploy(t, storetest.Tree{"alice/i.html": "unsigned"})
	e.Await(t, "the refusal", func() bool { return strings.Contains(e.Status().Stores[0].Refused, "not signed") })
}
