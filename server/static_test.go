package server_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

func TestStatic(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("alice.example",
		"index.html", "<h1>alice</h1>", "404.html", "nothing here", "docs/index.html", "docs",
		"app.js", "plain js", "app.js.br", "br js", "app.js.gz", "gz js", "README", "just text", "photo.PNG", "png",
		"mod.wasm", "say:module")
	c := e.client()
	url := "https://alice.example"
	for _, tt := range []struct {
		name, method, path string
		header             []string
		code               int
		body               string
		want               []string
	}{
		{"page", "GET", "/", nil, 200, "<h1>alice</h1>", []string{"Content-Type", "text/html; charset=utf-8", "Content-Length", "14", "Vary", "", "Accept-Ranges", "bytes"}},
		{"head", "HEAD", "/", nil, 200, "", []string{"Content-Length", "14"}},
		{"range", "GET", "/app.js", []string{"Range", "bytes=2-4"}, 206, "ain", []string{"Content-Range", "bytes 2-4/8"}},
		{"range of packed", "GET", "/app.js", []string{"Range", "bytes=0-1", "Accept-Encoding", "br"}, 206, "br", []string{"Content-Encoding", "br", "Content-Range", "bytes 0-1/5"}},
		{"bad range", "GET", "/app.js", []string{"Range", "bytes=99-"}, 416, "", nil},
		{"br before gzip", "GET", "/app.js", []string{"Accept-Encoding", "gzip, br"}, 200, "br js", []string{"Content-Encoding", "br", "Vary", "Accept-Encoding", "Content-Type", "text/javascript; charset=utf-8", "Content-Length", "5"}},
		{"gzip", "GET", "/app.js", []string{"Accept-Encoding", "GZIP;q=0.5, br;q=0"}, 200, "gz js", []string{"Content-Encoding", "gzip", "Vary", "Accept-Encoding"}},
		{"no coding", "GET", "/app.js", nil, 200, "plain js", []string{"Content-Encoding", "", "Vary", "Accept-Encoding"}},
		{"bad weight", "GET", "/app.js", []string{"Accept-Encoding", "br;q=x"}, 200, "plain js", nil},
		{"packed itself", "GET", "/app.js.gz", nil, 200, "gz js", []string{"Content-Type", "application/gzip", "Content-Encoding", ""}},
		{"no extension", "GET", "/README", nil, 200, "just text", []string{"Content-Type", "text/plain; charset=utf-8"}},
		{"upper extension", "GET", "/photo.PNG", nil, 200, "png", []string{"Content-Type", "image/png"}},
		{"folder", "GET", "/docs?x=1", nil, 308, "", []string{"Location", "/docs/?x=1"}},
		{"folder's index", "GET", "/docs/", nil, 200, "docs", nil},
		{"miss", "GET", "/nope", nil, 404, "nothing here", []string{"Content-Type", "text/html; charset=utf-8", "Etag", "", "Content-Length", "12"}},
		{"miss by head", "HEAD", "/nope", nil, 404, "", nil},
		{"raw module", "GET", "/mod.wasm", nil, 200, "module", nil},
		{"method", "DELETE", "/app.js", nil, 405, "", []string{"Allow", "GET, HEAD"}},
	} {
		a := do(t, c, request(t, tt.method, url+tt.path, nil, tt.header...))
		if a.StatusCode != tt.code || tt.body != "" && a.body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.name, a.StatusCode, a.body, tt.code, tt.body)
		}
		for i := 0; i < len(tt.want); i += 2 {
			if got := a.Header.Get(tt.want[i]); got != tt.want[i+1] {
				t.Errorf("%s: %s = %q, want %q", tt.name, tt.want[i], got, tt.want[i+1])
			}
		}
	}
	etag := get(t, c, url+"/app.js").Header.Get("Etag")
	packed := get(t, c, url+"/app.js", "Accept-Encoding", "br").Header.Get("Etag")
	if len(etag) != 34 || etag == packed {
		t.Errorf("etags %s and %s", etag, packed)
	}
	a := get(t, c, url+"/app.js", "If-None-Match", etag)
	a.want(t, http.StatusNotModified, "")
	if a.Header.Get("Etag") != etag || a.Header.Get("Terrane-Revision") == "" {
		t.Errorf("304 with %v", a.Header)
	}
	get(t, c, url+"/app.js", "If-None-Match", packed).want(t, 200, "plain js")
	for _, coding := range []string{"br", "none"} {
		get(t, c, url+"/app.js", "If-Match", `"other"`, "Accept-Encoding", coding).want(t, http.StatusPreconditionFailed, "")
		raw := raw(t, e.http, "GET /app.js HTTP/1.1\r\nHost: alice.example\r\nIf-Match: \"other\"\r\nAccept-Encoding: "+coding+"\r\n\r\n")
		if raw != http.StatusPreconditionFailed {
			t.Errorf("by HTTP/1.1: %d", raw)
		}
	}
}

