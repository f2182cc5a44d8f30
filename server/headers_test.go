package server_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestHeadersAreOfTheFileServed: rules of _headers are for the file that is served, not
// for the path that was asked for, and no error is kept for long.
func TestHeadersAreOfTheFileServed(t *testing.T) {
	const year = "public, max-age=31536000, immutable"
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example",
		"index.html", "home", "404.html", "lost", "app/index.html", "the app", "assets/a.js", "code", "gone.txt", "gone", "assets/run.wasm", "say:run",
		"packed.html", "plain", "packed.html.br", "squeezed",
		"_redirects", "/app/* /app/index.html 200\n/gone /gone.txt 404\n/old/* /assets/:splat 200\n",
		"_headers", "/assets/*\n  Cache-Control: "+year+"\n  Expires: Thu, 01 Jan 2099 00:00:00 GMT\n  CDN-Cache-Control: max-age=9\n  Content-Type: text/javascript\n  Content-Disposition: attachment\n"+
			"/app/*\n  X-App: 1\n/app/assets/*\n  Cache-Control: "+year+"\n/index.html\n  X-Home: 1\n/\n  X-Root: 1\n"+
			"/404.html\n  Cache-Control: "+year+"\n  Cloudflare-CDN-Cache-Control: max-age=9\n  Surrogate-Control: max-age=9\n  Content-Type: application/octet-stream\n  Content-Disposition: attachment\n  X-Lost: 1\n"+
			"/gone.txt\n  Cache-Control: no-store\n  Content-Type: text/html\n/*\n  X-All: 1\n")
	e.deploy("bob.example", "index.html", "home", "_headers", "/*\n  Cache-Control: "+year+"\n  Content-Disposition: attachment\n  Content-Type: text/x\n")
	for _, c := range []struct {
		name, method, url string
		header            []string
		code              int
		want              map[string]string // "" is absent
	}{
		{"the file", "GET", "alice.example/assets/a.js", nil, 200, map[string]string{
			"Cache-Control": year, "Cdn-Cache-Control": "max-age=9", "Content-Type": "text/javascript", "Content-Disposition": "attachment", "X-All": "1", "X-Lost": ""}},
		{"a part of it", "GET", "alice.example/assets/a.js", []string{"Range", "bytes=1-2"}, 206, map[string]string{"Cache-Control": year, "X-All": "1"}},
		{"a part that it has not", "GET", "alice.example/assets/a.js", []string{"Range", "bytes=9-"}, 416, map[string]string{
			"Cache-Control": "no-cache", "Expires": "", "Cdn-Cache-Control": "", "Content-Type": "text/plain; charset=utf-8", "Content-Disposition": ""}},
		{"kept", "GET", "alice.example/assets/a.js", []string{"If-None-Match", "*"}, 304, map[string]string{"Cache-Control": year}},
		{"changed", "GET", "alice.example/assets/a.js", []string{"If-Match", `"x"`}, 412, map[string]string{"Cache-Control": "no-cache", "Expires": ""}},
		{"not to be written", "POST", "alice.example/assets/a.js", nil, 405, map[string]string{
			"Cache-Control": "no-cache", "Expires": "", "Content-Type": "text/plain; charset=utf-8", "X-All": ""}},
		{"a rewrite to it", "GET", "alice.example/old/a.js", nil, 200, map[string]string{"Cache-Control": year}},
		{"missing", "GET", "alice.example/assets/b.js", nil, 404, map[string]string{
			"Cache-Control": "no-cache", "Expires": "", "Cdn-Cache-Control": "", "Cloudflare-Cdn-Cache-Control": "", "Surrogate-Control": "",
			"Content-Type": "text/html; charset=utf-8", "Content-Disposition": "", "X-Lost": "1", "X-All": "1"}},
		{"missing, by HEAD", "HEAD", "alice.example/assets/b.js", nil, 404, map[string]string{"Cache-Control": "no-cache", "Content-Type": "text/html; charset=utf-8", "X-Lost": "1"}},
		{"a rewrite to what is missing", "GET", "alice.example/old/b.js", nil, 404, map[string]string{"Cache-Control": "no-cache", "X-Lost": "1"}},
		{"a page by a rule", "GET", "alice.example/gone", nil, 404, map[string]string{"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8"}},
		{"an application's page", "GET", "alice.example/app/assets/b.js", nil, 200, map[string]string{
			"Cache-Control": "", "Content-Type": "text/html; charset=utf-8", "X-App": "1", "X-All": "1"}},
		{"a module below", "GET", "alice.example/assets/run", nil, 200, map[string]string{"Cache-Control": "", "X-All": ""}},
		{"a folder's page", "GET", "alice.example/", nil, 200, map[string]string{"X-Home": "1", "X-Root": "1", "X-App": ""}},
		{"the same by its name", "GET", "alice.example/index.html", nil, 200, map[string]string{"X-Home": "1", "X-Root": "1"}},
		{"packed", "GET", "alice.example/packed.html", []string{"Accept-Encoding", "br"}, 200, map[string]string{"Content-Encoding": "br", "X-All": "1"}},
		{"our own page", "GET", "bob.example/none.js", nil, 404, map[string]string{
			"Cache-Control": "no-cache", "Content-Type": "text/plain; charset=utf-8", "Content-Disposition": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := do(t, e.client(), request(t, c.method, "https://"+c.url, nil, c.header...))
			if resp.StatusCode != c.code {
				t.Errorf("status %d, want %d", resp.StatusCode, c.code)
			}
			for _, name := range slices.Sorted(maps.Keys(c.want)) {
				if got := strings.Join(resp.Header.Values(name), "|"); got != c.want[name] {
					t.Errorf("%s: %q, want %q", name, got, c.want[name])
				}
			}
			if _, sniffed := resp.Header[http.CanonicalHeaderKey("Etag")]; sniffed && c.code == 404 {
				t.Error("a missing file has an ETag")
			}
		})
	}
}
