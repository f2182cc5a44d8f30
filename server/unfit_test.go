package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/server"
)

// TestRefusedAnswers: an answer that the host refuses, or a part of it, is a 500, and the
// reason is in the tenant's log alone.
func TestRefusedAnswers(t *testing.T) {
	for _, c := range []struct {
		name, module string
		limit        int64
		body         string
		reason       string
	}{
		{"body", "testdata/echo.wasm", 100, strings.Repeat("x", 101), "echo.wasm at revision r1 answered 500: a response body of 101 bytes exceeds the limit of 100"},
		{"stdout", "testdata/cgi.wasm", 600 << 10, "", "cgi.wasm at revision r1 answered 500: stdout is not a CGI response: a response of more than the limit of 614400 bytes"},
		{"no header", "testdata/empty.wasm", 100, "", "empty.wasm at revision r1 answered 500: stdout is not a CGI response: it must begin with a header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) { o.Limits.ResponseBody = c.limit }})
			name := c.module[strings.LastIndex(c.module, "/")+1:]
			e.deploy("alice.example", name, guest(t, c.module))
			req := request(t, http.MethodPost, "https://alice.example/"+name, strings.NewReader(c.body))
			a := do(t, e.client(), req)
			a.want(t, http.StatusInternalServerError, "this site failed to answer")
			if strings.Contains(a.body, "limit") {
				t.Errorf("the visitor reads %q", a.body)
			}
			e.log.wait(t, a.Header.Get("Terrane-Request-Id")+" "+c.reason)
		})
	}
}

// TestRefusedChunk: a response that was cut by the limit breaks off, so that the visitor
// does not take it for whole.
func TestRefusedChunk(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) { o.Limits.ResponseBody = 10 }})
	e.deploy("alice.example", "index.wasm", guest(t, "testdata/late.wasm"))
	resp, err := e.client().Do(request(t, http.MethodGet, "https://alice.example/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, resp.Body)
	if body, err := io.ReadAll(resp.Body); string(body) != "first\n" || err == nil {
		t.Errorf("got %q, %v; want the first chunk and an error", body, err)
	}
	e.log.wait(t, "index.wasm at revision r1 answered 200: a response body of more than the limit of 10 bytes")
}
