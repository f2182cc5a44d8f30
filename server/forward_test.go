package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// regions has the listeners of each region's edges.
type regions map[string]net.Addr

func (r regions) Dial(ctx context.Context, region string, _ ...string) (net.Conn, error) {
	addr, ok := r[region]
	if !ok {
		return nil, fmt.Errorf("no edge in %q", region)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
}

// startRegion starts an edge of a region, which other edges reach at addr.
func startRegion(t testing.TB, region string, others regions) (e *edge, addr net.Addr) {
	t.Helper()
	e = startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.Edge, o.Region, o.Elsewhere = region+"1", region, others
	}})
	return e, serveForwarded(t, e)
}

// serveForwarded has other edges reach e at the address.
func serveForwarded(t testing.TB, e *edge) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.srv.ServeForwarded(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr()
}

// place deploys files at host, to stay in the regions.
func (e *edge) place(host tenant.Host, in []string, files ...string) {
	e.t.Helper()
	s := e.deploy(host, files...)
	s.Manifest.Regions = in
	if err := e.sites.Publish(e.t.Context(), s); err != nil {
		e.t.Fatal(err)
	}
}

// TestForward: an edge outside a site's regions has an edge inside answer.
func TestForward(t *testing.T) {
	in, addr := startRegion(t, "fra", nil)
	out, _ := startRegion(t, "ams", regions{"fra": addr})
	files := []string{"tell.wasm", "tell:x", "chunks.wasm", "chunks:one,two", "style.css", "body{}"}
	for _, e := range []*edge{in, out} {
		e.place("alice.example", []string{"par", "fra"}, files...)
	}
	c := out.client()
	a := get(t, c, "https://alice.example/tell.wasm/a%20b?q=1", "X-Forwarded-For", "203.0.113.9",
		"Terrane-Subject", "spoofed", "Terrane-Cron", "spoofed", "Terrane-Cron-Due", "spoofed", "Terrane-Forwarded-For", "198.51.100.1:9", "Terrane-Forwarded-Over", "http", "Terrane_Subject", "spoofed",
		"Terrane_Forwarded_For", "198.51.100.1:9")
	a.want(t, 200, "")
	for _, want := range []string{
		"GET https alice.example /tell.wasm/a%20b?q=1", "client 127.0.0.1", "X-Forwarded-For: 203.0.113.9", "id " + a.Header.Get("Terrane-Request-Id"),
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the guest saw %q, without %q", a.body, want)
		}
	}
	if strings.Contains(a.body, "spoofed") || strings.Contains(a.body, "Terrane-") || strings.Contains(a.body, "198.51.100.1") {
		t.Errorf("the guest saw %q", a.body)
	}
	if got := a.Header.Get("Terrane-Edge"); got != "fra1" {
		t.Errorf("Terrane-Edge: %q, want that of the edge that answered", got)
	}
	get(t, c, "https://alice.example/chunks").want(t, 200, "onetwo")
	get(t, c, "https://alice.example/style.css").want(t, 200, "body{}")
	if a := get(t, c, "http://alice.example/tell"); a.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("over HTTP: %d, want a redirect from the edge itself", a.StatusCode)
	}
	body := strings.Repeat("x", 300<<10)
	a = do(t, c, request(t, http.MethodPost, "https://alice.example/tell", strings.NewReader(body)))
	a.want(t, http.StatusRequestEntityTooLarge, "too large")
	a = do(t, c, request(t, http.MethodPost, "https://alice.example/tell", strings.NewReader(body[:200<<10])))
	a.want(t, 200, "body 204800")
}

// TestForwardNowhere: what cannot be forwarded is refused, and never runs here.
func TestForwardNowhere(t *testing.T) {
	for name, others := range map[string]regions{"no way there": nil, "nobody there": {}} {
		t.Run(name, func(t *testing.T) {
			e, addr := startRegion(t, "ams", others)
			e.place("alice.example", []string{"fra"}, "index.wasm", "say:here")
			get(t, e.client(), "https://alice.example/").want(t, 503, "regions")

			// Nor does an edge that was forwarded to forward again.
			other, _ := startRegion(t, "par", regions{"fra": addr})
			other.place("alice.example", []string{"fra"}, "index.wasm", "say:here")
			get(t, other.client(), "https://alice.example/").want(t, 503, "regions")
		})
	}
}

