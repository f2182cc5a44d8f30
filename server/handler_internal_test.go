package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server/internal/share"
	"github.com/terrane/terrane/tenant"
)

// everyHost is alice's.
type everyHost struct{}

func (everyHost) VerifyFrom(context.Context, tenant.Host, netip.Addr) tenant.Verdict {
	return tenant.Verdict{Standing: tenant.Verified, Tenant: "/git/alice"}
}

// noModules compiles nothing: the release under test has its module already.
type noModules struct{ engine.Engine }

// noContent has no file.
type noContent struct{}

func (noContent) Open(tenant.Hash) (io.ReadSeekCloser, error) { return nil, errors.New("no content") }

// hello is a module.
type hello struct{ engine.Module }

func (hello) Run(_ context.Context, x *hostcalls.Exchange) error {
	x.Response().Body = append(x.Response().Body, "hello"...)
	return nil
}

// sink is a response that nobody reads.
type sink http.Header

func (s sink) Header() http.Header         { return http.Header(s) }
func (s sink) WriteHeader(int)             {}
func (s sink) Write(b []byte) (int, error) { return len(b), nil }

// newHandler is the way of a request without its connection and its guest.
func newHandler(tb testing.TB) func() {
	tb.Helper()
	sites, err := NewSites(SitesOptions{
		Engine: noModules{}, Blobs: noContent{}, Verifier: everyHost{},
		Guest: func(*tenant.Snapshot, tenant.Limits) *hostcalls.Tenant { return &hostcalls.Tenant{} },
	})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := New(Options{Sites: sites, HTTP: []string{"127.0.0.1:0"}, ServePlain: true, AccessLog: io.Discard, Edge: "test1"})
	if err != nil {
		tb.Fatal(err)
	}
	snap := &tenant.Snapshot{ID: "/git/alice", Files: map[string]tenant.File{"index.wasm": {}}}
	r := &release{
		id: snap.ID, manifest: &snap.Manifest, files: snap.Files, paths: tenant.NewSite(snap),
		modules: map[string]*module{"index.wasm": {code: hello{}}}, guest: new(hostcalls.Tenant), revisionHeader: []string{"r1"},
	}
	r.holders.Store(1)
	sites.swap(tb.Context(), r)
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "http://alice.example/", http.NoBody)
	return func() { s.servePlain(make(sink), req) }
}

func TestHandlerAllocations(t *testing.T) {
	// The header's map and its values, the request's id, its deadline.
	const want = 7
	if got := testing.AllocsPerRun(1000, newHandler(t)); got > want {
		t.Errorf("%v allocations per request, want at most %d", got, want)
	}
}

func BenchmarkHandler(b *testing.B) {
	handle := newHandler(b)
	b.ReportAllocs()
	for b.Loop() {
		handle()
	}
}

// A guest does not speak for the edge: another edge would take its answer for one that
// was never begun.
func TestGuestsAreNotEdges(t *testing.T) {
	h := http.Header{}
	(&visit{id: "1"}).copyHeader(h, http.Header{"Terrane-Not-Begun": {"1"}, "Terrane_edge": {"x"}, "X-A": {"b"}}, "0")
	if len(h) != 3 || h.Get("X-A") != "b" || h.Get("Terrane-Request-Id") != "1" || h.Get("Content-Length") != "0" {
		t.Errorf("header %v", h)
	}
}

// TestPageIsNotEncoded: a page that takes the place of a compressed file is plain text.
func TestPageIsNotEncoded(t *testing.T) {
	for name, size := range map[string]int64{"no room for another open file": maxKept + 1, "no content": 1} {
		t.Run(name, func(t *testing.T) {
			sites, err := NewSites(SitesOptions{
				Engine: noModules{}, Blobs: noContent{}, Verifier: everyHost{},
				Guest: func(*tenant.Snapshot, tenant.Limits) *hostcalls.Tenant { return &hostcalls.Tenant{} },
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(Options{Sites: sites, HTTP: []string{"127.0.0.1:0"}, ServePlain: true, AccessLog: io.Discard, Edge: "test1"})
			if err != nil {
				t.Fatal(err)
			}
			s.files = share.NewPool(0)
			snap := &tenant.Snapshot{ID: "/git/alice", Files: map[string]tenant.File{"a.css": {Size: size}, "a.css.gz": {Size: size}}}
			if err := sites.Publish(t.Context(), snap); err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://alice.example/a.css", http.NoBody)
			req.Header.Set("Accept-Encoding", "gzip")
			w := httptest.NewRecorder()
			s.servePlain(w, req)
			if w.Code < 500 || w.Header().Get("Content-Encoding") != "" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		})
	}
}