func TestRedirectsAndHeaders(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example",
		"index.html", "home", "404.html", "lost", "taken.txt", "taken", "app/index.html", "the app", "gone.html", "gone",
		"api.wasm", "say:api", "style.css", "css",
		"_redirects", "/old /new 302\n/taken.txt /never\n/style.css /moved.css 301!\n/app/* /app/index.html 200\n"+
			"/call/* /api.wasm/:splat 200\n/gone /gone.html 404\n/bad/* /:splat\n"+
			"/old%20page /caf\u00e9#part\n",
		"_headers", "/*\n  X-Frame-Options: DENY\n  Link: </a>\n/app/*\n  Link: </b>\n  Cache-Control: no-store\n")
	c := e.client()
	const url = "https://alice.example"
	for _, tt := range []struct {
		path string
		code int
		want string // body, or Location
	}{
		{"/old?x=1", 302, "/new?x=1"},
		{"/old/?x=1", 302, "/new?x=1"},
		{"/old%20page?x=1", 301, "/caf%C3%A9?x=1#part"},
		{"/taken.txt", 200, "taken"},
		{"/style.css", 301, "/moved.css"},
		{"/app/deep/link", 200, "the app"},
		{"/call/x", 200, "api"},
		{"/gone", 404, "gone"},
		{"/bad//evil.example", 404, "lost"},
		{"/_redirects", 404, "lost"},
		{"/_headers", 404, "lost"},
		{"/api", 200, "api"},
	} {
		a := get(t, c, url+tt.path)
		if a.StatusCode != tt.code || a.body+a.Header.Get("Location") != tt.want {
			t.Errorf("%s: %d %q %q, want %d %q", tt.path, a.StatusCode, a.body, a.Header.Get("Location"), tt.code, tt.want)
		}
	}
	a := get(t, c, url+"/app/x")
	if got := a.Header.Values("Link"); len(got) != 2 || a.Header.Get("X-Frame-Options") != "DENY" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.Header)
	}
	if a := get(t, c, url+"/api"); a.Header.Get("X-Frame-Options") != "" {
		t.Error("a module's answer has the files' headers")
	}
	err := e.sites.Publish(t.Context(), e.snapshot("/git/alice", "r2", "_redirects", "/a", "_headers", "x"))
	if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "_redirects:1:") || !strings.Contains(err.Error(), "_headers:1:") ||
		strings.Contains(err.Error(), engine.ErrRefused.Error()) {
		t.Errorf("got %v", err)
	}
	for _, files := range [][]string{{"_redirects", strings.Repeat("#", 300<<10)}, {"index.html", ""}} {
		s := e.snapshot("/git/alice", "r2", files...)
		s.Manifest.Routes = []tenant.Route{{Path: "/a", Module: "absent.wasm"}}
		if err := e.sites.Publish(t.Context(), s); !errors.Is(err, engine.ErrRefused) || strings.Contains(err.Error(), engine.ErrRefused.Error()) {
			t.Errorf("got %v", err)
		}
	}
}

// A visitor's raw UTF-8 is percent-encoded in the address that the edge sends.
func TestLocationIsASCII(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "home", "caf\u00e9/index.html", "coffee")
	for _, tt := range []struct{ path, want string }{
		{"/caf\u00e9?x=\u00fc", "/caf%C3%A9?x=%C3%BC"},
		{`/a"<b>?c|d`, "/a%22%3Cb%3E?c%7Cd"},
	} {
		if got := rawLocation(t, e.http, tt.path); !strings.HasPrefix(got, "https://alice.example:") || !strings.HasSuffix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.path, got, tt.want)
		}
	}
	if got := get(t, e.client(), "https://alice.example/caf%C3%A9?x=\u00fc").Header.Get("Location"); got != "/caf%C3%A9/?x=%C3%BC" {
		t.Errorf("folder: %q", got)
	}
}

// An empty element or "." in a path leads to modules, and to no file.
func TestEmptyElements(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.wasm", "say:index", "hello.wasm", "say:hello", "style.css", "css")
	for path, want := range map[string]string{
		"//": "index", "//style.css": "index", "/./style.css": "index", "/a//b": "index", "/hello.wasm/https://h.example/": "hello", "/style.css": "css",
	} {
		get(t, e.client(), "https://alice.example"+path).want(t, http.StatusOK, want)
	}
}

func TestRedirectsBeforeTheModuleForAllElse(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	s := e.snapshot("/git/alice", "r1", "index.wasm", "say:index", "_redirects", "/* /moved 302\n")
	s.Manifest.Routes = []tenant.Route{{Path: "/routed/*", Module: "index.wasm"}}
	e.zone.set("alice.example", verified("/git/alice"))
	if err := e.sites.Publish(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/index": 200, "/routed/x": 200, "/else": 302} {
		if got := get(t, e.client(), "https://alice.example"+path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestSmallFilesAreKept(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), sites: func(o *server.SitesOptions) { o.CacheBytes = 30 }})
	s := e.deploy("alice.example", "a.txt", "ten bytes.", "b.txt", "ten bytes!", "c.txt", "ten bytes?", "d.txt", "ten bytes,",
		"empty.txt", "", "big.txt", strings.Repeat("x", 100<<10))
	c := e.client()
	serve := func(name string) int {
		t.Helper()
		return get(t, c, "https://alice.example/"+name).StatusCode
	}
	lose := func(names ...string) {
		e.blobs.mu.Lock()
		defer e.blobs.mu.Unlock()
		for _, name := range names {
			delete(e.blobs.byHash, s.Files[name].Hash)
		}
	}
	for _, name := range []string{"a.txt", "b.txt", "c.txt", "a.txt", "d.txt", "empty.txt", "big.txt"} { // d takes b's place
		if got := serve(name); got != 200 {
			t.Errorf("%s: %d", name, got)
		}
	}
	lose("a.txt", "b.txt", "c.txt", "d.txt", "big.txt")
	for name, want := range map[string]int{"a.txt": 200, "b.txt": 500, "c.txt": 200, "d.txt": 200, "big.txt": 500} {
		if got := serve(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}