// TestForwardedOnceRun: a request whose guest has run is not given to another edge when there is no
// room for the answer.
func TestForwardedOnceRun(t *testing.T) {
	in := besiege(t, 16<<10, func(o *server.Options) { o.BufferBytes = 16 << 10 })
	addr := serveForwarded(t, in.edge)
	for _, tt := range []struct {
		body     string
		notBegun bool
	}{{"", false}, {strings.Repeat("x", 10<<10), true}} {
		req := request(t, http.MethodPost, "http://"+addr.String()+"/", strings.NewReader(tt.body),
			"Terrane-Forwarded-For", "203.0.113.9:1", "Terrane-Forwarded-Over", "http")
		req.Host = "alice.example"
		a := do(t, http.DefaultClient, req)
		a.want(t, http.StatusServiceUnavailable, "as many bodies")
		if got := a.Header.Get("Terrane-Not-Begun") != ""; got != tt.notBegun {
			t.Errorf("a body of %d bytes: not begun: %v, want %v", len(tt.body), got, tt.notBegun)
		}
	}
	if n := in.engine.count(in.engine.runs, "16384", 0); n != 1 {
		t.Errorf("%d guests ran, want 1", n)
	}
}

// TestForwardBroken: a response that breaks off at the other edge does so here.
func TestForwardBroken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("half"))
	})}
	done := make(chan error, 1)
	go func() { done <- other.Serve(ln) }()
	t.Cleanup(func() {
		closed(t, other)
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	e, _ := startRegion(t, "ams", regions{"fra": ln.Addr()})
	e.place("alice.example", []string{"fra"}, "index.wasm", "say:here")
	resp, err := e.client().Do(request(t, http.MethodGet, "https://alice.example/", nil))
	if err != nil {
		return // as good
	}
	defer closed(t, resp.Body)
	if _, err := resp.Body.Read(make([]byte, 100)); err == nil {
		_, err = resp.Body.Read(make([]byte, 100))
		if err == nil || errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("the rest of the body: %v, want an error", err)
		}
	}
}

// TestDo: a task is a request to the live release that no visitor made.
func TestDo(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "tell.wasm", "tell:x")
	code, _, body, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/tell", Body: []byte("order 7"), Subject: "orders.created", Hops: 3})
	if err != nil || code != http.StatusOK {
		t.Fatal(code, err)
	}
	for _, want := range []string{"POST http task.terrane.invalid /tell", "Terrane-Subject: orders.created", "hops 3", "body 7"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the guest saw %q, without %q", body, want)
		}
	}
	_, _, body, err = e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/tell", Cron: "*/5 * * * *", Due: time.Unix(1e9, 0)})
	if err != nil || !strings.Contains(string(body), "GET") || !strings.Contains(string(body), "Terrane-Cron: */5 * * * *") ||
		!strings.Contains(string(body), "Terrane-Cron-Due: 2001-09-09T01:46:40Z") {
		t.Errorf("a cron's guest saw %q (%v)", body, err)
	}
	if code, _, _, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/nothing"}); code != http.StatusNotFound || err != nil {
		t.Errorf("a path that is not there: %d, %v", code, err)
	}
	if _, _, _, err := e.srv.Do(t.Context(), "/git/bob", &server.Task{Path: "/"}); err == nil {
		t.Error("a tenant that is not there: no error")
	}
}

// TestDoRefused: what another edge may do is no answer, and a large answer is none either.
func TestDoRefused(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, sites: func(o *server.SitesOptions) { o.Limits.Concurrency = 1 }})
	e.deploy("alice.example", "slow.wasm", "wait:x", "large.txt", strings.Repeat("x", 600<<10))
	first := make(chan int, 1)
	go func() {
		code, _, _, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/slow", Subject: "a"})
		if err != nil {
			t.Error(err)
		}
		first <- code
	}()
	<-eng.entered
	if code, _, _, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/slow", Subject: "a"}); !errors.Is(err, server.ErrBusy) {
		t.Errorf("beyond the concurrency: %d, %v, want ErrBusy", code, err)
	}
	close(eng.proceed)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the task that ran: %d", code)
	}
	code, _, body, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/large.txt", Cron: "@"})
	if err != nil || code != http.StatusBadGateway || len(body) > 100 {
		t.Errorf("a file larger than a message: %d, %d bytes, %v", code, len(body), err)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if _, _, _, err := e.srv.Do(t.Context(), "/git/alice", &server.Task{Path: "/slow", Subject: "a"}); !errors.Is(err, server.ErrBusy) {
		t.Errorf("after the shutdown: %v, want ErrBusy", err)
	}
}
