package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
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
	e := startEdge(t, func(c *config.Config) {
		c.Stores = []config.Store{{Kind: "git", Prefix: "/git/", Branch: "main", Depth: 1, Serve: true, Pushers: pushers}}
		c.Git = config.Git{Host: "git.example", SSHListen: "127.0.0.1:0"}
	}, func(e *anEdge) {
		e.domain("alice.example", "terrane=/git/alice/")
		e.domain("git.example", "terrane=/git/alice/") // as if it were a tenant's
	})
	<-e.edge.gitHost.Ready()
	_, https := e.edge.server.Addrs()
	_, port, err := net.SplitHostPort(https[0].String())
	if err != nil {
		t.Fatal(err)
	}
	root := file("root.pem", string(e.edge.authority.RootPEM()))
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
			t.Fatalf("git %s: %v\n%s\n%s", strings.Join(args, " "), err, out, e.log)
		}
		return out
	}
	must("clone", "--quiet", "https://git.example:"+port+"/git", "work")
	file("work/alice/index.html", "pushed")
	file("work/alice/large", strings.Repeat("a page that compresses badly? no, well", 1<<16))
	must("-C", work, "add", ".")
	must("-C", work, "commit", "--quiet", "-m", "first")
	e.await("alice.example is known", func() bool {
		e.request("alice.example", "alice.example", "/")
		return e.edge.verifier.Known("alice.example")
	})
	out := must("-C", work, "-c", "http.postBuffer=65536", "push", "origin", "HEAD:main")
	if !strings.Contains(out, "remote: alice: live at https://alice.example:"+port+" (revision ") {
		t.Errorf("git push said:\n%s", out)
	}
	e.want("alice.example", "/", http.StatusOK, "pushed") // with no wait
	file("work/alice/index.wasm", "no module")
	must("-C", work, "add", ".")
	must("-C", work, "commit", "--quiet", "-m", "second")
	if out = must("-C", work, "push", "origin", "HEAD:main"); !strings.Contains(out, "remote: alice: refused: index.wasm: ") {
		t.Errorf("git push said:\n%s", out)
	}
	if r := e.refusal("alice.example"); !strings.Contains(r, "index.wasm") {
		t.Errorf("the well-known page says %q", r)
	}
	e.want("alice.example", "/", http.StatusOK, "pushed")

	// The name is the edge's, whoever's TXT record says otherwise.
	e.want("git.example", "/", http.StatusNotFound, "here are git repositories")
	e.want("git.example", "/git/info/refs?service=git-receive-pack", http.StatusUnauthorized, "token")
	if code, body := e.request("", "git.example", "/git/info/refs?service=git-receive-pack"); code != http.StatusPermanentRedirect {
		t.Errorf("over HTTP: %d %q", code, body)
	}
	if err := e.edge.permit(t.Context(), "other.example", netip.Addr{}); err == nil {
		t.Error("another name may have a certificate")
	}
	if st := e.edge.syncer.Status().Stores[0]; !st.Reachable || st.Kind != "git" {
		t.Errorf("store: %+v", st)
	}
	if e.edge.gitHost.SSHAddr() == nil {
		t.Error("ssh does not listen")
	}
	if at := e.edge.address(tenant.ID("/git/nobody")); at != "" {
		t.Errorf("a tenant without a domain is shown at %s", at)
	}
}
