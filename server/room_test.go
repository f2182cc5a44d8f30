package server_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/engine"
)

// TestNoMemoryForAnotherGuest has a guest hold the memory that another one would need, until it
// ends.
func TestNoMemoryForAnotherGuest(t *testing.T) {
	gate := make(gatekeeper)
	// A guest of one page takes 70 to 100 KiB. A tenant may hold as much as it leaves free: one guest.
	e := startEdge(t, edgeOptions{engine: newEngineWith(t, engineOptions{guests: 200 << 10}), sites: gated(gate)})
	e.deploy("alice.example", "index.wasm", guest(t, "testdata/stream.wasm"), "a.css", "static")
	c := e.client()
	begin := func() *bufio.Reader {
		t.Helper()
		resp, err := c.Do(request(t, http.MethodPost, "https://alice.example/", nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		body := bufio.NewReader(resp.Body)
		if first, err := body.ReadString('\n'); err != nil || first != "first\n" || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d, %q, %v", resp.StatusCode, first, err)
		}
		return body
	}
	end := func(body io.Reader) {
		t.Helper()
		gate <- struct{}{}
		if rest, err := io.ReadAll(body); err != nil || string(rest) != "second\n" {
			t.Fatalf("%q, %v", rest, err)
		}
	}

	running := begin()
	refused := do(t, c, request(t, http.MethodPost, "https://alice.example/", strings.NewReader("")))
	refused.want(t, http.StatusServiceUnavailable, "no memory free")
	if retry := refused.Header.Get("Retry-After"); retry != "1" {
		t.Errorf("Retry-After %q, want 1", retry)
	}
	e.log.wait(t, refused.Header.Get("Terrane-Request-Id")+" index.wasm at revision r1 did not run, answered 503: "+engine.ErrNoRoom.Error())
	get(t, c, "https://alice.example/a.css").want(t, http.StatusOK, "static")
	end(running)
	end(begin())
}
