package edge_test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/tenant"
)

// TestGitHost pushes to an edge that is the origin itself, at its HTTPS listener and
// by ssh.
func TestGitHost(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const token = "5f70bf18a086007016e948b0"
	pushers := file("pushers", fmt.Sprintf("alice token-sha256 %x alice\n", sha256.Sum256([]byte(token))))
	e := edgetest.Start(t, func(c *config.Config) {
		c.Stores = []config.Store{{Kind: "git", Prefix: "/git/", Branch: "main", Depth: 1, Serve: true, Pushers: pushers}}
		c.Git = config.Git{Host: "git.example", SSHListen: "127.0.0.1:0"}
	}, func(e *edgetest.Edge) {
		e.Domain("alice.example", "terrane=/git/alice/")
		e.Domain("git.example", "terrane=/git/alice/") // as if it were a tenant's
	})
	<-e.GitHost.Ready()
	_, https := e.Server.Addrs()
	_, port, err := net.SplitHostPort(https[0].String())
	if err != nil {
		t.Fatal(err)
	}
	root := file("root.pem", string(e.Authority.RootPEM()))
	work := filepath.Join(dir, "work")
	git := func(args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{
			"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "http.curloptResolve=git.example:" + port + ":127.0.0.1",
			"-c", "credential.helper=!printf 'username=git\\npassword=" + token + "\\n' #",
		}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_SSL_CAINFO="+root, "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := git(args...)
		if err != nil {
			t.Fatalf("git %s: %v\n%s\n%s", strings.Join(args, " "), err, out, e.Log)
		}
		return out
	}
	must("clone", "--quiet", "https://git.example:"+port+"/git", "work")
	file("work/alice/index.html", "pushed")
	file("work/alice/large", strings.Repeat("a page that compresses badly? no, well", 1<<16))
	must("-C", work, "add", ".")
	must("-C", work, "commit", "--quiet", "-m", "first")
	e.Await("alice.example is known", func() bool {
		e.Request("alice.example", "alice.example", "/")
		return e.Verifier.Known("alice.example")
	})
	out := must("-C", work, "-c", "http.postBuffer=65536", "push", "origin", "HEAD:main")
	if !strings.Contains(out, "remote: alice: live at https://alice.example:"+port+" (revision ") {
		t.Errorf("git push said:\n%s", out)
	}
	e.Want("alice.example", "/", http.StatusOK, "pushed") // with no wait
	file("work/alice/index.wasm", "no module")
	must("-C", work, "add", ".")
	must("-C", work, "commit", "--quiet", "-m", "second")
	if out = must("-C", work, "push", "origin", "HEAD:main"); !strings.Contains(out, "remote: alice: refused: index.wasm: ") {
		t.Errorf("git push said:\n%s", out)
	}
	if r := e.Refusal("alice.example"); !strings.Contains(r, "index.wasm") {
		t.Errorf("the well-known page says %q", r)
	}
	e.Want("alice.example", "/", http.StatusOK, "pushed")

	// The name is the edge's, whoever's TXT record says otherwise.
	e.Want("git.example", "/", http.StatusNotFound, "here are git repositories")
	e.Want("git.example", "/git/info/refs?service=git-receive-pack", http.StatusUnauthorized, "token")
	if code, body := e.Request("", "git.example", "/git/info/refs?service=git-receive-pack"); code != http.StatusPermanentRedirect {
		t.Errorf("over HTTP: %d %q", code, body)
	}
	if err := e.Permit(t.Context(), "other.example", netip.Addr{}); err == nil {
		t.Error("another name may have a certificate")
	}
	if st := e.Syncer.Status().Stores[0]; !st.Reachable || st.Kind != "git" {
		t.Errorf("store: %+v", st)
	}
	if e.GitHost.SSHAddr() == nil {
		t.Error("ssh does not listen")
	}
	e.Await("the log of the listeners", func() bool {
		log := e.Log.String()
		return strings.Contains(log, "admin="+e.Admin.Addr().String()) && strings.Contains(log, "git_ssh="+e.GitHost.SSHAddr().String())
	})
	if at := e.Address(tenant.ID("/git/nobody")); at != "" {
		t.Errorf("a tenant without a domain is shown at %s", at)
	}
}

