package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
)

const hello = "Hello, world from WAT!"

// TestBadInput gives a whole edge everything that can be wrong, one after the
// other, and looks each time whether the one who can mend it is told, and whether
// the neighbour is served as before.
func TestBadInput(t *testing.T) {
	e := startEdge(t, nil)
	good := testdata(t, "examples/hello-wat/hello.wasm")
	e.domain("alice.example", "terrane=/sites/alice/")
	e.domain("bob.example", "terrane=/sites/bob/")
	e.deploy("alice", map[string][]byte{"index.wasm": good})
	neighbour := func(t *testing.T) {
		t.Helper()
		e.want("alice.example", "/", 200, hello)
	}

	t.Run("modules", func(t *testing.T) {
		e.deploy("bob", map[string][]byte{"index.html": []byte("bob's last good release")})
		for _, tt := range []struct {
			name, reason string
			wasm         []byte
		}{
			{"not Wasm", "index.wasm: ", []byte("<html>")},
			{"cut short", "index.wasm: ", good[:len(good)-5]},
			{"a component", "component", []byte("\x00asm\x0d\x00\x01\x00")},
			{"an unknown import", "env.hostcall_make_coffee", testdata(t, "server/testdata/unknown.wasm")},
			{"no run", "run", testdata(t, "server/testdata/norun.wasm")},
		} {
			e.deploy("bob", map[string][]byte{"index.wasm": tt.wasm, "index.html": []byte(tt.name)})
			if got := e.refusal("bob.example"); !strings.Contains(got, tt.reason) || strings.Contains(got, "module refused") {
				t.Errorf("%s is refused with %q, want %q in it", tt.name, got, tt.reason)
			}
			e.want("bob.example", "/", 200, "bob's last good release")
			neighbour(t)
		}
	})

	t.Run("guests", func(t *testing.T) {
		e.deploy("bob", map[string][]byte{
			"trap.wasm": testdata(t, "server/testdata/trap.wasm"),
			"loop.wasm": testdata(t, "server/testdata/loop.wasm"),
			"four.wasm": testdata(t, "server/testdata/greedy.wasm"),
		})
		e.want("bob.example", "/trap", 500, "")
		e.want("bob.example", "/loop", 504, "")
		e.want("bob.example", "/four", 503, "")
		neighbour(t)
		if _, body := e.request("bob.example", "bob.example", "/trap"); strings.Contains(body, "unreachable") {
			t.Errorf("a visitor sees why a guest failed: %s", body)
		}
	})

	t.Run("records", func(t *testing.T) {
		for _, tt := range []struct {
			name, part string
			texts      []string
		}{
			{"no TXT", "there is no TXT record", nil},
			{"a folder that is not there", `names "/sites/nobody"`, []string{"terrane=/sites/nobody/"}},
			{"two TXT records", "two", []string{"terrane=/sites/alice/", "terrane=/sites/bob/"}},
			{"a way out", "..", []string{"terrane=/sites/../etc/"}},
		} {
			host := strings.ReplaceAll(tt.name, " ", "-") + ".example"
			e.domain(host, tt.texts...)
			if status, body := e.request("", strings.ToLower(host), "/"); status != 404 || !strings.Contains(body, tt.part) {
				t.Errorf("%s: %d %q, want 404 with %q", tt.name, status, body, tt.part)
			}
			if status, body := e.request(strings.ToLower(host), host, "/"); status != 0 {
				t.Errorf("%s: HTTPS answers %d %q to a host that is not verified", tt.name, status, body)
			}
		}
	})

	t.Run("requests", func(t *testing.T) {
		if status, _ := e.request("alice.example", "bob.example", "/"); status != 421 {
			t.Errorf("SNI and Host that differ: %d, want 421", status)
		}
		if status, body := e.request("", "nobody.example", "/"); status != 404 || !strings.Contains(body, "no A or AAAA record") {
			t.Errorf("Host of no tenant: %d %q", status, body)
		}
		for _, path := range []string{"/../alice", "/a/%2e%2e/b", "/a/..", `/a%5c..%5cb`, "/a%00b"} {
			e.want("alice.example", path, 400, "")
		}
	})

	t.Run("symlink out of the folder", func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "secret")
		next := t.TempDir()
		if err := os.WriteFile(secret, []byte("not bob's"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(secret, filepath.Join(next, "index.html")); err != nil {
			t.Fatal(err)
		}
		e.swap("bob", next)
		if got := e.refusal("bob.example"); !strings.Contains(got, "index.html") || !strings.Contains(got, "symlink") {
			t.Errorf("refused with %q", got)
		}
		neighbour(t)
	})
}

