package edge_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

const hello = "Hello, world from WAT!"

// TestBadInput gives a whole edge everything that can be wrong, one after the
// other, and looks each time whether the one who can mend it is told, and whether
// the neighbour is served as before.
func TestBadInput(t *testing.T) {
	e := edgetest.Start(t, nil)
	good := edgetest.File(t, "examples/hello-wat/hello.wasm")
	e.Domain("alice.example", "terrane=/sites/alice/")
	e.Domain("bob.example", "terrane=/sites/bob/")
	e.Deploy("alice", map[string][]byte{"index.wasm": good})
	neighbour := func(t *testing.T) {
		t.Helper()
		e.Want("alice.example", "/", 200, hello)
	}

	t.Run("modules", func(t *testing.T) {
		e.Deploy("bob", map[string][]byte{"index.html": []byte("bob's last good release")})
		for _, tt := range []struct {
			name, reason string
			wasm         []byte
		}{
			{"not Wasm", "index.wasm: ", []byte("<html>")},
			{"cut short", "index.wasm: ", good[:len(good)-5]},
			{"a component", "component", []byte("\x00asm\x0d\x00\x01\x00")},
			{"an unknown import", "env.hostcall_make_coffee", edgetest.File(t, "server/testdata/unknown.wasm")},
			{"no run", "run", edgetest.File(t, "server/testdata/norun.wasm")},
		} {
			e.Deploy("bob", map[string][]byte{"index.wasm": tt.wasm, "index.html": []byte(tt.name)})
			if got := e.Refusal("bob.example"); !strings.Contains(got, tt.reason) || strings.Contains(got, "module refused") {
				t.Errorf("%s is refused with %q, want %q in it", tt.name, got, tt.reason)
			}
			e.Want("bob.example", "/", 200, "bob's last good release")
			neighbour(t)
		}
	})

	t.Run("guests", func(t *testing.T) {
		e.Deploy("bob", map[string][]byte{
			"trap.wasm": edgetest.File(t, "server/testdata/trap.wasm"),
			"loop.wasm": edgetest.File(t, "server/testdata/loop.wasm"),
			"four.wasm": edgetest.File(t, "server/testdata/greedy.wasm"),
		})
		e.Want("bob.example", "/trap", 500, "")
		e.Want("bob.example", "/loop", 504, "")
		e.Want("bob.example", "/four", 503, "")
		neighbour(t)
		if _, body := e.Request("bob.example", "bob.example", "/trap"); strings.Contains(body, "unreachable") {
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
			e.Domain(host, tt.texts...)
			if status, body := e.Request("", strings.ToLower(host), "/"); status != 404 || !strings.Contains(body, tt.part) {
				t.Errorf("%s: %d %q, want 404 with %q", tt.name, status, body, tt.part)
			}
			if status, body := e.Request(strings.ToLower(host), host, "/"); status != 0 {
				t.Errorf("%s: HTTPS answers %d %q to a host that is not verified", tt.name, status, body)
			}
		}
	})

	t.Run("requests", func(t *testing.T) {
		if status, _ := e.Request("alice.example", "bob.example", "/"); status != 421 {
			t.Errorf("SNI and Host that differ: %d, want 421", status)
		}
		if status, body := e.Request("", "nobody.example", "/"); status != 404 || !strings.Contains(body, "no A or AAAA record") {
			t.Errorf("Host of no tenant: %d %q", status, body)
		}
		for _, path := range []string{"/../alice", "/a/%2e%2e/b", "/a/..", `/a%5c..%5cb`, "/a%00b"} {
			e.Want("alice.example", path, 400, "")
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
		e.Swap("bob", next)
		if got := e.Refusal("bob.example"); !strings.Contains(got, "index.html") || !strings.Contains(got, "symlink") {
			t.Errorf("refused with %q", got)
		}
		neighbour(t)
	})
}

func TestMissingStore(t *testing.T) {
	e := edgetest.Start(t, func(c *config.Config) { c.Stores[0].Path = filepath.Join(t.TempDir(), "none") })
	e.Await("word of the store", func() bool {
		_, status := e.Get("/status")
		return strings.Contains(status, "none: no such file or directory")
	})
	e.Await("readyz to name the stores", func() bool {
		code, text := e.Get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the stores have not been mirrored yet")
	})
}

// TestOriginGone restarts an edge whose store has gone: it serves its mirror.
func TestOriginGone(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	same := func(c *config.Config) { c.Edge.Data = data; c.Stores[0].Path = dir }
	domain := func(e *edgetest.Edge) { e.Domain("alice.example", "terrane=/sites/alice/") }
	e := edgetest.Start(t, same, domain)
	e.Dir = dir
	e.Deploy("alice", map[string][]byte{"index.wasm": edgetest.File(t, "examples/hello-wat/hello.wasm")})
	e.Want("alice.example", "/", 200, hello)
	e.Stop()

	e = edgetest.Start(t, func(c *config.Config) { same(c); c.Stores[0].Path = filepath.Join(dir, "unmounted") }, domain)
	e.Await("readiness", func() bool { code, _ := e.Get("/readyz"); return code == 200 })
	e.Want("alice.example", "/", 200, hello)
}

// TestGuestFetchesItsOwnSite has a guest fetch a file of its own domain, whose address
// is this edge's and would be refused.
func TestGuestFetchesItsOwnSite(t *testing.T) {
	e := edgetest.Start(t, nil)
	e.Domain("carol.example", "terrane=/sites/carol/")
	e.Deploy("carol", map[string][]byte{"fetch.wasm": edgetest.File(t, "examples/fetcher/fetch.wasm"), "cat.txt": []byte("a cat")})
	e.Want("carol.example", "/fetch?url=https://carol.example/cat.txt", 200, "a cat")
	if status, body := e.Request("carol.example", "carol.example", "/fetch?url=https://127.0.0.1/"); status != 502 {
		t.Errorf("loopback: %d %q", status, body)
	}
}

// TestACMEWithoutCA runs an edge whose authority cannot be reached: it is ready, and
// what it serves over HTTP it serves.
func TestACMEWithoutCA(t *testing.T) {
	e := edgetest.Start(t, func(c *config.Config) {
		c.TLS.Mode, c.TLS.CA, c.TLS.Storage = "acme", []string{"https://127.0.0.1:1/directory"}, t.TempDir()
	})
	e.Domain("alice.example", "terrane=/sites/alice/")
	e.Deploy("alice", map[string][]byte{"index.html": []byte("plain")})
	e.Await("readiness", func() bool { code, _ := e.Get("/readyz"); return code == 200 })
	if status, body := e.Request("", "alice.example", "/"); status != 200 || body != "plain" {
		t.Errorf("HTTP: %d %q", status, body)
	}
	if status, _ := e.Request("", "alice.example", "/.well-known/acme-challenge/guessed"); status != 404 {
		t.Errorf("a challenge that nobody has: %d", status)
	}
}

func TestMetrics(t *testing.T) {
	e := edgetest.Start(t, nil)
	e.Await("readiness", func() bool { code, _ := e.Get("/readyz"); return code == 200 })
	code, text := e.Get("/metrics")
	for _, name := range []string{"terrane_server_", "terrane_sync_", "terrane_dnsverify_", "terrane_health_", "go_goroutines"} {
		if code != 200 || !strings.Contains(text, "\n"+name) {
			t.Errorf("/metrics: %d, nothing of %s", code, name)
		}
	}
	if code, _ := e.Get("/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
}