// TestForbiddenPushes: an edge checks pushes wherever its configuration and its data
// folder are named from, over HTTPS and over ssh.
func TestForbiddenPushes(t *testing.T) {
	for _, program := range []string{"git", "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("wants %s", program)
		}
	}
	for _, absolute := range []bool{false, true} {
		t.Run(fmt.Sprintf("absolute=%v", absolute), func(t *testing.T) { forbiddenPushes(t, absolute) })
	}
}

func forbiddenPushes(t *testing.T, absolute bool) {
	dir := t.TempDir()
	t.Chdir(dir)
	file, at := "edge.toml", ""
	if absolute {
		at = dir + "/"
	}
	const token = "1b4f0e9851971998e732078544c96b36"
	run := func(env []string, name string, args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", "key"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	public, err := os.ReadFile("key.pub")
	if err != nil {
		t.Fatal(err)
	}
	write("pushers", fmt.Sprintf("alice token-sha256 %x alice\nalice %s", sha256.Sum256([]byte(token)), public))
	e := edgetest.Start(t, func(c *config.Config) {
		write(file, fmt.Sprintf(`
[edge]
name = "ams1"
data = "%[1]sdata"
[[store]]
kind = "git"
prefix = "/git/"
serve = true
pushers = "%[1]spushers"
[git]
host = "git.example"
ssh_listen = "127.0.0.1:0"
[dns]
addresses = ["127.0.0.1"]
resolvers = ["%[2]s"]
[http]
listen = ["127.0.0.1:0"]
[https]
listen = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[tls]
mode = "internal"
`, at, c.DNS.Resolvers[0]))
		loaded, err := config.Load(at + file)
		if err != nil {
			t.Fatal(err)
		}
		*c = *loaded
	})
	<-e.GitHost.Ready()
	_, https := e.Server.Addrs()
	_, port, err := net.SplitHostPort(https[0].String())
	if err != nil {
		t.Fatal(err)
	}
	write("root.pem", string(e.Authority.RootPEM()))
	host, sshPort, err := net.SplitHostPort(e.GitHost.SSHAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	hostKey, err := os.ReadFile("data/hosted/ssh_host_ed25519.pub")
	if err != nil {
		t.Fatal(err)
	}
	write("known_hosts", fmt.Sprintf("[%s]:%s %s", host, sshPort, hostKey))
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_SSL_CAINFO=" + dir + "/root.pem",
		"GIT_SSH_COMMAND=ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -i " + dir + "/key -o UserKnownHostsFile=" + dir + "/known_hosts",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	try := func(args ...string) (string, error) {
		t.Helper()
		return run(env, "git", append([]string{"-C", dir + "/work", "-c", "http.curloptResolve=git.example:" + port + ":127.0.0.1"}, args...)...)
	}
	git := func(args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Fatalf("git %s: %v\n%s\n%s", strings.Join(args, " "), err, out, e.Log)
		}
		return strings.TrimSpace(out)
	}
	if out, err := run(env, "git", "init", "-q", "-b", "main", "work"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	commit := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join("work", filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join("work", name), text)
		git("add", "-A")
		git("commit", "-q", "-m", "deploy")
	}
	for i, url := range []string{"https://git:" + token + "@git.example:" + port + "/git", "ssh://git@" + net.JoinHostPort(host, sshPort) + "/git"} {
		commit("alice/index.html", strconv.Itoa(i))
		if out := git("push", url, "HEAD:main"); !strings.Contains(out, "remote: alice: live (revision "+git("rev-parse", "HEAD")[:12]) {
			t.Errorf("%.5s: git push said:\n%s", url, out)
		}
		head := git("rev-parse", "HEAD")
		commit("bob/index.html", "mine")
		for ref, want := range map[string]string{
			"HEAD:main":                    "bob: not yours to change: alice may write alice",
			"+" + head + "~1:main":         "main only moves forwards", // of the first push: no such commit
			":main":                        "main is what is live: it cannot be deleted",
			head + ":refs/heads/develop":   "refs/heads/develop is not served",
			head + ":refs/heads/preview/x": "refs/heads/preview/x is not served",
			head + ":refs/tags/v1":         "refs/tags/v1 is not served",
		} {
			if strings.Contains(ref, "~1") && i == 0 {
				continue
			}
			out, err := try("push", url, ref)
			if err == nil || !strings.Contains(out, "remote: "+want) {
				t.Errorf("%.5s: pushing %s: %v, want %q in\n%s", url, ref, err, want, out)
			}
		}
		if got := git("ls-remote", url); got != head+"\tHEAD\n"+head+"\trefs/heads/main" {
			t.Errorf("%.5s: after the refused pushes the repository has\n%s\nwant main at %s", url, got, head)
		}
		git("reset", "-q", "--hard", head)
	}
}

// TestOwnRepositories: an edge keeps a repository for each tenant, whose URL the TXT
// record names.
func TestOwnRepositories(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	dir := t.TempDir()
	const token, id = "9f86d081884c7d659a2feaa0c55ad015", "https://git.example/sites/alice"
	pushers := filepath.Join(dir, "pushers")
	if err := os.WriteFile(pushers, fmt.Appendf(nil, "alice token-sha256 %x alice\n", sha256.Sum256([]byte(token))), 0o600); err != nil {
		t.Fatal(err)
	}
	e := edgetest.Start(t, func(c *config.Config) {
		c.Stores = []config.Store{{Kind: "git-tenant", Prefix: "https://git.example/sites/", Branch: "main", Depth: 1, Serve: true, Pushers: pushers}}
		c.Git = config.Git{Host: "git.example"}
	}, func(e *edgetest.Edge) { e.Domain("alice.example", "terrane="+id) })
	<-e.GitHost.Ready()
	_, https := e.Server.Addrs()
	_, port, err := net.SplitHostPort(https[0].String())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, e.Authority.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{
			"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "http.curloptResolve=git.example:" + port + ":127.0.0.1",
		}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_SSL_CAINFO="+root, "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := git(args...)
		if err != nil {
			t.Fatalf("git %s: %v\n%s\n%s", strings.Join(args, " "), err, out, e.Log)
		}
		return out
	}
	at := "https://git:" + token + "@git.example:" + port + "/sites/"
	must("clone", "--quiet", at+"alice", "work")
	if err := os.WriteFile(filepath.Join(dir, "work", "index.html"), []byte("my own"), 0o600); err != nil {
		t.Fatal(err)
	}
	must("-C", "work", "add", ".")
	must("-C", "work", "commit", "--quiet", "-m", "first")
	if out := must("-C", "work", "push", "origin", "HEAD:main"); !strings.Contains(out, "remote: alice: live") {
		t.Errorf("git push said:\n%s", out)
	}
	e.Await("alice.example is served", func() bool {
		code, body := e.Request("alice.example", "alice.example", "/")
		return code == http.StatusOK && body == "my own"
	})
	if out, err := git("ls-remote", at+"bob"); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("another's repository: %v\n%s", err, out)
	}
}

// TestRepositoryOfTheEdgesNetwork: a TXT record does not make the edge contact its own network.
func TestRepositoryOfTheEdgesNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	contacted := make(chan struct{}, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
			contacted <- struct{}{}
		}
	}()
	e := edgetest.Start(t, func(c *config.Config) {
		c.Stores = []config.Store{{Kind: "git-tenant", Prefix: "https://", Branch: "main", Depth: 1}}
	}, func(e *edgetest.Edge) { e.Domain("alice.example", "terrane=https://"+l.Addr().String()+"/alice") })
	e.Await("the refusal", func() bool {
		_, _ = e.Request("alice.example", "alice.example", "/")
		return len(contacted) > 0 || strings.Contains(fmt.Sprint(e.Log), "unless the store's prefix names the host")
	})
	if len(contacted) > 0 {
		t.Error("the edge contacted an address of its own")
	}
}
