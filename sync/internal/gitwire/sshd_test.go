package gitwire

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// daemon is OpenSSH's server, with a host key of each type and a git repository.
type daemon struct {
	t    *testing.T
	dir  string
	addr string
	url  string
	head string // of main
}

const sshdPath = "/usr/sbin/sshd" // it wants to be called by its path

func startSSHD(t *testing.T) *daemon {
	t.Helper()
	if _, err := os.Stat(sshdPath); err != nil || os.Getuid() != 0 {
		t.Skip("wants openssh-server and root")
	}
	d := &daemon{t: t, dir: t.TempDir()}
	t.Setenv("HOME", d.path("home"))
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("SSH_KNOWN_HOSTS", "")
	d.run("", "mkdir", "-p", d.path("home/.ssh"), "/run/sshd")
	for _, key := range []string{"ed25519", "rsa", "ecdsa"} {
		d.run("", "ssh-keygen", "-q", "-t", key, "-N", "", "-f", d.path("host_"+key))
	}
	d.run("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d.path("key"))
	d.run("", "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", d.path("locked"))
	d.run("", "sh", "-c", "cat key.pub locked.pub >authorized")
	d.run("", "git", "init", "-q", "-b", "main", "repo")
	d.run("repo", "git", "-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-q", "--allow-empty", "-m", "first")
	d.head = d.run("repo", "git", "rev-parse", "HEAD")

	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = ln.Addr().String()
	d.url = "ssh://root@" + d.addr + d.path("repo/.git")
	_, port, _ := strings.Cut(d.addr, ":")
	_ = ln.Close()
	d.write("sshd_config", fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nStrictModes no\nPidFile none\nPermitRootLogin yes\nAuthorizedKeysFile %s\nPasswordAuthentication no\n"+
		"HostKey %s\nHostKey %s\nHostKey %s\n", port, d.path("authorized"), d.path("host_ed25519"), d.path("host_rsa"), d.path("host_ecdsa")))
	cmd := exec.Command(sshdPath, "-D", "-e", "-f", d.path("sshd_config"))
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", d.addr)
		if err == nil {
			_ = conn.Close()
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not listen: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

func (d *daemon) write(name, text string) string {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return d.path(name)
}

func (d *daemon) run(dir, name string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = d.path(dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// knows writes a file that has the host's keys of some types.
func (d *daemon) knows(types ...string) string {
	d.t.Helper()
	var lines strings.Builder
	host, port, _ := strings.Cut(d.addr, ":")
	for _, key := range types {
		pub, err := os.ReadFile(d.path("host_" + key + ".pub"))
		if err != nil {
			d.t.Fatal(err)
		}
		fmt.Fprintf(&lines, "[%s]:%s %s", host, port, pub)
	}
	return d.write("known_"+strings.Join(types, "_"), lines.String())
}

// list is the commit of main, or why not.
func (d *daemon) list(a Auth) (string, error) {
	r, err := New(Options{URL: d.url, Auth: a})
	if err == nil {
		err = r.Prepare()
	}
	if err != nil {
		return "", err
	}
	refs, err := r.List(d.t.Context(), isMain)
	if err != nil {
		return "", err
	}
	return refs.At[main].String(), nil
}

// TestSSHD: one host key of several is enough, keys are found where ssh finds them, and
// what is missing is named.
func TestSSHD(t *testing.T) {
	d := startSSHD(t)
	key := d.path("key")
	good := func(name string, a Auth) {
		t.Helper()
		if got, err := d.list(a); got != d.head {
			t.Errorf("%s: got %q, %v, want %s", name, got, err, d.head)
		}
	}
	bad := func(name string, a Auth, want ...string) {
		t.Helper()
		_, err := d.list(a)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q", name, err, w)
			}
		}
	}
	for _, types := range [][]string{{"ed25519"}, {"rsa"}, {"ecdsa"}, {"rsa", "ed25519"}} {
		good(fmt.Sprint("known ", types), Auth{SSHKey: key, KnownHosts: d.knows(types...)})
	}
	hosts := d.knows("rsa")
	ca := d.run("", "cat", "host_ed25519.pub")
	good("a certificate authority, and the key", Auth{SSHKey: key, KnownHosts: d.write("known_ca", "@cert-authority * "+ca+"\n"+d.run("", "cat", hosts)+"\n")})

	bad("no known host", Auth{SSHKey: key, KnownHosts: d.write("known_none", "")}, "shows the host key", "known_none has none for it: compare the key")
	other := strings.Replace(d.run("", "cat", hosts), strings.Fields(d.run("", "cat", "host_rsa.pub"))[1], strings.Fields(d.run("", "cat", "key.pub"))[1], 1)
	bad("another key", Auth{SSHKey: key, KnownHosts: d.write("known_other", strings.Replace(other, "ssh-rsa", "ssh-ed25519", 1)+"\n")}, "known_other has another: if the server was given a new key")
	bad("no file of known hosts", Auth{SSHKey: key, KnownHosts: d.path("nothing")}, "origin's known hosts: ", "nothing: no such file")
	bad("no file of the user's", Auth{SSHKey: key}, "name the file with known_hosts")
	bad("a passphrase", Auth{SSHKey: d.path("locked"), KnownHosts: hosts}, "locked has a passphrase, which nobody is there to type", "ssh-keygen -p")

	// Without ssh_key, known_hosts counts all the same.
	bad("no key", Auth{KnownHosts: hosts}, "no ssh key for the origin: name one with ssh_key")
	d.run("", "cp", "locked", "home/.ssh/id_rsa")
	bad("the user's key has a passphrase", Auth{KnownHosts: hosts}, "(not tried: "+d.path("home/.ssh/id_rsa")+" has a passphrase)")
	d.run("", "cp", "key", "home/.ssh/id_ed25519")
	good("the user's key", Auth{KnownHosts: hosts})
	d.run("", "cp", hosts, "home/.ssh/known_hosts")
	good("the user's key and known hosts", Auth{})
	bad("known_hosts counts", Auth{KnownHosts: d.path("known_none")}, "known_none has none for it")
	d.run("", "rm", "home/.ssh/id_ed25519")

	agent := exec.Command("ssh-agent", "-D", "-a", d.path("agent"))
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	t.Setenv("SSH_AUTH_SOCK", d.path("agent"))
	deadline := time.Now().Add(30 * time.Second)
	for _, err := os.Stat(d.path("agent")); err != nil && time.Now().Before(deadline); _, err = os.Stat(d.path("agent")) {
		<-time.After(10 * time.Millisecond)
	}
	bad("an empty agent", Auth{KnownHosts: hosts}, "root@"+d.addr, "unable to authenticate", "id_rsa has a passphrase)")
	d.write("askpass", "#!/bin/sh\necho secret\n")
	d.run("", "chmod", "+x", "askpass")
	d.run("", "env", "SSH_ASKPASS_REQUIRE=force", "SSH_ASKPASS="+d.path("askpass"), "ssh-add", "-q", "home/.ssh/id_rsa")
	good("the agent's key", Auth{KnownHosts: hosts})
	t.Setenv("SSH_AUTH_SOCK", d.path("no-agent"))
	bad("no agent there", Auth{KnownHosts: hosts}, "ssh agent "+d.path("no-agent")+": ", "id_rsa has a passphrase)")
}