func TestMissingStore(t *testing.T) {
	e := startEdge(t, func(c *config.Config) { c.Stores[0].Path = filepath.Join(t.TempDir(), "none") })
	e.await("word of the store", func() bool {
		_, status := e.admin("/status")
		return strings.Contains(status, "none: no such file or directory")
	})
	e.await("readyz to name the stores", func() bool {
		code, text := e.admin("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the stores have not been mirrored yet")
	})
}

func TestPortInUse(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test is over
	taken := ln.Addr().String()
	f := devFlags{http: taken, https: "127.0.0.1:0", data: t.TempDir(), logs: logFlags{format: "text"}}
	out := newWatched("")
	err = dev(context.WithoutCancel(t.Context()), t.TempDir(), &f, out, out)
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "another") {
		t.Errorf("err = %v", err)
	}
}

// TestOriginGone restarts an edge whose store has gone: it serves its mirror.
func TestOriginGone(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	same := func(c *config.Config) { c.Edge.Data = data; c.Stores[0].Path = dir }
	domain := func(e *anEdge) { e.domain("alice.example", "terrane=/sites/alice/") }
	e := startEdge(t, same, domain)
	e.dir = dir
	e.deploy("alice", map[string][]byte{"index.wasm": testdata(t, "examples/hello-wat/hello.wasm")})
	e.want("alice.example", "/", 200, hello)
	e.stop()

	e = startEdge(t, func(c *config.Config) { same(c); c.Stores[0].Path = filepath.Join(dir, "unmounted") }, domain)
	e.await("readiness", func() bool { code, _ := e.admin("/readyz"); return code == 200 })
	e.want("alice.example", "/", 200, hello)
}

// TestGuestFetchesItsOwnSite has a guest fetch a file of its own domain, whose address
// is this edge's and would be refused.
func TestGuestFetchesItsOwnSite(t *testing.T) {
	e := startEdge(t, nil)
	e.domain("carol.example", "terrane=/sites/carol/")
	e.deploy("carol", map[string][]byte{"fetch.wasm": testdata(t, "examples/fetcher/fetch.wasm"), "cat.txt": []byte("a cat")})
	e.want("carol.example", "/fetch?url=https://carol.example/cat.txt", 200, "a cat")
	if status, body := e.request("carol.example", "carol.example", "/fetch?url=https://127.0.0.1/"); status != 502 {
		t.Errorf("loopback: %d %q", status, body)
	}
}

// TestACMEWithoutCA runs an edge whose authority cannot be reached: it is ready, and
// what it serves over HTTP it serves.
func TestACMEWithoutCA(t *testing.T) {
	e := startEdge(t, func(c *config.Config) {
		c.TLS.Mode, c.TLS.CA, c.TLS.Storage = "acme", []string{"https://127.0.0.1:1/directory"}, t.TempDir()
	})
	e.domain("alice.example", "terrane=/sites/alice/")
	e.deploy("alice", map[string][]byte{"index.html": []byte("plain")})
	e.await("readiness", func() bool { code, _ := e.admin("/readyz"); return code == 200 })
	if status, body := e.request("", "alice.example", "/"); status != 200 || body != "plain" {
		t.Errorf("HTTP: %d %q", status, body)
	}
	if status, _ := e.request("", "alice.example", "/.well-known/acme-challenge/guessed"); status != 404 {
		t.Errorf("a challenge that nobody has: %d", status)
	}
}

func TestMetrics(t *testing.T) {
	e := startEdge(t, nil)
	e.await("readiness", func() bool { code, _ := e.admin("/readyz"); return code == 200 })
	code, text := e.admin("/metrics")
	for _, name := range []string{"terrane_server_", "terrane_sync_", "terrane_dnsverify_", "terrane_health_", "go_goroutines"} {
		if code != 200 || !strings.Contains(text, "\n"+name) {
			t.Errorf("/metrics: %d, nothing of %s", code, name)
		}
	}
	if code, _ := e.admin("/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
}
