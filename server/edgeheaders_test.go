package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestVisitorsAreNotEdges: what edges alone tell guests and each other is removed from a
// visitor's request, however it is written, and whatever answers.
func TestVisitorsAreNotEdges(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.wasm", "tell:x")
	old := e.client()
	old.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	for proto, c := range map[string]*http.Client{"HTTP/2.0": e.client(), "HTTP/1.1": old} {
		req := request(t, http.MethodGet, "https://alice.example/x", nil)
		for _, name := range []string{
			"Terrane-Subject", "terrane-cron", "TERRANE-CRON-DUE", "Terrane_Subject", "terrane_cron", "TERRANE_Request-Id",
			"Terrane-Forwarded-For", "Terrane_Forwarded_For", "Terrane-Not-Begun", "Terrane-Anything-Else",
		} {
			req.Header[name] = []string{"spoofed"}
		}
		if proto == "HTTP/1.1" {
			req.Header["Connection"] = []string{"Terrane-Subject, Terrane_Cron"}
		}
		req.Header["X-Terrane"] = []string{"mine"}
		a := do(t, c, req)
		a.want(t, http.StatusOK, "X-Terrane: mine")
		if strings.Contains(a.body, "spoofed") || a.Proto != proto {
			t.Errorf("%s: the guest saw %q", a.Proto, a.body)
		}
	}
}
