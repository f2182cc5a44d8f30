package server_test

import (
	"net/http"
	"testing"
)

func TestStatic(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
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
		{"miss", "GET", "/nope", nil, 404, "nothing here", []string{"Content-Type", "text/html; charset=utf-8", "Etag", ""}},
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
}
