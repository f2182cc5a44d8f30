package githost_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/sync/storetest"
)

// newKey makes a key pair: the file of the private key, the line of the public one.
func newKey(t *testing.T) (file, line string, signer ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), signer
}

// overSSH has git push with openssh and the key; it returns the URL.
func (o *origin) overSSH(key string) string {
	o.t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		o.t.Skip("wants the openssh client")
	}
	hosts := filepath.Join(o.t.TempDir(), "known_hosts")
	o.write(hosts, knownhosts.Line([]string{o.SSHAddr().String()}, o.HostKey()))
	o.env = append(o.env, "GIT_SSH_COMMAND=ssh -F none -o IdentitiesOnly=yes -o BatchMode=yes -i "+key+" -o UserKnownHostsFile="+hosts)
	return "ssh://git@" + o.SSHAddr().String() + "/git"
}

// TestSSH pushes and fetches with openssh.
func TestSSH(t *testing.T) {
	o := newOrigin(t, nil)
	key, line, _ := newKey(t)
	other, _, _ := newKey(t)
	o.write(o.pushers, "alice "+line+" alice@laptop", pusherLines()[4])
	url := o.overSSH(key)
	a := o.clone(url)
	noise := make([]byte, 3<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	a.commit("alice/i", "1", "alice/large", string(noise))
	a.push("main", "remote: alice: live (revision")
	a = o.clone(url + ".git")
	a.commit("alice/i.wasm", "no module")
	a.push("main", "remote: alice: refused: ", "what was live stays live")
	a.commit("bob/i", "mine")
	a.refused("main", "not yours to change: alice@laptop may write alice")
	if out, err := a.try("ls-remote", strings.TrimSuffix(url, "git")+"../etc"); err == nil || !strings.Contains(out, "there is no repository") {
		t.Errorf("another repository: %v %s", err, out)
	}
	o.overSSH(other)
	a.refused("main", "Permission denied (publickey)")
	info, err := os.Stat(filepath.Join(o.dir, "ssh_host_ed25519"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("host key: %v %v", info.Mode(), err)
	}
	o.fsck()
}

// dial logs in by ssh.
func (o *origin) dial(signer ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", o.SSHAddr().String(), &ssh.ClientConfig{
		User: "git", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(o.HostKey()), Timeout: 2 * time.Minute,
	})
}

// TestSSHNothingElse: there is no shell, no other command, no forwarding.
func TestSSHNothingElse(t *testing.T) {
	o := newOrigin(t, nil)
	_, line, signer := newKey(t)
	o.write(o.pushers, "- "+line)
	c, err := o.dial(signer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test
	session := func() *ssh.Session {
		t.Helper()
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := session().Shell(); err == nil {
		t.Error("there is a shell")
	}
	for _, command := range []string{"id", "git-upload-pack '/git'; id", "git-upload-archive '/git'", "git-receive-pack '/git'", "git-upload-pack '/git/../git'",
		"git-upload-pack --help", "git upload-pack /git", ""} {
		out, err := session().CombinedOutput(command)
		if exit := (&ssh.ExitError{}); !errors.As(err, &exit) || exit.ExitStatus() != 1 || strings.Contains(string(out), "uid=") {
			t.Errorf("%q: %v %s", command, err, out)
		}
	}
	if _, err := c.Dial("tcp", o.SSHAddr().String()); err == nil {
		t.Error("connections are forwarded")
	}
	if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("ports are forwarded back")
	}
	if err := session().RequestSubsystem("sftp"); err == nil {
		t.Error("there is a subsystem")
	}
	if ok, err := session().SendRequest("pty-req", true, nil); ok || err != nil {
		t.Errorf("there is a terminal: %v", err)
	}
}

// TestSSHBounds: guesses are counted, and at some point not listened to.
func TestSSHBounds(t *testing.T) {
	o := newOrigin(t, nil)
	_, line, good := newKey(t)
	o.write(o.pushers, "alice "+line)
	c, err := o.dial(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for range 10 {
		_, _, bad := newKey(t)
		if _, err := o.dial(bad); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
			t.Fatalf("a wrong key: %v", err)
		}
	}
	deadline := time.Now().Add(storetest.Patience)
	for {
		_, err = o.dial(good)
		if errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "EOF") || time.Now().After(deadline) {
			break
		}
	}
	if err == nil {
		t.Error("after ten wrong keys the network is still listened to")
	}
}

// TestSSHSilent: one who comes and says nothing is sent away, and is no guess.
func TestSSHSilent(t *testing.T) {
	o := newOrigin(t, nil)
	for range 11 {
		silent, err := net.Dial("tcp", o.SSHAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close() //nolint:errcheck // a test
		if err := silent.SetReadDeadline(time.Now().Add(storetest.Patience)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := io.Copy(io.Discard, silent); err != nil { // until it is closed
				t.Error(err)
			}
		}()
	}
	_, line, signer := newKey(t)
	o.write(o.pushers, "alice "+line)
	c, err := o.dial(signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestHTTPBounds: likewise over HTTP.
func TestHTTPBounds(t *testing.T) {
	o := newOrigin(t, nil)
	const path = "/git/info/refs?service=git-upload-pack"
	if got := o.status(path, readerToken); got != 200 {
		t.Fatalf("a reader gets %d", got)
	}
	for range 20 { // how each fetch begins
		if got := o.status(path, ""); got != 401 {
			t.Fatalf("without a token: %d", got)
		}
	}
	for i := range 10 {
		if got := o.status(path, "guess"); got != 401 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	for _, token := range []string{"guess", readerToken} {
		if got := o.status(path, token); got != 429 {
			t.Errorf("after ten guesses: %d", got)
		}
	}
	for path, want := range map[string]int{
		"/": 404, "/git": 404, "/git/info/refs": 404, "/git/info/refs?service=git-upload-archive": 404, "/other/info/refs?service=git-upload-pack": 404,
		"/../git/HEAD": 404, "/git/objects/info/packs": 404, "/git/config": 404,
	} {
		if got := o.status(path, readerToken); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// TestSigned: where signers are demanded, what none of them signed moves nothing.
func TestSigned(t *testing.T) {
	key, line, _ := newKey(t)
	foreign, _, _ := newKey(t)
	signers := filepath.Join(t.TempDir(), "signers")
	o := newOrigin(t, func(opts *githost.Options) { opts.Repos[0].AllowedSigners, opts.Repos[0].Previews = signers, true })
	o.write(signers, "alice@example.net "+line)
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "1")
	a.refused("main", "it is not signed")
	sign := func(key string) {
		a.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "-q", "--amend", "-S", "-m", "signed")
	}
	sign(foreign)
	a.refused("main", "signed by a key that is not allowed")
	a.refused("HEAD:preview/x", "signed by a key that is not allowed")
	if o.head("main") != "" {
		t.Error("the branch moved")
	}
	sign(key)
	a.push("main", "remote: alice: live")
}
